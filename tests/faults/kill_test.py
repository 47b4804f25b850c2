"""`kill -9` at any moment: launched again, a run ends as if nothing had happened."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training.metric_log import read_metrics

CONFIG = """
from cyclegan_jax.config import base_config

def get_config():
    c = base_config()
    c.image_size, c.batch_size, c.steps = 16, 2, {steps}
    c.data.phantom.subjects, c.data.phantom.slices = 4, 2
    c.generator.features = c.discriminator.features = (4, 8)
    c.discriminator.strides = (2, 2)
    c.history_size, c.ema_decay, c.optimizer.decay_from = 4, 0.9, 0.2
    c.log_every, c.save_every, c.eval_every, c.sample_every = 5, 5, 50, 100
    return c
"""
KILLS, FEW = 30, 2
STEPS, SHORT = 2000, 100


def launch(command, environment, place, name):
    return subprocess.Popen(
        command("train", "--config=config.py", f"--workdir={name}"),
        cwd=place,
        env=environment(place / name),  # caches too are made while it is killed
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def seconds_until(condition, process):
    began = time.monotonic()
    while not condition() and process.poll() is None:
        assert time.monotonic() - began < 120
        time.sleep(0.001)
    return time.monotonic() - began


def unfinished(workdir):
    return set((workdir / "checkpoints").glob("*tmp*"))


def final(workdir):
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.choose("latest", "all")


def scores(workdir):
    timings = ("time", "steps_per_second")
    lines = [{k: v for k, v in line.items() if k not in timings} for line in read_metrics(workdir)]
    return sorted(json.dumps(line, sort_keys=True) for line in lines)


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path, command, environment, full
):
    (tmp_path / "config.py").write_text(CONFIG.format(steps=STEPS if full else SHORT))
    whole = launch(command, environment, tmp_path, "whole")
    startup = seconds_until((tmp_path / "whole" / "checkpoints").exists, whole)
    assert "resuming" not in whole.communicate(timeout=300)[0]
    chance = random.Random(0)
    resumed, during_saves = [], 0
    for kill in range(KILLS if full else FEW):
        left = unfinished(tmp_path / "killed")
        process = launch(command, environment, tmp_path, "killed")
        try:
            if kill % 2 == 0:  # in the midst of a save, when there is an earlier one
                seconds_until(lambda: saved_steps(tmp_path / "killed"), process)
                seconds_until(lambda: unfinished(tmp_path / "killed") - left, process)  # noqa: B023
                time.sleep(chance.uniform(0, 0.03))
            else:
                time.sleep(chance.uniform(0, startup + 1))
            during_saves += bool(unfinished(tmp_path / "killed") - left)
        finally:
            process.send_signal(signal.SIGKILL)
            out = process.communicate(timeout=60)[0]
        assert process.returncode == -signal.SIGKILL, out
        resumed += [int(line.split()[-1]) for line in out.splitlines() if "resuming from" in line]
    out = launch(command, environment, tmp_path, "killed").communicate(timeout=300)[0]
    assert resumed == sorted(resumed), "a launch went back behind an earlier one"
    assert during_saves
    assert "resuming from step" in out
    assert not unfinished(tmp_path / "killed")
    one, other = final(tmp_path / "whole"), final(tmp_path / "killed")
    for name, arrays in one.items.items():
        for path, array in arrays.items():
            np.testing.assert_array_equal(array, other.items[name][path], err_msg=path)
    assert one.meta["score"] == other.meta["score"]
    assert scores(tmp_path / "whole") == scores(tmp_path / "killed")
    assert Workdir(tmp_path / "killed").metrics.exists()


WORKERS = """
import multiprocessing, sys
import numpy as np
from absl import flags
from cyclegan_jax.data.augmentation import Augmentation
from cyclegan_jax.data.batches import read_ahead, unpaired_batches
from cyclegan_jax.data.frames import Frames

if __name__ == "__main__":
    flags.FLAGS(sys.argv)
    images = Frames([{"image": np.zeros((8, 8, 1), np.uint16)}] * 4, 8, "pad")
    plain = Augmentation(1, False, 0.0, 0)
    options = dict(batch_size=1, seed=0)
    batches = read_ahead(unpaired_batches(images, images, plain, **options), 0, 2)
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.read()
"""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
def test_data_workers_end_with_a_run_that_is_killed(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    with subprocess.Popen(
        [sys.executable, "workers.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(is_alive, workers))
        process.kill()
    end = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < end, "workers outlive their run"
        time.sleep(0.1)
