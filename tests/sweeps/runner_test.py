"""Sweeps from the first trial to the page: order, resuming, failures, one compilation, ranking."""

import os
import signal

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.parallel import data_parallel
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.sweeps import page, results, runner
from cyclegan_jax.sweeps.grammar import expand
from cyclegan_jax.system.workdir import Workdir, claim_workdir
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training.metric_log import read_metrics

WEIGHT, RATIO = "loss.cycle_weight", "loss.identity_ratio"
DIGESTS = ["of some data"]


@pytest.fixture
def config(swept):
    return swept


def final_state(config, folder):
    like = Parallel("jit").compile_create_state(config, build_recipe(config))(config.seed)
    with Checkpoints(folder) as checkpoints:
        return jax.device_get(checkpoints.read(config.steps).state(like))


def assert_close(a, b, tolerance):
    """Within `tolerance` of each array's largest value."""
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        largest = float(np.abs(theirs).max(initial=0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * largest)


def poison(monkeypatch, where):
    """Makes the loss of the runs for which `where(config, step)` holds not finite."""
    original = run_lib.Run.count

    def add(self, step, terms, batch):
        bad = where(self.config, step)
        original(self, step, {k: np.nan if bad else v for k, v in terms.items()}, batch)

    monkeypatch.setattr(run_lib.Run, "count", add)


def test_all_trials_train_and_share_one_compilation(config, tmp_path, monkeypatch):
    traces = []
    for name in ("train_steps", "create_state"):
        original = getattr(data_parallel, name)

        def traced(*args, _name=name, _original=original, **kwargs):
            traces.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(data_parallel, name, traced)
    rates = [f"optimizer.{name}_learning_rate" for name in ("generator", "discriminator")]
    # the second has the base's identity weight
    declared = [{}, {WEIGHT: 5.0, RATIO: 0.75}, {RATIO: 0.5}, {"seed": 1}]
    declared += [{rate: 1e-3} for rate in rates]
    sweep = expand(config, declared)
    runner.claim(sweep, tmp_path / "sweep", DIGESTS)
    assert runner.train_trials(sweep, tmp_path / "sweep")
    assert sorted(traces) == ["create_state", "train_steps"]
    for i in sweep.indices:
        folder = Workdir(tmp_path / "sweep").trial(i)
        assert runner.ending(tmp_path / "sweep", i) == (runner.DONE, "")
        assert [line["step"] for line in read_metrics(folder) if "loss/cycle_x" in line] == [2]
    finals = [
        final_state(sweep.configs[i], Workdir(tmp_path / "sweep").trial(i)) for i in sweep.indices
    ]
    for other in finals[1:]:  # the arguments reach the program
        with pytest.raises(AssertionError):
            assert_close(finals[0], other, 1e-5)


@pytest.mark.parametrize(
    ("key", "values", "field", "expected"),
    [
        ("loss.adversarial", ("bce", "lsgan"), "adversarial", ["bce", "lsgan"]),
        (RATIO, (0.5, 0.0), "terms", [("cycle", "identity"), ("cycle",)]),
    ],
)
def test_another_shape_is_another_compilation(
    key, values, field, expected, config, tmp_path, monkeypatch
):
    kinds = []
    original = data_parallel.train_steps

    def traced(*args, recipe, **kwargs):
        kinds.append(getattr(recipe.objective, field))
        return original(*args, recipe=recipe, **kwargs)

    monkeypatch.setattr(data_parallel, "train_steps", traced)
    assert runner.train_trials(expand(config, {key: values}), tmp_path)
    assert kinds == expected


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_trials_at_once_equal_trials_in_turn(config, tmp_path, steps_per_call):
    config.steps = 20
    config.augment_on_device, config.data.shift = steps_per_call == 2, 2
    config.ema_decay, config.history_size = 0.9, 5
    # Adam divides by the gradient's size: a small rate keeps rounding from growing
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = 1e-5
    config.log_every = config.eval_every = 20
    sweep = expand(config, [{WEIGHT: 5.0}, {WEIGHT: 20.0}, {"seed": 1}])
    assert runner.train_trials(sweep, tmp_path / "turn")
    config.steps_per_call = steps_per_call
    in_calls = expand(config, [{WEIGHT: 5.0}, {WEIGHT: 20.0}, {"seed": 1}])
    assert runner.train_trials(in_calls, tmp_path / "once", at_once=3)
    finals = []
    for i in sweep.indices:
        turn, once = (Workdir(tmp_path / n).trial(i) for n in ("turn", "once"))
        finals.append(final_state(sweep.configs[i], once))
        assert_close(final_state(sweep.configs[i], turn), finals[-1], 1e-4)
        a, b = (next(m for m in read_metrics(f) if "loss/cycle_x" in m) for f in (turn, once))
        names = [name for name in a if name.startswith("loss/")]
        assert [b[name] for name in names] == pytest.approx([a[name] for name in names], rel=1e-4)
    for other in finals[1:]:  # the comparison can tell trials apart
        with pytest.raises(AssertionError):
            assert_close(finals[0].opt_state, other.opt_state, 1e-4)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_failed_trial_is_recorded_and_the_rest_go_on(
    config, tmp_path, monkeypatch, capsys, at_once
):
    poison(monkeypatch, lambda c, step: c.loss.cycle_weight == 5 and step == 1)
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    assert runner.train_trials(sweep, tmp_path, at_once=at_once)
    ends = [runner.ending(tmp_path, i) or ("", "") for i in sweep.indices]
    assert [status for status, _ in ends] == [runner.FAILED, runner.DONE, runner.DONE]
    assert "step 1: loss" in ends[0][1]
    assert "trial 0: step 1: loss" in capsys.readouterr().out
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    out = capsys.readouterr().out
    assert "3 trials: 1 failed, 2 done" in out
    assert "Failed trials" in (tmp_path / "sweep.html").read_text()


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_stopped_sweep_goes_on_where_it_was(config, tmp_path, monkeypatch, capsys, at_once):
    config.steps = 4
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = 1e-5
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    assert runner.train_trials(sweep, tmp_path / "whole")
    last = sweep.configs[1].loss.cycle_weight
    original = run_lib.Run.count

    def add(self, step, terms, batch):
        if self.config.loss.cycle_weight == last and step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, step, terms, batch)

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "count", add)
        assert not runner.train_trials(sweep, tmp_path / "parts", at_once=at_once)
    ended = [runner.ending(tmp_path / "parts", i) is not None for i in sweep.indices]
    assert ended == ([True, False, False] if at_once == 1 else [False] * 3)
    capsys.readouterr()
    assert runner.train_trials(sweep, tmp_path / "parts", at_once=at_once)
    out = capsys.readouterr().out
    assert "resuming from step" in out
    assert ("trial 0 of 3" in out) == (at_once > 1)
    for i in sweep.indices:
        whole, parts = (Workdir(tmp_path / n).trial(i) for n in ("whole", "parts"))
        tolerance = 0 if at_once == 1 else 1e-4
        assert_close(*(final_state(sweep.configs[i], f) for f in (whole, parts)), tolerance)
        assert runner.ending(tmp_path / "parts", i) == (runner.DONE, "")
    assert runner.train_trials(sweep, tmp_path / "parts")  # nothing is left to do
    assert capsys.readouterr().out == ""


