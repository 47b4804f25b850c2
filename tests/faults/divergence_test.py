"""Numbers that are not finite, injected everywhere: the run stops at the step, or skips it."""

import dataclasses
import functools
import itertools
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.optimizer import Hyperparameters, at_step
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.report import page
from cyclegan_jax.state import build_recipe, create_state
from cyclegan_jax.step import train_step
from cyclegan_jax.sweeps import runner
from cyclegan_jax.sweeps.grammar import expand
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training import train
from cyclegan_jax.training.metric_log import read_metrics
from cyclegan_jax.training.nonfinite import MOST_SKIPPED_IN_A_ROW, DivergedError, describe_nonfinite

NETWORKS = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
STEPS = MOST_SKIPPED_IN_A_ROW + 6
NOT_FINITE = (np.nan, np.inf, -np.inf)


@jax.custom_jvp
def steep(fault):
    """0, with an infinite slope where `fault` is not 0."""
    return jnp.zeros_like(fault)


@steep.defjvp
def _(primals, tangents):
    return steep(*primals), jnp.where(primals[0] == 0, 0.0, jnp.inf) * tangents[0]


@dataclasses.dataclass(frozen=True)
class Breakable:
    """A network with one parameter more; where that is not 0, only the gradient is not finite."""

    module: object

    def init(self, key, images):
        return {"params": {"net": self.module.init(key, images)["params"], "fault": jnp.zeros(())}}

    def apply(self, variables, images):
        p = variables["params"]
        return self.module.apply({"params": p["net"]}, images) + steep(p["fault"])


def breakable_recipe(config):
    recipe = build_recipe(config)
    return dataclasses.replace(recipe, modules=recipe.modules.map(Breakable))


def broken(state, network):
    """The state on the host with an infinite gradient for one network."""
    params = getattr(state.params, network) | {"fault": np.float32(1)}
    return state.replace(params=state.params.replace(**{network: params}))


def with_value(batch, domain, image, value):
    """The batch with one pixel of one image changed; of eight devices each sees one image."""
    images = batch[domain].copy()
    images[image, 5, 7, 0] = value
    return batch | {domain: images}


def assert_same(a, b):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def left_out(state):
    """The state after a second step that is left out: its number and its rates are a step on."""
    step = np.int32(2)
    return state.replace(step=step, opt_state=at_step(state.opt_state, step))


def on_host(devices, config, recipe):
    """A training step of `config` from host to host, and the state before the first."""
    compiled = devices.compile_train_step(recipe)
    hyper = devices.place_state(Hyperparameters.of(config))

    def step(state, batch):
        placed = devices.place_state(state), devices.place_batch(batch)
        return jax.device_get(compiled(*placed, hyper))

    return step, jax.device_get(devices.compile_create_state(config, recipe)(config.seed))


@pytest.fixture
def config(tiny, _own_cache, monkeypatch):
    """Skips, with everything in its state that there can be; one compilation serves most tests."""
    monkeypatch.setattr(page, "finish", lambda workdir, step: None)
    tiny.on_nonfinite, tiny.ema_decay, tiny.history_size = "skip", 0.9, 10
    tiny.generator.features = tiny.discriminator.features = (4,)
    tiny.discriminator.strides = (2,)
    tiny.steps = STEPS
    tiny.log_every = tiny.save_every = 4
    tiny.eval_every = tiny.sample_every = 100
    return tiny


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_step_that_is_not_finite_changes_nothing_but_its_number(config, batch, mode):
    devices = Parallel(mode)
    assert len(devices.devices) == 8
    step, state = on_host(devices, config, breakable_recipe(config))
    state, metrics = step(state, batch)
    assert describe_nonfinite(metrics) == ""
    assert state.pools["x"].count == 8

    for domain, image, value in itertools.product("xy", range(8), NOT_FINITE):
        bad = with_value(batch, domain, image, value)
        after, metrics = step(state, bad)
        assert_same(after, left_out(state))
        other = {"x": "y", "y": "x"}[domain]
        broken_terms = {f"cycle_{domain}", f"discriminator_{domain}", f"identity_{domain}"}
        found = {name for name, number in metrics.items() if not np.isfinite(number)}
        assert broken_terms <= found, (domain, image, value)
        assert not found & {f"cycle_{other}", f"identity_{other}"}
    for network in NETWORKS:
        bad = broken(state, network)
        after, metrics = step(bad, batch)
        assert describe_nonfinite(metrics) == f"gradient of {network}"
        assert_same(after, left_out(bad))

    # Training continues as if the skipped steps had never been.
    mirrored = {domain: images[:, :, ::-1] for domain, images in batch.items()}
    for bad in (with_value(batch, "y", 3, np.nan), with_value(batch, "x", 0, np.inf)):
        skipped, _ = step(state, bad)
        assert_same(step(skipped, mirrored), step(left_out(state), mirrored))
    assert not np.array_equal(
        step(state, mirrored)[0].pools["x"].images, step(skipped, mirrored)[0].pools["x"].images
    )  # the randomness moved on with the step
    after, _ = step(skipped, mirrored)
    assert all(
        np.any(ours != theirs)
        for ours, theirs in zip(
            jax.tree.leaves(after.params.generator_g["net"]),
            jax.tree.leaves(state.params.generator_g["net"]),
            strict=True,
        )
    )


