"""Two processes of two devices each: one run, preempted, killed, resumed on other devices."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError, config
from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.config import load_file
from cyclegan_jax.parallel import multihost
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training import train
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.metric_log import read_metrics
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.run import Run

STEPS, BATCH = 16, 8
# What the library of the collectives prints when processes meet. Threads print it piece by piece,
# so pieces of two lines may be mixed.
GLOO = re.compile(
    r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks|is :|\d+"
)
HEARTBEAT = 10  # seconds; a test need not wait as long as a cluster should
CONFIG = f"""
from cyclegan_jax.config import base_config

def get_config():
    c = base_config()
    c.image_size, c.batch_size, c.steps = 16, {BATCH}, {STEPS}
    c.data.phantom.subjects, c.data.phantom.held_out, c.data.phantom.slices = 4, 1, 2
    c.data.contrast, c.data.shift = 0.2, 2
    c.generator.features = c.discriminator.features = (4, 8)
    c.discriminator.strides = (2, 2)
    c.history_size, c.ema_decay = 10, 0.9
    # Adam divides by the gradient's size: a small rate keeps rounding from growing
    c.optimizer.generator_learning_rate = c.optimizer.discriminator_learning_rate = 1e-5
    c.log_every, c.save_every, c.eval_every, c.sample_every = 1, 4, 8, 8
    return c
"""
# Slows the steps, so that there is time to interrupt; prints how many images were prepared.
SLOWED = """
import runpy, sys, time
from cyclegan_jax.system import runtime

runtime.tune_process()  # before jax is imported
from cyclegan_jax.data import batches as pipeline
from cyclegan_jax.parallel import multihost

seconds, multihost.HEARTBEAT_SECONDS = float(sys.argv[1]), int(sys.argv[2])
batches, augmented, made = pipeline.read_ahead, pipeline.augmented, []

def slowed(*arguments):
    for batch in batches(*arguments):
        time.sleep(seconds)
        yield batch

def counted(*arguments):
    made.append(1)
    return augmented(*arguments)

