"""The answer of a sweep: scores, the ranking, the page, and test pairs that are used once."""

import csv
import json
import re

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.sweeps import figures, page, results, runner
from cyclegan_jax.sweeps.grammar import expand
from cyclegan_jax.system.workdir import Workdir

WEIGHT, RATIO = "loss.cycle_weight", "loss.identity_ratio"
DIGESTS = ["of some data"]


@pytest.fixture
def config(swept):
    return swept


def write_trials(sweep, workdir, scores):
    """Writes the files of trials with SSIM `scores[i]` in both directions; None is a failure."""
    runner.claim(sweep, workdir, DIGESTS)
    for i, score in enumerate(scores):
        folder = Workdir(workdir).trial(i)
        folder.mkdir(parents=True)
        values = {
            f"eval/{direction}/{metric}": value
            for direction in ("t1_to_t2", "t2_to_t1")
            for metric, value in (("ssim", score), ("psnr", 20 + (score or 0)), ("mae", 0.1))
        }
        lines = [] if score is None else [{"step": 1, **values}, {"step": 2, **values}]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (folder / "samples").mkdir()
        save_grid(folder / "samples" / "step_0000002.png", [[np.zeros((8, 8))]], [])
        failed = score is None
        end = {"status": "failed" if failed else "done", "message": "broke" if failed else ""}
        (folder / "end.json").write_text(json.dumps(end))


def test_settings_are_ranked_by_the_mean_over_seeds(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0), "seed": (0, 1)})
    write_trials(sweep, tmp_path, [0.9, 0.1, 0.6, 0.7, 0.99, None])
    ranked = results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")
    # the third has the best seed, but one that failed
    assert [s.values[WEIGHT] for s in ranked] == [10.0, 5.0, 20.0]
    assert ranked[0].score_text("ssim") == "0.650 ± 0.071"
    assert ranked[2].score_text("ssim") == "0.990 (1 of 2 seeds)"
    by_error = results.ranked_settings(results.read_results(sweep, tmp_path), "mae")
    assert by_error[-1].values[WEIGHT] == 20.0
    with pytest.raises(InputError, match="--metric=fid: choose one of ssim, psnr, mae"):
        results.check_metric("fid")


def test_scores_that_are_no_numbers_or_of_another_step_do_not_rank(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    write_trials(sweep, tmp_path, [float("nan"), 0.5, 0.9])
    path = Workdir(tmp_path).trial(2) / "metrics.jsonl"
    path.write_text(path.read_text().splitlines()[0])  # that of step 1
    found = results.read_results(sweep, tmp_path)
    assert [r.score("ssim") for r in found] == [None, pytest.approx(0.5), None]
    assert results.ranked_settings(found, "ssim")[0].values[WEIGHT] == 10.0


def test_scores_inside_the_brain_rank_and_are_not_mixed_with_others(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0, 20.0)})
    write_trials(sweep, tmp_path, [0.9, 0.5, 0.6])
    for i in (1, 2):  # the first was trained by an earlier version
        path = Workdir(tmp_path).trial(i) / "metrics.jsonl"
        path.write_text(path.read_text().replace("eval/", "eval/brain/"))
    found = results.read_results(sweep, tmp_path)
    assert {r.protocol for r in found} == {"brain"}
    assert [r.score("ssim") for r in found] == [None, pytest.approx(0.5), pytest.approx(0.6)]
    assert found[0].message == "its scores are under fixed, those of most trials brain"
    assert results.ranked_settings(found, "ssim")[0].values[WEIGHT] == 20.0


