"""Runs that do several steps in one call of the training step."""

import os
import signal

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training import train
from cyclegan_jax.training.metric_log import read_metrics


@pytest.fixture
def config(tiny, _own_cache):
    tiny.history_size, tiny.steps = 10, 8
    tiny.generator.features = tiny.discriminator.features = (4,)
    tiny.discriminator.strides = (2,)
    tiny.log_every = tiny.sample_every = tiny.eval_every = tiny.save_every = 8
    # Adam divides by the gradient's size: a small rate keeps rounding from growing
    tiny.optimizer.generator_learning_rate = tiny.optimizer.discriminator_learning_rate = 1e-5
    return tiny


def final_state(config, workdir):
    like = Parallel("jit").compile_create_state(config, build_recipe(config))(config.seed)
    with Checkpoints(workdir) as checkpoints:
        return jax.device_get(checkpoints.choose("latest", "all").state(like))


def losses(workdir):
    """The logged losses by step."""
    lines = [line for line in read_metrics(workdir) if "steps_per_second" in line]
    return {
        line["step"]: [v for k, v in sorted(line.items()) if k.startswith("loss/")]
        for line in lines
    }


def assert_close(a, b):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def after(monkeypatch, step, act):
    """Calls `act` when the metrics of the call that ends with `step` are read."""
    original = run_lib.Run.count

    def count(self, number, metrics, batch):
        if number == step:
            act()
        original(self, number, metrics, batch)

    monkeypatch.setattr(run_lib.Run, "count", count)


def test_a_run_of_calls_equals_one_of_steps_also_if_it_is_stopped_and_resumed(
    config, tmp_path, monkeypatch, capsys
):
    assert train.train(config, tmp_path / "one_by_one")
    with monkeypatch.context() as patch:
        after(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        config.log_every = config.save_every = 1
        assert not train.train(config, tmp_path / "parts")
    assert max(losses(tmp_path / "parts")) == 3  # no end of a call of two steps
    config.log_every = config.save_every = 8
    config.steps_per_call = 2
    with monkeypatch.context() as patch:
        after(patch, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert not train.train(config, tmp_path / "parts")
    assert "resuming from step 3" in capsys.readouterr().out
    assert train.train(config, tmp_path / "parts")
    assert train.train(config, tmp_path / "calls")
    wanted = final_state(config, tmp_path / "one_by_one")
    assert_close(final_state(config, tmp_path / "calls"), wanted)
    assert_close(final_state(config, tmp_path / "parts"), wanted)
    assert "resuming from step 6" in capsys.readouterr().out
    # the means are those of all eight steps
    assert_close(losses(tmp_path / "calls")[8], losses(tmp_path / "one_by_one")[8])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_augments_on_the_device_resumes_bit_for_bit(
    config, tmp_path, monkeypatch, workers
):
    config.data.contrast, config.data.shift = 0.3, 3
    assert train.train(config, tmp_path / "host")
    config.augment_on_device = True
    assert train.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        after(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert not train.train(config, tmp_path / "parts")
    config.data.workers = workers
    assert train.train(config, tmp_path / "parts")
    whole, parts, host = (final_state(config, tmp_path / n) for n in ("whole", "parts", "host"))
    for ours, theirs in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert_close(whole, host)


def test_a_bad_batch_is_kept_as_the_step_saw_it(config, tmp_path, monkeypatch):
    config.data.contrast, config.data.shift, config.on_nonfinite = 0.3, 3, "skip"
    original = run_lib.Run.count

    def count(self, step, metrics, batch):
        bad = {name: np.full_like(v, np.nan) for name, v in metrics.items()}
        original(self, step, bad if step == 2 else metrics, batch)

    monkeypatch.setattr(run_lib.Run, "count", count)
    kept = {}
    for config.augment_on_device in (False, True):
        workdir = tmp_path / str(config.augment_on_device)
        assert train.train(config, workdir)
        kept[config.augment_on_device] = np.load(workdir / "nonfinite" / "step_0000002.npz")
    assert kept[True].files == kept[False].files == ["step", "x", "y"]
    for name in ("x", "y"):
        np.testing.assert_array_equal(kept[True][name], kept[False][name])


def test_a_step_that_is_not_finite_is_named_within_its_call(config, tmp_path, monkeypatch):
    original = run_lib.batches_lib.read_ahead

    def read_ahead(batches, start, workers):
        for step, batch in enumerate(original(batches, start, workers), start + 1):
            yield batch | {"x": batch["x"] * np.nan} if step == 5 else batch

    monkeypatch.setattr(run_lib.batches_lib, "read_ahead", read_ahead)
    config.steps_per_call, config.steps = 3, 6
    config.log_every = config.sample_every = config.eval_every = config.save_every = 6
    with pytest.raises(InputError, match=r"step 5: .* is not finite .*step_0000005\.npz"):
        train.train(config, tmp_path / "run")
    kept = np.load(tmp_path / "run" / "nonfinite" / "step_0000005.npz")
    assert kept["x"].shape == (8, 16, 16, 1)
    assert np.isfinite(kept["y"]).all()
    config.on_nonfinite = "skip"
    assert train.train(config, tmp_path / "run")
    last = next(line for line in read_metrics(tmp_path / "run") if "skipped_steps" in line)
    assert (last["step"], last["skipped_steps"]) == (6, 1)
    assert final_state(config, tmp_path / "run").step == 6
