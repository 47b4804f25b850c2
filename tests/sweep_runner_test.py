"""Sweeps from the first trial to the page: order, resuming, failures, one compilation, ranking."""

import csv
import json
import os
import re
import signal

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError, parallel
from cyclegan_jax import run as run_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.sweeps import report, results, runner
from cyclegan_jax.sweeps.grammar import expand
from cyclegan_jax.writer import read_metrics

WEIGHT, RATIO = "loss.cycle_weight", "loss.identity_ratio"


@pytest.fixture
def config(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.steps = 2
    tiny.sample_every = tiny.save_every = 10
    return tiny


def final_params(config, folder):
    like = Parallel("jit").compile_create_state(config, build_recipe(config))(config.seed)
    with Checkpoints(folder) as checkpoints:
        return jax.device_get(checkpoints.restore(config.steps, like).params)


def assert_close(a, b, rtol):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


def poison(monkeypatch, where):
    """Makes the loss of the runs for which `where(config, step)` holds not finite."""
    original = run_lib.Run.add

    def add(self, step, terms):
        bad = where(self.config, step)
        original(self, step, {k: np.nan if bad else v for k, v in terms.items()})

    monkeypatch.setattr(run_lib.Run, "add", add)


def test_all_trials_train_and_share_one_compilation(config, tmp_path, monkeypatch):
    traces = []
    for name in ("train_step", "create_state"):
        original = getattr(parallel, name)

        def traced(*args, _name=name, _original=original, **kwargs):
            traces.append(_name)
            return _original(*args, **kwargs)

        monkeypatch.setattr(parallel, name, traced)
    rates = "optimizer.generator_learning_rate"
    declared = [{WEIGHT: 5.0}, {WEIGHT: 10.0, RATIO: 0.0}, {"seed": 1}, {rates: 1e-3}]
    sweep = expand(config, declared)
    runner.claim(sweep, tmp_path / "sweep")
    assert runner.run(sweep, tmp_path / "sweep")
    assert sorted(traces) == ["create_state", "train_step"]
    for i in sweep.indices:
        folder = runner.trial_folder(tmp_path / "sweep", i)
        assert runner.ending(tmp_path / "sweep", i) == (runner.DONE, "")
        assert [line["step"] for line in read_metrics(folder) if "loss/cycle_x" in line] == [2]
    finals = [
        final_params(sweep.configs[i], runner.trial_folder(tmp_path / "sweep", i))
        for i in sweep.indices
    ]
    for other in finals[1:]:  # the arguments reach the program
        with pytest.raises(AssertionError):
            assert_close(finals[0], other, 1e-5)


def test_another_shape_is_another_compilation(config, tmp_path):
    sweep = expand(config, {"loss.adversarial": ("bce", "lsgan")})
    assert runner.run(sweep, tmp_path)
    assert [runner.ending(tmp_path, i) for i in sweep.indices] == [(runner.DONE, "")] * 2


def test_trials_at_once_equal_trials_in_turn(config, tmp_path):
    config.steps, config.batch_size = 20, 8
    config.ema_decay, config.history_size = 0.9, 5
    # Adam divides by the gradient's size: a small rate keeps rounding from growing
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = 1e-5
    config.log_every = config.eval_every = 20
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    assert runner.run(sweep, tmp_path / "turn")
    assert runner.run(sweep, tmp_path / "once", together=3)
    for i in sweep.indices:
        turn, once = (runner.trial_folder(tmp_path / n, i) for n in ("turn", "once"))
        assert_close(
            final_params(sweep.configs[i], turn), final_params(sweep.configs[i], once), 1e-4
        )
        a, b = (next(m for m in read_metrics(f) if "loss/cycle_x" in m) for f in (turn, once))
        names = [name for name in a if name.startswith("loss/")]
        assert [b[name] for name in names] == pytest.approx([a[name] for name in names], rel=1e-4)


@pytest.mark.parametrize("together", [1, 2])
def test_a_failed_trial_is_recorded_and_the_rest_go_on(
    config, tmp_path, monkeypatch, capsys, together
):
    poison(monkeypatch, lambda c, step: c.loss.cycle_weight == 5 and step == 1)
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    assert runner.run(sweep, tmp_path, together=together)
    ends = [runner.ending(tmp_path, i) or ("", "") for i in sweep.indices]
    assert [status for status, _ in ends] == [runner.FAILED, runner.DONE, runner.DONE]
    assert "step 1: loss" in ends[0][1]
    assert "trial 0: step 1: loss" in capsys.readouterr().out
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    out = capsys.readouterr().out
    assert "3 trials: 1 failed, 2 done" in out
    assert "Failed trials" in (tmp_path / "sweep.html").read_text()


@pytest.mark.parametrize("together", [1, 2])
def test_a_stopped_sweep_goes_on_where_it_was(config, tmp_path, monkeypatch, capsys, together):
    config.steps = 4
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    assert runner.run(sweep, tmp_path / "whole")
    last = sweep.configs[1].loss.cycle_weight
    original = run_lib.Run.add

    def add(self, step, terms):
        if self.config.loss.cycle_weight == last and step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, step, terms)

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "add", add)
        assert not runner.run(sweep, tmp_path / "parts", together=together)
    ended = [runner.ending(tmp_path / "parts", i) is not None for i in sweep.indices]
    assert ended == ([True, False, False] if together == 1 else [False] * 3)
    capsys.readouterr()
    assert runner.run(sweep, tmp_path / "parts", together=together)
    out = capsys.readouterr().out
    assert "resuming from step" in out
    assert ("trial 0 of 3" in out) == (together > 1)
    for i in sweep.indices:
        whole, parts = (runner.trial_folder(tmp_path / n, i) for n in ("whole", "parts"))
        if together == 1:
            assert_close(*(final_params(sweep.configs[i], f) for f in (whole, parts)), 0)
        assert runner.ending(tmp_path / "parts", i) == (runner.DONE, "")
    assert runner.run(sweep, tmp_path / "parts")  # nothing is left to do
    assert capsys.readouterr().out == ""


