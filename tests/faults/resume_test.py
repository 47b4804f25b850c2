"""A run that is stopped and resumed ends bit for bit as one that was not."""

import itertools
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.data import from_config
from cyclegan_jax.report import page
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training import train
from cyclegan_jax.training.metric_log import read_metrics

STEPS = 6
WORKERS = [(0, 0), (2, 2), (0, 2), (2, 0)]  # before and after the stop
OPTIONS = list(itertools.product([0, 5], [0.0, 0.9], ["bce", "lsgan"], ["float32", "bfloat16"]))
FEW = [((0, 2), OPTIONS[-2])]  # bfloat16 compiles slowly on a CPU


@pytest.fixture
def config(tiny, _own_cache, monkeypatch):
    monkeypatch.setattr(page, "write_or_say_why", lambda workdir: None)  # saves seconds each time
    tiny.steps, tiny.optimizer.decay_from = STEPS, 0.3
    tiny.data.contrast, tiny.data.shift = 0.2, 2
    tiny.log_every = tiny.sample_every = 100
    return with_options(tiny, FEW[0][1])


def with_options(config, options):
    config.history_size, config.ema_decay, config.loss.adversarial, config.dtype = options
    return config


def interrupt_at(patch, step):
    """Sends this process a signal while the metrics of `step` are read."""
    original = run_lib.Run.count

    def add(self, number, *args):
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, number, *args)

    patch.setattr(run_lib.Run, "count", add)


def assert_same_end(one, other):
    """The newest checkpoints, the best score, and every score that was logged."""
    ends = []
    for workdir in (one, other):
        with Checkpoints(workdir) as checkpoints:
            newest, best = checkpoints.newest(), checkpoints.choose("best", "meta")
        scores = {line["step"]: line for line in read_metrics(workdir) if "eval" in str(line)}
        ends.append((newest, best.step, best.meta["score"], scores.keys()))
    (a, *rest), (b, *others) = ends
    assert rest == others
    assert a.step == b.step
    assert a.meta["digests"] == b.meta["digests"]
    for name, arrays in a.items.items():
        for path, array in arrays.items():
            np.testing.assert_array_equal(array, b.items[name][path], err_msg=path)


def case_name(value):
    return "-".join(map(str, value))


@pytest.mark.parametrize("options", OPTIONS, ids=case_name)
@pytest.mark.parametrize("workers", WORKERS, ids=case_name)
def test_every_option_and_number_of_workers(config, tmp_path, monkeypatch, workers, options, full):
    if not full and (workers, options) not in FEW:
        pytest.skip("with --full")
    with_options(config, options).data.workers = workers[0]
    assert train.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert not train.train(config, tmp_path / "parts")
    config.data.workers = workers[1]
    assert train.train(config, tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("stop", [2, 4])
def test_a_stop_at_an_evaluation_loses_no_score(config, tmp_path, monkeypatch, stop, full):
    if not full and stop != 2:
        pytest.skip("with --full")
    config.keep = config.log_every = 1
    config.optimizer.generator_learning_rate = 1e-2  # the best is not the last
    assert train.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop - 1)
        assert not train.train(config, tmp_path / "parts")
    assert train.train(config, tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert saved_steps(tmp_path / "whole") == saved_steps(tmp_path / "parts")
    lines = read_metrics(tmp_path / "parts")
    assert [line["step"] for line in lines if "loss/cycle_x" in line] == [*range(1, STEPS + 1)]


@pytest.mark.parametrize(("before", "after"), [("pmap", "jit"), ("jit", "pmap")])
def test_the_other_parallel_mode_resumes(config, tmp_path, monkeypatch, before, after, full):
    if not full and before != config.parallel:
        pytest.skip("with --full")
    config.parallel = before
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert not train.train(config, tmp_path / "run")
    config.parallel = after
    assert train.train(config, tmp_path / "run")
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert checkpoints.newest().step == STEPS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("seconds", [-3e7, -3600, 3600, 3e7])
def test_a_clock_that_jumps(config, tmp_path, monkeypatch, seconds, full):
    if not full and seconds != 3e7:
        pytest.skip("with --full")
    config.save_every = config.eval_every = config.log_every = 2
    assert train.train(config, tmp_path / "whole")
    real, calls = time.time, itertools.count()
    ended, message = False, "could not be written"
    with monkeypatch.context() as patch:
        # also in the midst of a save, which orbax then takes for one that hangs
        patch.setattr(time, "time", lambda: real() + seconds * (next(calls) // 7 % 2))
        try:
            ended = train.train(config, tmp_path / "parts")
        except InputError as error:
            message = str(error)
    assert next(calls) > 7
    assert "could not be written" in message
    with Checkpoints(tmp_path / "parts") as checkpoints:
        for step in checkpoints.steps():  # nor do the times of files decide which is the newest
            os.utime(tmp_path / "parts" / "checkpoints" / str(step), (1e9 - step, 1e9 - step))
    assert ended or train.train(config, tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("workers", [0, 2])
def test_data_that_vanishes(config, tmp_path, monkeypatch, workers, fails, capsys, full):
    if not full and workers:
        pytest.skip("with --full")
    data, away = tmp_path / "data", tmp_path / "away"
    shutil.copytree(from_config.open_data(config).folder, data)
    config.data.dir, config.data.workers = str(data), workers
    config.steps, config.save_every = (150, 10) if workers else (12, 3)  # workers read far ahead
    config.eval_every = 200
    monkeypatch.setattr(from_config, "_KEPT_BYTES", 0)  # read anew at every step
    assert train.train(config, tmp_path / "whole")
    original = run_lib.Run.count

    def add(self, number, *args):
        if number == 4 and not away.exists():
            shutil.copytree(data, away)
            for path in data.rglob("*.array_record-*"):
                os.truncate(path, 0)  # open files outlive their names, not their blocks
            shutil.rmtree(data)
        return original(self, number, *args)

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "count", add)
        with fails(data, "cannot read the prepared images", "see that they are there"):
            train.train(config, tmp_path / "parts")
    with fails(data, "no prepared data set"):
        train.train(config, tmp_path / "parts")
    away.rename(data)
    assert train.train(config, tmp_path / "parts")
    assert "resuming from step" in capsys.readouterr().out
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


SLOW = """
import hashlib
from cyclegan_jax.training import run

def slowly(self, due, step, state):
    print("saving", flush=True)
    # as in a compilation or on a full disk, no handler runs before it is back
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

run.Run.do = slowly
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tmp_path, command, environment, config_text, number, full):
    if not full and number != signal.SIGTERM:
        pytest.skip("with --full")
    (tmp_path / "config.py").write_text(config_text)
    python, *arguments = command("train", "--config=config.py", "--workdir=run")
    with subprocess.Popen(
        [python, "-c", SLOW, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while process.stdout.readline() != "saving\n":
                assert process.poll() is None
            process.send_signal(number)
            while f"{number.name}: saving after this step" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(number)
            process.wait(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 128 + number