def test_a_step_that_may_not_be_skipped_is_compiled_without_the_choice(config, batch):
    def choices():
        recipe = build_recipe(config)
        state = jax.eval_shape(functools.partial(create_state, config, recipe), 0)
        step = functools.partial(train_step, recipe=recipe)
        written = str(jax.make_jaxpr(step)(state, batch, Hyperparameters.of(config)))
        return written.count("name=_where"), len(jax.tree.leaves(state))

    skipping, leaves = choices()
    config.on_nonfinite = "stop"
    assert skipping - choices()[0] == leaves > 50


def poison(monkeypatch, where):
    """Puts a NaN into the batches of the runs and steps for which `where(config, step)` holds."""
    original = run_lib.Run.begin

    def begin(self, step):
        for number, batch in enumerate(original(self, step), step + 1):
            bad = where(self.config, number)
            yield with_value(batch, "x", 5, np.nan) if bad else batch

    monkeypatch.setattr(run_lib.Run, "begin", begin)


def saved_state(config, workdir):
    like = Parallel("jit").compile_create_state(config, build_recipe(config))(config.seed)
    with Checkpoints(workdir) as checkpoints:
        return jax.device_get(checkpoints.choose("latest", "all").state(like))


def assert_finite(state):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_run_stops_keeps_its_checkpoint_and_resumes(
    config, tmp_path, monkeypatch, capsys, mode, full
):
    if mode == "jit" and not full:
        pytest.skip("--full: the loop does not know the mode, which the tests of the step cover")
    config.parallel, config.on_nonfinite, run = mode, "stop", tmp_path / "run"
    with monkeypatch.context() as patch:
        poison(patch, lambda c, step: step == 5)
        with pytest.raises(DivergedError) as stopped:
            train.train(config, run)
        message = str(stopped.value)
        assert "\n" not in message
        words = ["step 5: loss adversarial_g", "cycle_x", "gradient of discriminator_x"]
        words += ["images of x", "--config.on_nonfinite=skip", "checkpoint of step 4 is kept"]
        for word in (*words, str(Workdir(run).nonfinite_batch(5, 0))):
            assert word in message
        assert saved_state(config, run).step == 4
        assert_finite(saved_state(config, run))
        assert_the_batch_is_kept(Workdir(run).nonfinite_batch(5, 0))
        shutil.copytree(run, tmp_path / "fixed")
        # The fault is still there, and the run may now skip it.
        config.on_nonfinite = "skip"
        assert train.train(config, run)
    out = capsys.readouterr().out
    assert "resuming from step 4" in out
    assert "step 5: loss adversarial_g" in out
    assert "its update is left out" in out
    lines = read_metrics(run)
    skipped = [(m["step"], m["skipped_steps"]) for m in lines if "skipped_steps" in m]
    assert skipped == [(8, 1), (12, 0), (16, 0)]
    assert saved_state(config, run).step == STEPS
    assert_finite(saved_state(config, run))
    losses = [line for line in lines if "loss/cycle_x" in line]
    assert [line["step"] for line in losses] == [4, 8, 12, 16]
    assert all(np.isfinite(value) for line in losses for value in line.values())

    # Once the fault is fixed, the run that stopped ends as if there had been none.
    config.on_nonfinite = "stop"
    assert train.train(config, tmp_path / "fixed")
    assert train.train(config, tmp_path / "whole")
    assert_same(saved_state(config, tmp_path / "fixed"), saved_state(config, tmp_path / "whole"))