pipeline.read_ahead, pipeline.augmented = slowed, counted
del sys.argv[:3]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("images made ready:", len(made), file=sys.stderr)
"""


class Processes:
    """Two processes that train in `place`/run."""

    def __init__(self, place, command, environment, seconds, *flags):
        self.workdir = place / "run"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        extra = {
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2 "
            "--xla_backend_optimization_level=0",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # a launch finds the last one's
        }
        script = command("train", "--config=config.py", f"--workdir={self.workdir}", *flags)[1:]
        (place / "slowed.py").write_text(SLOWED)
        self.all = []
        for number in range(2):
            joining = (f"--coordinator=127.0.0.1:{port}", f"--process_id={number}")
            slowed = [sys.executable, str(place / "slowed.py"), str(seconds), str(HEARTBEAT)]
            process = subprocess.Popen(
                [*slowed, *script, "--distributed", *joining, "--processes=2"],
                cwd=place,
                env=environment(place) | extra,
                stdout=(place / f"{number}.out").open("w"),
                stderr=(place / f"{number}.err").open("w"),
            )
            self.all.append(process)
        self._place = place

    def wait_for_step(self, step):
        end = time.monotonic() + 120
        while not self._logged(step):
            assert time.monotonic() < end
            assert self.codes() == [None, None], self.said()
            time.sleep(0.05)

    def _logged(self, step):
        there = Workdir(self.workdir).metrics.exists()
        return there and any(line["step"] >= step for line in read_metrics(self.workdir))

    def codes(self):
        return [process.poll() for process in self.all]

    def wait(self, seconds=120):
        """The exit statuses."""
        end = time.monotonic() + seconds
        for process in self.all:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pytest.fail(f"not ended after {seconds} s: {self.codes()} {self.said()}")
        return self.codes()

    def said(self, number=None, stream="*"):
        files = sorted(self._place.glob(f"{'?' if number is None else number}.{stream}"))
        return "\n".join(path.read_text(errors="replace") for path in files)


@pytest.fixture
def launch(tmp_path, command, environment):
    """Launches both processes; none outlives the test."""
    with contextlib.ExitStack() as stack:

        def go(seconds=0.0, *flags):
            (tmp_path / "config.py").write_text(CONFIG)
            processes = Processes(tmp_path, command, environment, seconds, *flags)
            for process in processes.all:
                stack.callback(process.wait, 30)
                stack.callback(process.kill)
            return processes

        yield go


def in_this_process(tmp_path, monkeypatch, workdir, devices):
    """Trains to the end without a second process."""
    (tmp_path / "config.py").write_text(CONFIG)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wanted = load_file(tmp_path / "config.py").get_config()
    config.validate(wanted)
    programs = Programs(wanted, jax.devices()[:devices])
    with Run(wanted, workdir, programs) as run, Interruption() as interruption:
        state = run.resume()
        train.train_loop(run, state, programs, interruption)


def saved(workdir):
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.choose("latest", "all")


def assert_equal_parameters(workdir, other):
    one, two = saved(workdir), saved(other)
    assert one.step == two.step == STEPS
    for item in ("generators", "discriminators", "ema"):
        a, b = (np.concatenate([v.ravel() for v in s.items[item].values()]) for s in (one, two))
        assert np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(a), item
    assert set(one.items["train"]) == set(two.items["train"])  # histories are there


def logged(workdir):
    return [line["step"] for line in read_metrics(workdir) if "loss/cycle_x" in line]


def stopped(processes, victim, number):
    """The step after which a signal to one process has stopped both."""
    processes.all[victim].send_signal(number)
    assert processes.wait() == [0, 0], processes.said()
    (step,) = (
        int(line.split()[3])
        for line in processes.said(0, "out").splitlines()
        if line.startswith("stopped after step")
    )
    assert step == saved_steps(processes.workdir)[-1] < STEPS
    assert "--distributed" in processes.said(0, "out").splitlines()[-1]
    return step


def killed(processes, victim):
    """The words of the process whose peer was killed, after it has ended by itself."""
    processes.all[victim].kill()
    processes.wait(2 * HEARTBEAT + 10)
    left = 1 - victim
    assert processes.codes()[left] not in (0, None)
    return processes.said(left, "err")


def test_a_run_of_two_processes_is_that_of_one(launch, tmp_path, monkeypatch):
    processes = launch(0.3, "--config.augment_on_device=True")
    processes.wait_for_step(2)
    step = stopped(processes, 1, signal.SIGTERM)
    own = GLOO.sub("", processes.said(1, "out")).split()
    assert own == [], "the second process prints nothing"

    other_mode = "--config.parallel=jit"
    processes = launch(0.3, other_mode)
    processes.wait_for_step(step + 2)
    assert "another" in killed(processes, 1)

    processes = launch(0.0, other_mode)
    assert processes.wait() == [0, 0], processes.said()
    assert "resuming from step" in processes.said(0, "out")
    shares = processes.said(stream="err").split("images made ready: ")[1:]
    left = STEPS - step
    for made in (int(share.split()[0]) for share in shares):
        assert made < 2 * BATCH * left, "a process has made ready more than its half"
    assert len(shares) == 2
    assert {path.name for path in processes.workdir.iterdir()} >= {"report.html", "eval", "samples"}
    assert set(logged(processes.workdir)) == {*range(1, STEPS + 1)}
    assert len(list((processes.workdir / "tensorboard").iterdir())) == 3, "one for each launch"

    in_this_process(tmp_path, monkeypatch, tmp_path / "alone", 4)
    assert_equal_parameters(processes.workdir, tmp_path / "alone")


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_run_moves_between_processes_and_one_device(launch, tmp_path, monkeypatch, full, mode):
    if not full:
        pytest.skip("only with --full")
    flag = f"--config.parallel={mode}"
    processes = launch(0.3, flag)
    processes.wait_for_step(2)
    stopped(processes, 0, signal.SIGINT)
    processes = launch(0.3, flag)
    processes.wait_for_step(saved_steps(processes.workdir)[-1] + 1)
    killed(processes, 0)  # the coordinator
    in_this_process(tmp_path, monkeypatch, processes.workdir, 1)

    alone = tmp_path / "alone"
    in_this_process(tmp_path, monkeypatch, alone, 4)
    assert_equal_parameters(processes.workdir, alone)


def test_flags_that_do_not_join_are_one_line(monkeypatch):
    def refused(match, *arguments):
        with pytest.raises(InputError, match=match) as error:
            multihost.join_and_run(lambda: 0, *arguments)
        assert "\n" not in str(error.value)

    refused("give all of --coordinator", "localhost:1", None, 2)
    refused("give all of --coordinator", None, 0, None)
    refused("process_id=2 must be from 0 .*processes=2", "localhost:1234", 2, 2)
    refused("process_id=-1 must be", "localhost:1234", -1, 2)
    refused("coordinator=here: must be host:port", "here", 0, 2)
    refused("coordinator=here:99999: must be host:port", "here:99999", 0, 2)
    monkeypatch.setattr(multihost, "_JOIN_SECONDS", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        refused("was not reached within 1 s", f"127.0.0.1:{closed.getsockname()[1]}", 1, 2)


def test_flags_without_distributed_are_refused(script, tmp_path, config_text):
    (tmp_path / "config.py").write_text(config_text)
    found = script(tmp_path, "train", "--config=config.py", "--workdir=run", "--processes=2")
    assert found.returncode == 1
    assert found.stderr == "error: --coordinator, --process_id and --processes need --distributed\n"
    assert not (tmp_path / "run").exists()