def test_trials_that_saved_different_steps_go_on_each_from_its_own(
    config, tmp_path, monkeypatch, capsys
):
    config.steps, config.save_every = 4, 2
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    killed = RuntimeError("as if the process died")
    original = run_lib.Run.count

    def add(self, step, terms, batch):
        if self.config.loss.cycle_weight == 10 and step == 3:
            raise killed
        original(self, step, terms, batch)

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "count", add)
        with pytest.raises(RuntimeError):
            runner.train_trials(sweep, tmp_path, at_once=2)
    capsys.readouterr()
    for folder in (Workdir(tmp_path).trial(i) for i in (0, 1)):
        assert [p.name for p in (folder / "checkpoints").glob("[0-9]")] == ["2"]
    runner.train_trials(sweep, tmp_path, only=0)
    assert runner.train_trials(sweep, tmp_path, at_once=2)
    assert capsys.readouterr().out.count("resuming from step 2") == 2
    assert all(runner.ending(tmp_path, i) == (runner.DONE, "") for i in sweep.indices)


def test_a_failure_is_recorded_at_once(config, tmp_path, monkeypatch):
    config.steps = 4
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    seen = []
    original = run_lib.Run.count

    def add(self, step, terms, batch):
        if self.config.loss.cycle_weight == 10 and step == 3:
            seen.append(runner.ending(tmp_path, 0))
        bad = self.config.loss.cycle_weight == 5
        original(self, step, {k: np.nan if bad else v for k, v in terms.items()}, batch)

    monkeypatch.setattr(run_lib.Run, "count", add)
    assert runner.train_trials(sweep, tmp_path, at_once=2)
    assert seen[0][0] == runner.FAILED