def assert_the_batch_is_kept(path):
    with np.load(path, allow_pickle=False) as seen:
        assert (seen["step"], seen["x"].shape, seen["y"].dtype) == (5, (8, 16, 16, 1), "float32")
        assert np.argwhere(np.isnan(seen["x"])).tolist() == [[5, 5, 7, 0]]
        assert np.isfinite(seen["y"]).all()
    assert path.with_suffix(".png").exists()


def test_a_run_gives_up_after_the_bound_with_its_last_good_state_saved(
    config, tmp_path, monkeypatch, capsys
):
    config.log_every, config.save_every = 1, 3
    # not in a row at first
    poison(monkeypatch, lambda c, step: step in (2, 4) or step >= 6)
    with pytest.raises(DivergedError) as stopped:
        train.train(config, tmp_path)
    last = 5 + MOST_SKIPPED_IN_A_ROW
    assert str(stopped.value).startswith(f"step {last}: loss adversarial_g")
    assert f"{MOST_SKIPPED_IN_A_ROW} steps in a row were skipped" in str(stopped.value)
    assert "on_nonfinite" not in str(stopped.value)
    files = sorted(path.name for path in Workdir(tmp_path).nonfinite.glob("*.npz"))
    assert files == [f"step_{step:07d}.npz" for step in (2, 4, 6, last)]
    assert capsys.readouterr().out.count("its update is left out") == 3
    state = saved_state(config, tmp_path)
    assert state.step == (last - 1) // 3 * 3
    assert_finite(state)
    assert updates(state) == {3}  # at steps 1, 3 and 5
    logged = read_metrics(tmp_path)
    assert [m["step"] for m in logged if "loss/cycle_x" in m] == [1, 3, 5]
    assert sum(m.get("skipped_steps", 0) for m in logged) == last - 1 - 3


def updates(state):
    """How often the optimizers of a state have updated its networks."""
    leaves = jax.tree.leaves_with_path(state.opt_state)
    return {int(leaf) for path, leaf in leaves if jax.tree_util.keystr(path).endswith("[0].count")}


def test_a_batch_that_cannot_be_written_does_not_hide_the_divergence(config, tmp_path, monkeypatch):
    config.on_nonfinite = "stop"
    Workdir(tmp_path).nonfinite.write_text("in the way")
    poison(monkeypatch, lambda c, step: step == 1)
    with pytest.raises(DivergedError, match=r"step 1: loss .* could not be written: File exists"):
        train.train(config, tmp_path)


def test_a_save_that_fails_does_not_hide_the_divergence(config, tmp_path, monkeypatch):
    config.on_nonfinite = "stop"
    poison(monkeypatch, lambda c, step: step == 6)

    failing = mock.Mock(side_effect=InputError("not written"))
    monkeypatch.setattr(run_lib.Run, "wait", failing)
    with pytest.raises(DivergedError, match=r"step 6: loss .* \(not written\)"):
        train.train(config, tmp_path)


def test_in_a_sweep_each_trial_skips_for_itself(config, tmp_path, monkeypatch, capsys):
    sweep = expand(config, {"loss.cycle_weight": (5.0, 10.0)})
    poison(monkeypatch, lambda c, step: c.loss.cycle_weight == 10 and step == 2)
    assert runner.train_trials(sweep, tmp_path, at_once=2)
    folders = [Workdir(tmp_path).trial(index) for index in sweep.indices]
    logged = [[line.get("skipped_steps", 0) for line in read_metrics(f)] for f in folders]
    assert [sum(skipped) for skipped in logged] == [0, 1]
    assert [updates(saved_state(config, f)) for f in folders] == [{STEPS}, {STEPS - 1}]
    assert [Workdir(folder).nonfinite.exists() for folder in folders] == [False, True]
    assert "trial 1: step 2: loss adversarial_g" in capsys.readouterr().out
    assert [runner.ending(tmp_path, index) for index in sweep.indices] == [(runner.DONE, "")] * 2


def test_terms_and_networks_are_named():
    terms = dict.fromkeys(("cycle_x", "cycle_y", "gradient_generator_f"), np.float32(1))
    assert describe_nonfinite(terms) == ""
    assert describe_nonfinite(terms | {"cycle_y": np.float32(np.inf)}) == "loss cycle_y"
    terms |= {"cycle_x": np.float32(np.nan), "gradient_generator_f": np.float32(np.nan)}
    assert describe_nonfinite(terms) == "loss cycle_x and gradient of generator_f"
