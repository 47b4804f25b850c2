"""Answers which values of a sweep are best: in `sweep.csv`, `sweep.html` and a printed table."""

import collections
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax.data import from_config
from cyclegan_jax.domains import DIRECTIONS, label
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.evaluation.scoring import headline_of
from cyclegan_jax.render import html, text_table
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.sweeps import figures, results
from cyclegan_jax.sweeps.grammar import Sweep
from cyclegan_jax.sweeps.results import Result, Setting
from cyclegan_jax.sweeps.runner import DONE
from cyclegan_jax.system import command_line
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import SCORES, Workdir
from cyclegan_jax.trained.origin import Run

_COLUMNS = [(metric, direction) for metric in ("ssim", "psnr") for direction in DIRECTIONS]


def collect(sweep: Sweep, workdir: Path, metric: str, config_flags: Sequence[str]) -> None:
    """Writes `sweep.csv` and `sweep.html`, and prints the ranking.

    Settings are ranked by `metric` of the validation pairs at the last step: the mean of both
    directions and of all seeds. When every trial has ended, the trials of the best setting are
    scored on the test pairs, once.

    Args:
      sweep: the sweep of `workdir`.
      workdir: a folder with any number of trials done.
      metric: "ssim", "psnr" or "mae"; see `results.check_metric`.
      config_flags: `--config=…` and its overrides, for the command that trains the best setting.
    """
    paths = Workdir(workdir)
    found = results.read_results(sweep, workdir)
    results.write_csv(found, paths.sweep_table)
    counts = collections.Counter(result.status for result in found)
    summary = f"{len(found)} trials: " + ", ".join(f"{n} {status}" for status, n in counts.items())
    print(summary)
    title = f"Sweep {workdir.absolute().name}"
    if not any(result.score(metric) is not None for result in found):
        parts = [html.Paragraph(f"{summary}."), *_failures(found)]
        write_whole(paths.sweep_page, html.page(title, parts))
        print(f"nothing to rank yet; {paths.sweep_table} and {paths.sweep_page} list the trials")
        return
    settings = results.ranked_settings(found, metric)
    best = settings[0]
    command = _command(sweep, best, config_flags)
    if results.UNFINISHED in counts:
        tests = [html.Paragraph("The test pairs are scored when all trials have ended.")]
    else:
        tests = _tests(score_best_on_test(sweep, workdir, best, metric), metric)
    ranking = _ranking(settings, metric)
    print(text_table.as_text(ranking))
    print(f"best, by {metric} of validation pairs: {best.name}\n  {command}")
    parts = [
        html.Paragraph(
            f"{summary}. Scores are those of the validation pairs at the last step, protocol "
            f"{found[0].protocol}, mean ± sd over seeds. Settings are ranked by {metric}, the mean "
            "of both directions."
        ),
        html.Heading("The best values"),
        html.Paragraph(f"The best setting is {best.name}. This command trains it:"),
        html.Code(command),
        *tests,
        *_maps(settings),
        ranking,
        *_failures(found),
        html.Heading("The best and the worst trials while they trained"),
        html.drawing(
            figures.training_curves(settings, metric),
            f"{metric} of validation pairs by step for the best and the worst setting",
            f"Validation {metric}, mean of both directions; one line for each seed.",
        ),
        html.Heading("Samples"),
        *_samples(workdir, settings),
    ]
    write_whole(paths.sweep_page, html.page(title, parts))
    print(f"written to {paths.sweep_table} and {paths.sweep_page}")


def _ranking(settings: Sequence[Setting], metric: str) -> Table:
    header = [f"{m.upper()} {label(direction)}" for m, direction in _COLUMNS]
    rows = [
        [s.name, *(s.score_text(m, direction) for m, direction in _COLUMNS), s.score_text(metric)]
        for s in settings
    ]
    return Table("", "", ["setting", *header, f"ranked by {metric}"], rows)


def _command(sweep: Sweep, setting: Setting, config_flags: Sequence[str]) -> str:
    overrides = sweep.overrides(setting.results[0].index)
    values = [f"--config.{key}={_flag(value)}" for key, value in overrides.items()]
    words = [*command_line.start_of("train"), "--workdir=runs/best", *config_flags]
    return shlex.join([*words, *values])