def test_scores_lost_after_the_last_save_are_made_again(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    assert runner.train_trials(sweep, tmp_path)
    before = results.read_results(sweep, tmp_path)[0].score("ssim")
    folder = Workdir(tmp_path).trial(0)
    (folder / "end.json").unlink()
    (folder / "metrics.jsonl").write_text("")
    assert runner.train_trials(sweep, tmp_path)
    assert results.read_results(sweep, tmp_path)[0].score("ssim") == pytest.approx(before, rel=1e-6)


def test_one_trial_alone(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    assert runner.train_trials(sweep, tmp_path, only=1)
    assert [runner.ending(tmp_path, i) is not None for i in sweep.indices] == [False, True]


def test_what_could_stop_a_trial_is_found_before_the_first(config, tmp_path, monkeypatch):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    runner.check(sweep, None, 8)
    with pytest.raises(InputError, match=r"--trial=2: there are trials 0 to 1"):
        runner.check(sweep, 2, 1)
    with pytest.raises(InputError, match=r"--parallel_trials=9: there are 8 local"):
        runner.check(sweep, None, 9)
    with pytest.raises(InputError, match=r"batch_size = 12 .* 8 devices"):
        runner.check(expand(config, {"batch_size": (8, 12)}), None, 1)
    monkeypatch.setattr(runner.from_config, "monitoring_split", lambda dataset: "test")
    with pytest.raises(InputError, match=r"no validation pairs .* --validation"):
        runner.check(sweep, None, 1)


def test_another_sweep_in_the_workdir_is_refused(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    runner.claim(sweep, tmp_path / "sweep", DIGESTS)
    runner.claim(sweep, tmp_path / "sweep", DIGESTS)
    with pytest.raises(InputError, match=r"another sweep.*number 1: .*10\.0.*20\.0"):
        runner.claim(expand(config, {WEIGHT: (5.0, 20.0)}), tmp_path / "sweep", DIGESTS)
    with pytest.raises(InputError, match="2 -> 1 of them"):
        runner.claim(expand(config, {WEIGHT: (5.0,)}), tmp_path / "sweep", DIGESTS)
    with pytest.raises(InputError, match="the data set has other images"):
        runner.claim(sweep, tmp_path / "sweep", ["of other data"])
    runner.claim(sweep, tmp_path / "dry", DIGESTS, new=False)
    assert not (tmp_path / "dry").exists()
    config.steps = 6
    with pytest.raises(InputError, match="steps: 2 -> 6"):
        runner.claim(expand(config, {WEIGHT: (5.0, 10.0)}), tmp_path / "sweep", DIGESTS)
    claim_workdir(config, tmp_path / "run", writes=True)
    with pytest.raises(InputError, match="holds a single run"):
        runner.claim(sweep, tmp_path / "run", DIGESTS)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        runner.claim(sweep, tmp_path / "file" / "sweep", DIGESTS)
