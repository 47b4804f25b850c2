"""Crafted files at every reader: `--full` tries each for ten minutes, otherwise for seconds.

What a reader may do with them is in `fuzzer.py`, how they are read and crafted in `fuzz_readers.py`
and `fuzz_changes.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzzer.py")
READERS = sorted(p.name for p in (FUZZER.parent / "corpus").iterdir() if p.name != "companions")


@pytest.mark.parametrize("reader", READERS)
def test_crafted_files_are_read_or_refused(reader, full, tmp_path, capsys):
    seconds = 600 if full else 1
    done = subprocess.run(
        [sys.executable, str(FUZZER), reader, str(tmp_path), f"--seconds={seconds}"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=seconds + 120,
    )
    crash = (tmp_path / "crash.txt").read_text()
    assert done.returncode == 0, f"reading {tmp_path / 'input'} ended the process:\n{crash}"
    found = json.loads(done.stdout)
    assert not found["failures"]
    assert 0 < found["refused"] < found["tried"]
    with capsys.disabled():
        if full:
            print(f"\n{reader}: {found['tried']} files tried, {found['refused']} refused")
