"""Names in a workdir, the config that it holds, and the one process that trains there."""

import subprocess
import sys

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.config import from_json, to_json
from cyclegan_jax.system.workdir import Workdir, claim_workdir, locked, save_config


def test_names_on_disk_are_those_of_earlier_runs(tmp_path):
    run = Workdir(tmp_path)
    found = {
        run.config: "config.json",
        run.init_from: "init_from.json",
        run.lock: ".lock",
        run.checkpoint(20): "checkpoints/20",
        run.damaged_checkpoints: "damaged_checkpoints",
        run.metrics: "metrics.jsonl",
        run.tensorboard: "tensorboard",
        run.sample(20): "samples/step_0000020.png",
        run.nonfinite_batch(5, 0): "nonfinite/step_0000005.npz",
        run.nonfinite_batch(5, 1): "nonfinite/step_0000005_process1.npz",
        run.evaluation(20): "eval/20",
        run.evaluation(20, "test"): "eval/20/test",
        run.report: "report.html",
        run.sweep: "sweep.json",
        run.trial_end(3): "trials/003/end.json",
        run.sweep_table: "sweep.csv",
        run.sweep_page: "sweep.html",
        run.test_scores: "test.json",
    }
    assert {path.relative_to(tmp_path).as_posix(): path for path in found} == {
        name: tmp_path / name for name in found.values()
    }


def test_the_newest_sample_has_the_highest_step(tmp_path):
    run = Workdir(tmp_path)
    assert run.newest_sample() is None
    run.samples.mkdir()
    for path in (run.sample(20), run.sample(12_345_678), run.sample(9), run.samples / "step_x.png"):
        path.touch()
    assert run.newest_sample() == (12_345_678, run.sample(12_345_678))


def test_another_config_is_refused_with_the_difference(tiny, tmp_path):
    claim_workdir(tiny, tmp_path, writes=True)
    tiny.log_every, tiny.loss.cycle_weight, tiny.steps = 1, 10.0, 9  # which may change
    claim_workdir(tiny, tmp_path, writes=True)
    tiny.image_size = 32
    with pytest.raises(
        InputError, match=r"another config.* --init_from=.*undo: image_size: 16 -> 32$"
    ):
        claim_workdir(tiny, tmp_path, writes=True)
    # until the run is read, its config stays
    assert from_json((tmp_path / "config.json").read_text()).loss.cycle_weight == 15
    save_config(tiny, tmp_path)
    assert from_json((tmp_path / "config.json").read_text()).loss.cycle_weight == 10


def test_unusable_workdirs_are_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"--workdir=.*file/run cannot be written"),
        locked(tmp_path / "file" / "run"),
    ):
        raise AssertionError("locked")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match=r"has checkpoints but no config\.json"):
        claim_workdir(tiny, tmp_path / "run", writes=True)


def test_one_of_several_processes_writes_the_config(tiny, tmp_path):
    claim_workdir(tiny, tmp_path, writes=False)
    assert not (tmp_path / "config.json").exists()
    claim_workdir(tiny, tmp_path, writes=True)
    assert (tmp_path / "config.json").read_text() == to_json(tiny)


HOLD = """
import sys
from pathlib import Path
from cyclegan_jax.system.workdir import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_trains_in_a_workdir(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        with (
            pytest.raises(InputError, match=f"another process trains in {tmp_path}"),
            locked(tmp_path),
        ):
            pass
        other.kill()  # which gives nobody time to tidy up
    with locked(tmp_path):
        pass
