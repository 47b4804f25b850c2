"""What every script does around its one call."""

import subprocess
import sys

import pytest

SCRIPT = """
import threading, time
from cyclegan_jax import InputError, cli

def main(arguments):
    threading.Thread(target=time.sleep, args=(120,)).start()  # as orbax's, when a save has failed
    print("said")
    {end}

cli.run(main)
"""


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [("raise InputError('bad')", 1, "error: bad\n"), ("return 3", 3, "")],
)
def test_a_thread_that_does_not_end_keeps_no_failure_alive(end, status, message):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\n", message)