def test_trials_of_a_group_that_saved_different_steps_go_on_from_a_common_one(config, tmp_path):
    config.steps = 4
    config.save_every = 2
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    assert runner.run(sweep, tmp_path / "whole", together=2)
    assert runner.run(sweep, tmp_path / "parts", together=2)
    folders = [runner.trial_folder(tmp_path / "parts", i) for i in sweep.indices]
    for folder in folders:
        (folder / "end.json").unlink()
    for path in (folders[1] / "checkpoints").glob("4*"):
        path.rename(tmp_path / "lost")
    assert runner.run(sweep, tmp_path / "parts", together=2)
    for i in sweep.indices:
        whole = runner.trial_folder(tmp_path / "whole", i)
        assert_close(*(final_params(sweep.configs[i], f) for f in (whole, folders[i])), 0)


def test_one_trial_alone(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    assert runner.run(sweep, tmp_path, only=1)
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
    monkeypatch.setattr(runner.loading, "monitoring_split", lambda dataset: "test")
    with pytest.raises(InputError, match=r"no validation pairs .* --validation"):
        runner.check(sweep, None, 1)


def test_another_sweep_in_the_workdir_is_refused(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    runner.claim(sweep, tmp_path / "sweep")
    runner.claim(sweep, tmp_path / "sweep")
    with pytest.raises(InputError, match=r"another sweep.*number 1: .*10\.0.*20\.0"):
        runner.claim(expand(config, {WEIGHT: (5.0, 20.0)}), tmp_path / "sweep")
    with pytest.raises(InputError, match="2 -> 1 of them"):
        runner.claim(expand(config, {WEIGHT: (5.0,)}), tmp_path / "sweep")
    config.steps = 6
    with pytest.raises(InputError, match="steps: 2 -> 6"):
        runner.claim(expand(config, {WEIGHT: (5.0, 10.0)}), tmp_path / "sweep")
    run_lib.claim_workdir(config, tmp_path / "run")
    with pytest.raises(InputError, match="holds a single run"):
        runner.claim(sweep, tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        runner.claim(sweep, tmp_path / "file" / "sweep")


def write_trials(sweep, workdir, scores):
    """Writes what trials leave, with SSIM `scores[i]` both ways; None is a failure."""
    runner.claim(sweep, workdir)
    for i, score in enumerate(scores):
        folder = runner.trial_folder(workdir, i)
        folder.mkdir(parents=True)
        values = {
            f"eval/{direction}/{metric}": value
            for direction in ("t1_to_t2", "t2_to_t1")
            for metric, value in (("ssim", score), ("psnr", 20 + (score or 0)), ("mae", 0.1))
        }
        lines = [] if score is None else [{"step": 1, **values}, {"step": 2, **values}]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        end = {
            "status": "failed" if score is None else "done",
            "message": "broke" * (score is None),
        }
        (folder / "end.json").write_text(json.dumps(end))


def test_settings_are_ranked_by_the_mean_over_seeds(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0), "seed": (0, 1)})
    write_trials(sweep, tmp_path, [0.9, 0.1, 0.6, 0.7, 0.99, None])
    ranked = results.ranked(results.read(sweep, tmp_path), "ssim")
    # the third has the best seed, but one that failed
    assert [s.values[WEIGHT] for s in ranked] == [10.0, 5.0, 20.0]
    assert ranked[0].shown("ssim") == "0.650 ± 0.071"
    assert ranked[2].shown("ssim") == "0.990"
    by_error = results.ranked(results.read(sweep, tmp_path), "mae")
    assert by_error[-1].values[WEIGHT] == 20.0
    with pytest.raises(InputError, match="--metric=fid: computed are ssim, psnr, mae"):
        results.check_metric("fid")


def test_lower_error_ranks_higher(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    write_trials(sweep, tmp_path, [0.5, 0.6])
    path = runner.trial_folder(tmp_path, 0) / "metrics.jsonl"
    path.write_text(path.read_text().replace("0.1", "0.05"))
    ranked = results.ranked(results.read(sweep, tmp_path), "mae")
    assert [s.values[WEIGHT] for s in ranked] == [5.0, 10.0]


@pytest.mark.parametrize(
    "declared",
    [
        {WEIGHT: (5.0, 10.0), RATIO: (0.0, 0.5), "seed": (0, 1)},
        {WEIGHT: (5.0, 10.0)},
        {"seed": (0, 1, 2)},
        {WEIGHT: (5.0, 10.0), RATIO: (0.0, 0.5), "ema_decay": (0.0, 0.9)},
        {"discriminator.features": ((4, 8), (8, 8)), "loss.adversarial": ("bce", "lsgan")},
        [{WEIGHT: float(i + 1), RATIO: 0.1 * i} for i in range(5)],
    ],
)
def test_the_answer_for_any_kind_of_sweep(config, tmp_path, declared, monkeypatch, capsys):
    sweep = expand(config, declared)
    count = len(sweep.trials)
    write_trials(sweep, tmp_path, [0.5 + 0.4 * i / count for i in range(count)])
    monkeypatch.setattr(report, "_test_scores", lambda *_: [])
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    out = capsys.readouterr().out
    assert f"{count} trials: {count} done" in out
    assert "python scripts/train.py --workdir=runs/best --config=mine.py --config.steps=2" in out
    text = (tmp_path / "sweep.html").read_text()
    assert text.count("<img alt=") == text.count("data:image/png;base64,")
    assert not re.search(r'(src|href)="http', text)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(i) for i in range(count)]
    assert float(rows[-1]["ssim_mean"]) == pytest.approx(0.5 + 0.4 * (count - 1) / count)


def test_the_winner_alone_is_scored_on_test_pairs_once(config, tmp_path, capsys):
    sweep = expand(config, {WEIGHT: (5.0, 10.0), "seed": (0, 1)})
    runner.claim(sweep, tmp_path)
    runner.run(sweep, tmp_path, only=0)
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    assert "4 trials: 1 done, 3 unfinished" in capsys.readouterr().out
    assert not list(tmp_path.rglob("scores.json"))  # the choice is not made yet
    runner.run(sweep, tmp_path)
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    best = results.ranked(results.read(sweep, tmp_path), "ssim")[0]
    scored = {path.parents[2].name for path in tmp_path.rglob("scores.json")}
    assert scored == {f"{r.index:03d}" for r in best.results}
    assert "Its test scores: 1 subjects" in (tmp_path / "sweep.html").read_text()
    capsys.readouterr()
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    assert "on the test pairs" not in capsys.readouterr().out
    assert f"--config.{WEIGHT}={best.values[WEIGHT]}" in (tmp_path / "sweep.html").read_text()


def test_collecting_nothing_says_so(config, tmp_path, capsys):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    runner.claim(sweep, tmp_path)
    report.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    assert "nothing to rank yet" in capsys.readouterr().out