def _flag(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)


def score_best_on_test(sweep: Sweep, workdir: Path, best: Setting, metric: str) -> dict[str, Any]:
    """Scores the trials of the best setting on the test pairs, once in a sweep.

    Args:
      sweep: the sweep of `workdir`.
      workdir: its folder, where `test.json` keeps the result.
      best: the setting that was chosen.
      metric: the validation metric that it was chosen by.

    Returns:
      `{"metric", "setting", "protocol", "trials": {number: {direction: {metric: {mean, sd, n}}}}}`,
      the content of `test.json`, which may come from an earlier choice. Without test pairs there
      are no trials.
    """
    path = Workdir(workdir).test_scores
    if path.exists():
        return json.loads(path.read_text())
    trials, protocol = {}, best.results[0].protocol
    for result in best.results:
        config = sweep.configs[result.index]
        if result.status == DONE and from_config.open_data(config).has("test_x"):
            print(f"trial {result.index} on the test pairs:", flush=True)
            folder = Workdir(workdir).trial(result.index)
            scored = evaluate(Run(folder, "latest"), config.data.dir, "test") / SCORES
            scores = json.loads(scored.read_text())
            protocol = headline_of(scores)
            trials[result.index] = scores["protocols"][protocol]
    found = {"metric": metric, "setting": best.name, "protocol": protocol, "trials": trials}
    if trials:
        write_whole(path, json.dumps(found, indent=1))
    return found


def _tests(found: dict[str, Any], metric: str) -> list[html.PagePart]:
    tests = list(found["trials"].values())
    if not tests:
        return [html.Paragraph("The data set has no test pairs.")]

    def cell(direction: str, name: str) -> str:
        means = [test[direction][name]["mean"] for test in tests]
        return results.mean_sd(means, results.decimals(name))

    rows = [
        [label(direction), *(cell(direction, name) for name in ("ssim", "psnr", "mae"))]
        for direction in tests[0]
    ]
    subjects = tests[0][DIRECTIONS[0]]["ssim"]["n"]
    later = "" if found["metric"] == metric else " A later choice is not scored."
    return [
        html.Paragraph(
            f"These are the test scores of {found['setting']}, chosen by {found['metric']}: "
            f"protocol {found.get('protocol', 'fixed')}, "
            f"{subjects} subjects, mean ± sd over {len(tests)} seed(s). Test pairs took no part in "
            f"the choice.{later}"
        ),
        Table("", "", ["direction", "SSIM", "PSNR / dB", "MAE"], rows),
    ]


def _maps(settings: Sequence[Setting]) -> list[html.PagePart]:
    parts = []
    for metric, name in (("ssim", "SSIM"), ("psnr", "PSNR / dB")):
        figure = figures.score_map(settings, metric, name)
        if figure is not None:
            scores = "; ".join(f"{s.name}: {s.score_text(metric)}" for s in settings)
            parts.append(
                html.drawing(figure, f"{name} of every setting. {scores}", f"Validation {name}.")
            )
    return parts


def _failures(found: Sequence[Result]) -> list[html.PagePart]:
    failed = [r for r in found if r.message]
    if not failed:
        return []
    rows = [
        [str(r.index), ", ".join(f"{k} = {v}" for k, v in r.values.items()), r.message]
        for r in failed
    ]
    return [html.Heading("Failed trials"), Table("", "", ["trial", "values", "why"], rows)]


def _samples(workdir: Path, settings: Sequence[Setting]) -> list[html.PagePart]:
    parts = []
    for setting in figures.corner_settings(settings):
        result = next((r for r in setting.results if r.status == DONE), None)
        if result is None:
            continue
        newest = Workdir(Workdir(workdir).trial(result.index)).newest_sample()
        if newest is not None:
            step, path = newest
            caption = f"{setting.name} (trial {result.index}, step {step})"
            alternative = f"Sample images of {setting.name}. {description(path)}"
            parts.append(html.picture(path.read_bytes(), alternative, caption))
    return parts
