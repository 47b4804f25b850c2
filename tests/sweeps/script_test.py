"""A sweep as a user runs it, in processes of its own, on tiny data."""

import re
import shlex
import subprocess
import time

import pytest

SWEEP = """

def sweep():
    return {"loss.cycle_weight": (5, 10, 20)}
"""
SMALL_PHANTOM = [f"--config.data.phantom.{k}=2" for k in ("subjects", "slices")]


@pytest.fixture
def place(tmp_path, config_text):
    """A folder with a config that declares a sweep."""
    (tmp_path / "swept.py").write_text(config_text + SWEEP)
    return tmp_path


def test_a_killed_sweep_resumes_and_answers(place, script, command, environment):
    swept = ["--config=swept.py", *SMALL_PHANTOM]
    arguments = [*swept, "--workdir=sweep"]
    listed = script(place, "sweep", *arguments, "--dry_run")
    assert listed.returncode == 0, listed.stderr
    assert "3 trials" in listed.stdout
    assert "2: loss.cycle_weight=20.0" in listed.stdout
    assert not (place / "sweep").exists()
    with (place / "sweep_log").open("w") as log:
        process = subprocess.Popen(
            command("sweep", *arguments), cwd=place, env=environment(place), stdout=log, stderr=log
        )
        deadline = time.monotonic() + 120
        while not (place / "sweep" / "trials" / "000" / "end.json").exists():
            assert process.poll() is None, (place / "sweep_log").read_text()
            assert time.monotonic() < deadline, (place / "sweep_log").read_text()
            time.sleep(0.02)
        process.kill()
        process.wait()
    alone = script(place, "sweep", *arguments, "--trial=2")
    assert alone.returncode == 0, alone.stderr
    assert "trial 2 of 3" in alone.stdout
    rest = script(place, "sweep", *arguments)
    assert rest.returncode == 0, rest.stderr
    assert "trial 0 of 3" not in rest.stdout
    assert "trial 1 of 3" in rest.stdout
    assert "3 trials: 3 done" in rest.stdout
    command_line = re.search("(python .*/scripts/train.py .*)", rest.stdout)
    assert command_line is not None
    started = ["python", command("train")[1], "--workdir=runs/best", *swept]
    assert command_line[1].startswith(shlex.join(started))
    assert re.search(r" --config\.loss\.cycle_weight=(5|10|20)\.0$", command_line[1])
    for name in ("sweep.html", "sweep.csv"):
        assert (place / "sweep" / name).stat().st_size
        (place / "sweep" / name).unlink()
    gathered = script(place, "sweep", *arguments, "--collect", "--metric=psnr")
    assert "best, by psnr of validation pairs" in gathered.stdout, gathered.stderr
    assert (place / "sweep" / "sweep.html").exists()
