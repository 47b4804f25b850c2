"""Which values are best: `sweep.csv`, `sweep.html` and a table, from what the trials wrote."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax.data import from_config
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.evaluation.scoring import DIRECTIONS, PROTOCOL
from cyclegan_jax.render import html, text_table
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.sweeps import figures, results
from cyclegan_jax.sweeps.grammar import Sweep
from cyclegan_jax.sweeps.results import Result, Setting
from cyclegan_jax.sweeps.runner import DONE, trial_folder
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.training.run import SAMPLES

CSV = "sweep.csv"
HTML = "sweep.html"
TEST = "test.json"
_HEADER = ("SSIM T1→T2", "SSIM T2→T1", "PSNR T1→T2", "PSNR T2→T1")
_COLUMNS = [(metric, direction) for metric in ("ssim", "psnr") for direction in DIRECTIONS]


def collect(sweep: Sweep, workdir: Path, metric: str, config_flags: Sequence[str]) -> None:
    """Writes `sweep.csv` and `sweep.html` and prints the ranking.

    Settings are ranked by `metric` of the validation pairs at the last step, the mean of both
    directions and of all seeds. When every trial has ended, the trials of the best setting are
    scored on the test pairs, once.

    Args:
      sweep: of `workdir`.
      workdir: with any number of trials done.
      metric: "ssim", "psnr" or "mae"; see `results.check_metric`.
      config_flags: `--config=…` and its overrides, for the command that trains the best setting.
    """
    found = results.read(sweep, workdir)
    results.write_csv(found, workdir / CSV)
    settings = results.ranked(found, metric)
    done = [r for r in found if r.status == DONE]
    states = {s: sum(r.status == s for r in found) for s in dict.fromkeys(r.status for r in found)}
    summary = f"{len(found)} trials: " + ", ".join(f"{n} {s}" for s, n in states.items())
    print(summary)
    if not done:
        body = [html.Paragraph(f"{summary}."), *_failures(found)]
        write_whole(workdir / HTML, html.page(f"Sweep {workdir.name}", body))
        print(f"nothing to rank yet; {workdir / CSV} and {workdir / HTML} list the trials")
        return
    command = _command(sweep, settings[0], config_flags)
    tests = [html.Paragraph("Test pairs are scored when all trials have ended.")]
    if results.UNFINISHED not in states:
        tests = _tests(test_scores(sweep, workdir, settings[0], metric), metric)
    rows = [[s.name, *(s.shown(m, d) for m, d in _COLUMNS), s.shown(metric)] for s in settings]
    header = ["setting", *_HEADER, f"ranked by {metric}"]
    ranking = Table("", "", header, rows)
    print(text_table.as_text(ranking))
    print(f"best, by {metric} of validation pairs: {settings[0].name}\n  {command}")
    body = [
        html.Paragraph(
            f"{summary}. Validation scores at the last step, protocol {PROTOCOL}, mean ± sd over "
            f"seeds; ranked by {metric}, the mean of both directions."
        ),
        html.Heading("Which values"),
        html.Paragraph(f"Best: {settings[0].name}. To train it:"),
        html.Code(command),
        *tests,
        *_maps(settings),
        ranking,
        *_failures(found),
        html.Heading("The best and the worst trials while they trained"),
        html.drawing(
            figures.curves(settings, metric),
            f"{metric} of validation pairs by step for the best and the worst setting",
            f"Validation {metric}, mean of both directions; one line for each seed.",
        ),
        html.Heading("Samples"),
        *_samples(workdir, settings),
    ]
    write_whole(workdir / HTML, html.page(f"Sweep {workdir.name}", body))
    print(f"written to {workdir / CSV} and {workdir / HTML}")


def _command(sweep: Sweep, setting: Setting, config_flags: Sequence[str]) -> str:
    overrides = sweep.overrides(setting.results[0].index)
    values = [f"--config.{key}={_flag(value)}" for key, value in overrides.items()]
    words = ["python", "scripts/train.py", "--workdir=runs/best", *config_flags]
    return shlex.join([*words, *values])


def _flag(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)


def test_scores(sweep: Sweep, workdir: Path, best: Setting, metric: str) -> dict[str, Any]:
    """What the best setting's trials score on the test pairs; they are scored once in a sweep.

    Returns:
      `{"metric", "setting", "trials": {number: {direction: {metric: {mean, sd, n}}}}}`, what is in
      `<workdir>/test.json` and may come from an earlier choice; no trials without test pairs.
    """
    path = workdir / TEST
    if path.exists():
        return json.loads(path.read_text())
    trials = {}
    for result in best.results:
        config = sweep.configs[result.index]
        if result.status == DONE and from_config.open_data(config).has("test_x"):
            print(f"trial {result.index} on the test pairs:", flush=True)
            folder = trial_folder(workdir, result.index)
            scored = evaluate(folder, "latest", config.data.dir, "test") / "scores.json"
            trials[result.index] = json.loads(scored.read_text())["protocols"][PROTOCOL]
    found = {"metric": metric, "setting": best.name, "trials": trials}
    if trials:
        write_whole(path, json.dumps(found, indent=1))
    return found


def _tests(found: dict[str, Any], metric: str) -> list[html.Part]:
    tests = list(found["trials"].values())
    if not tests:
        return [html.Paragraph("The data set has no test pairs.")]

    def cell(direction: str, name: str) -> str:
        return results.mean_sd([test[direction][name]["mean"] for test in tests], 3)

    rows = [
        [direction, *(cell(direction, name) for name in ("ssim", "psnr", "mae"))]
        for direction in tests[0]
    ]
    n = tests[0][DIRECTIONS[0]]["ssim"]["n"]
    again = "" if found["metric"] == metric else " Another choice is not scored again."
    return [
        html.Paragraph(
            f"Test scores of {found['setting']}, chosen by {found['metric']}: {n} subjects, "
            f"mean ± sd over {len(tests)} seed(s). Test pairs took no part in the choice.{again}"
        ),
        Table("", "", ["direction", "SSIM", "PSNR / dB", "MAE"], rows),
    ]


def _maps(settings: Sequence[Setting]) -> list[html.Part]:
    parts = []
    for metric, name in (("ssim", "SSIM"), ("psnr", "PSNR / dB")):
        figure = figures.score_map(settings, metric, name)
        if figure is not None:
            scores = "; ".join(f"{s.name}: {s.shown(metric)}" for s in settings)
            parts.append(
                html.drawing(figure, f"{name} of every setting. {scores}", f"Validation {name}.")
            )
    return parts


def _failures(found: Sequence[Result]) -> list[html.Part]:
    failed = [r for r in found if r.message]
    if not failed:
        return []
    rows = [[str(r.index), str(r.values), r.message] for r in failed]
    return [html.Heading("Failed trials"), Table("", "", ["trial", "values", "why"], rows)]


def _samples(workdir: Path, settings: Sequence[Setting]) -> list[html.Part]:
    parts = []
    for setting in figures.corners(settings):
        result = next((r for r in setting.results if r.status == DONE), None)
        if result is None:
            continue
        folder = trial_folder(workdir, result.index) / SAMPLES
        newest = max(folder.glob("step_*.png"), default=None)
        if newest is not None:
            caption = f"{setting.name} (trial {result.index}, {newest.stem.replace('_', ' ')})"
            alternative = f"Sample images of {setting.name}. {description(newest)}"
            parts.append(html.picture(newest.read_bytes(), alternative, caption))
    return parts