def test_lower_error_ranks_higher(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    write_trials(sweep, tmp_path, [0.5, 0.6])
    path = Workdir(tmp_path).trial(0) / "metrics.jsonl"
    path.write_text(path.read_text().replace("0.1", "0.05"))
    ranked = results.ranked_settings(results.read_results(sweep, tmp_path), "mae")
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
    monkeypatch.setattr(page, "score_best_on_test", lambda *_: {"trials": {}})
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    out = capsys.readouterr().out
    assert f"{count} trials: {count} done" in out
    assert "cyclegan-jax train --workdir=runs/best --config=mine.py --config.steps=2" in out
    text = (tmp_path / "sweep.html").read_text()
    maps = 2 if {*sweep.swept_keys} - {"seed"} else 0
    samples = len(
        figures.corner_settings(
            results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")
        )
    )
    assert text.count("data:image/png;base64,") == maps + 1 + samples
    assert len(re.findall(r'<img [^>]*alt="\w', text)) == maps + 1 + samples
    assert not re.search(r'(src|href)="http', text)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(i) for i in range(count)]
    assert float(rows[-1]["ssim_mean"]) == pytest.approx(0.5 + 0.4 * (count - 1) / count)


def test_the_winner_alone_is_scored_on_test_pairs_once(config, tmp_path, capsys):
    sweep = expand(config, {WEIGHT: (5.0, 10.0), "seed": (0, 1)})
    runner.claim(sweep, tmp_path, DIGESTS)
    runner.train_trials(sweep, tmp_path, only=0)
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    assert "4 trials: 1 done, 3 unfinished" in capsys.readouterr().out
    assert not list(tmp_path.rglob("scores.json"))  # the choice is not made yet
    runner.train_trials(sweep, tmp_path)
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    best = results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")[0]
    scored = {path.parents[3].name for path in tmp_path.rglob("scores.json")}
    assert scored == {f"{r.index:03d}" for r in best.results}
    assert "chosen by ssim: protocol brain, 1 subjects" in (tmp_path / "sweep.html").read_text()
    capsys.readouterr()
    page.collect(sweep, tmp_path, "mae", ["--config=mine.py", "--config.steps=2"])
    assert "A later choice is not scored" in (tmp_path / "sweep.html").read_text()
    assert "on the test pairs" not in capsys.readouterr().out


def test_corners_are_the_nearest_settings(config, tmp_path):
    trials = [{WEIGHT: w, RATIO: r} for w, r in ((1.0, 0.1), (2.0, 0.5), (4.0, 0.2), (8.0, 0.9))]
    sweep = expand(config, trials)
    write_trials(sweep, tmp_path, [0.4, 0.9, 0.5, 0.6])
    chosen = figures.corner_settings(
        results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")
    )
    assert [s.values[WEIGHT] for s in chosen] == [2.0, 1.0, 4.0, 8.0]


def test_a_heat_map_shows_the_scores(config, tmp_path):
    sweep = expand(config, {WEIGHT: (5.0, 10.0), RATIO: (0.0, 0.5), "seed": (0, 1)})
    write_trials(sweep, tmp_path, [0.2, 0.4, 0.5, 0.5, 0.6, None, None, None])
    settings = results.ranked_settings(results.read_results(sweep, tmp_path), "ssim")
    figure = figures.score_map(settings, "ssim", "SSIM")
    shown = {(t.get_position(), t.get_text()) for t in figure.axes[1].texts}
    assert shown == {
        ((0, 0), "0.300\n± 0.141"),
        ((1, 0), "0.500\n± 0.000"),
        ((0, 1), "0.600"),
        ((1, 1), "none"),
    }


def test_collecting_nothing_says_so(config, tmp_path, capsys):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    runner.claim(sweep, tmp_path, DIGESTS)
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py", "--config.steps=2"])
    assert "nothing to rank yet" in capsys.readouterr().out


def test_trials_that_are_done_without_a_score_rank_nothing(config, tmp_path, capsys):
    sweep = expand(config, {WEIGHT: (5.0, 10.0)})
    write_trials(sweep, tmp_path, [float("nan"), float("nan")])
    page.collect(sweep, tmp_path, "ssim", ["--config=mine.py"])
    out = capsys.readouterr().out
    assert "2 trials: 2 done" in out
    assert "nothing to rank yet" in out
