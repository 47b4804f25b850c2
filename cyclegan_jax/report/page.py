"""Writes one page that shows a run: `<workdir>/report.html`, self-contained, at any time."""

import contextlib
import functools
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.domains import CONTRASTS
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.evaluation.scoring import headline_of
from cyclegan_jax.evaluation.tables import protocol_table, region_tables, score_tables
from cyclegan_jax.evaluation.trust_tables import limit_table
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render import html
from cyclegan_jax.render.text_table import Table, as_text
from cyclegan_jax.report import curves
from cyclegan_jax.report.result import REGIONS, command, newest_evaluation, result, sample
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import SCORES, Workdir, refuse_model_folder, writing_workdir
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.training.metric_log import read_metrics

Sections = Mapping[str, Callable[[], Sequence[html.PagePart]]]

NOT_FOR_DIAGNOSIS = (
    "This is not a medical device and not for diagnosis: a translation can invent or remove "
    "anatomy. Scores mean what their protocol says, and only for these images. This is one run "
    "with one seed; another seed gives other scores."
)
_MONITORED = (
    "These are scores of the validation pairs under the protocol that each title names. In a data "
    "set without validation pairs, they are scores of the test pairs."
)
_LOGGED = (
    "The loss terms are without their weights. Each point is the mean over the steps since the "
    "point before it."
)


def write(workdir: Path) -> Path:
    """Writes `<workdir>/report.html` from what is there, also while the run trains.

    If something is missing (samples, scores, a checkpoint, the data set), its section says so.

    Returns:
      The path of the file.

    Raises:
      InputError: `workdir` holds no run, or cannot be written.
    """
    paths = Workdir(workdir)
    refuse_model_folder(workdir)
    try:
        config = json.loads(paths.config.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{paths.config} cannot be read ({error}); give the --workdir of a run"
        ) from error
    lines = read_metrics(workdir) if paths.metrics.exists() else []
    last_step = max((int(line["step"]) for line in lines), default=0)
    newest = functools.cache(lambda: _newest(workdir))
    sections: Sections = {
        "Result": lambda: result(workdir, last_step),
        "State": lambda: _state(config, lines),
        "Samples": lambda: _samples(workdir),
        "Scores during training": lambda: _curves(curves.score_curves(lines), "score", _MONITORED),
        "Losses": lambda: _curves(curves.loss_curves(lines), "loss", _LOGGED),
        "Evaluation": lambda: _evaluation(workdir),
        "Data": lambda: _data(config),
        "Config": lambda: _config(config, newest),
        "Versions and device": lambda: _versions(newest),
    }
    # a file of an older version, or one that someone edited, must not hide the rest
    parts = shown(sections, (InputError, OSError, ValueError, KeyError, TypeError))
    with writing_workdir(workdir):
        write_whole(paths.report, html.page(f"Run {workdir.absolute().name}", parts))
    return paths.report


def shown(sections: Sections, unreadable: tuple[type[Exception], ...]) -> list[html.PagePart]:
    """Returns the caution and each section under its title; one that fails says why.

    Args:
      sections: what makes the parts of each section, by its title.
      unreadable: the errors that stand for a section that cannot be shown; others are raised.
    """
    parts: list[html.PagePart] = [html.Caution(NOT_FOR_DIAGNOSIS)]
    for title, make_section in sections.items():
        parts.append(html.Heading(title))
        try:
            parts += make_section()
        except unreadable as error:
            reason = error or type(error).__name__
            parts.append(html.Paragraph(f"This section cannot be shown: {reason}"))
    return parts


def finish(workdir: Path, step: int) -> None:
    """Scores the last checkpoint of a finished run and writes the page; prints why if it cannot.

    If both are there already, it does nothing. So a run that was killed between its last step and
    its page gets the page when it is launched again.

    Args:
      workdir: the folder of the run.
      step: its last step.
    """
    paths = Workdir(workdir)
    scores = [p.stat().st_mtime for p in paths.evaluation(step).glob(f"*/{SCORES}")]
    # a page that was written while the run trained is older than the scores
    is_done = bool(scores) and paths.report.exists() and paths.report.stat().st_mtime >= min(scores)
    if multihost.agree(int(is_done)):
        return
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the page shows all tables
            folder = evaluate(Run(workdir, "latest"))
        if multihost.is_primary():
            print(_short_scores(json.loads((folder / SCORES).read_text())))
    except Exception as error:
        print(f"the run is not scored ({error}); to try again: {command(workdir)}")
    if multihost.is_primary():
        write_or_say_why(workdir)


def _short_scores(scores: Mapping[str, Any]) -> str:
    """Returns the tables that a terminal shows at the end: the main protocol, or those of no pairs.

    Args:
      scores: the content of `scores.json`.
    """
    title = f"checkpoint {scores['step']}, {scores['images']} {scores['split']} images"
    if "protocols" in scores:
        protocol = headline_of(scores)
        tables = [protocol_table(protocol, scores["protocols"][protocol])]
    else:
        tables = score_tables(dict(scores))
    return "\n".join([f"{title} of {scores['data']}", *map(as_text, tables)])


def write_or_say_why(workdir: Path) -> None:
    """Calls `write` at the end of work that must not fail because of it; prints any error."""
    try:
        print(f"report: {write(workdir)}")
    except Exception as error:
        print(f"no report was written ({type(error).__name__}: {error}); everything else is safe")


def _state(config: Mapping[str, Any], lines: Sequence[curves.Line]) -> list[html.PagePart]:
    written = f"This page was written on {_date(time.time())}."
    if not lines:
        return [html.Paragraph(f"Nothing is logged yet. {written}")]
    steps, last = config["steps"], max(int(line["step"]) for line in lines)
    if last >= steps:
        state = f"Finished: all {steps} steps are done."
    else:
        state = f"Not finished: {last} of {steps} steps are logged; the run trains or was stopped."
    rows = [["steps", f"{last} of {steps}"]]
    done, seconds = _time_in_steps(lines)
    if seconds:
        rows += [
            ["time spent on steps, without scoring, saving and pauses", _duration(seconds)],
            ["steps per second", f"{done / seconds:.3g}"],
            ["images of each domain per second", f"{done / seconds * config['batch_size']:.3g}"],
        ]
    times = [line["time"] for line in lines]
    rows += [["first and last line logged", f"{_date(min(times))} and {_date(max(times))}"]]
    return [html.Paragraph(f"{state} {written}"), html.Facts(rows)]


def _time_in_steps(lines: Sequence[curves.Line]) -> tuple[float, float]:
    """Returns a number of steps and the seconds that they took, without pauses between them."""
    done, seconds = 0.0, 0.0
    for line in lines:
        if line.get("steps_per_second"):  # the rate since the line before
            seconds += (line["step"] - done) / line["steps_per_second"]
            done = line["step"]
    return done, seconds


def _evaluation(workdir: Path) -> list[html.PagePart]:
    again = html.Code(command(workdir))
    try:
        evaluation = newest_evaluation(workdir)
    except KeyError as error:
        return [html.Paragraph(f"{error.args[0]}. This command scores again:"), again]
    if evaluation is None:
        return [html.Paragraph("No checkpoint is scored yet. This command scores one:"), again]
    scores = evaluation.scores
    parts: list[html.PagePart] = [
        html.Paragraph(
            f"These are the scores of the checkpoint of step {scores['step']} on "
            f"{scores['images']} {scores['split']} images of {scores['data']}."
        )
    ]
    if evaluation.earlier:
        folders = (str(path.parent.relative_to(workdir)) for path in evaluation.earlier)
        parts.append(html.Paragraph(f"Earlier scores are in {', '.join(folders)}."))
    parts.append(html.Details("Every table of the scores", score_tables(dict(scores))))
    if "regions" in scores:
        parts += evaluation.picture(REGIONS)
        parts.append(html.Details("Scores of every region", region_tables(scores["regions"])))
    pictures, missing = [], []
    for name in ("worst.png", "best.png", "grid.png"):
        found = evaluation.picture(name)
        pictures += found
        if not found and (name == "grid.png" or "protocols" in scores):  # else there is no worst
            missing.append(name)
    if "protocols" in scores:  # without pairs the only picture is in the result
        parts.append(html.Details("More pictures", pictures))
    if missing:
        words = f"Missing pictures: {', '.join(missing)}. This command makes them:"
        parts += [html.Paragraph(words), again]
    return parts


def _samples(workdir: Path) -> list[html.PagePart]:
    return sample(workdir) or [html.Paragraph("No samples are written yet (config.sample_every).")]


def _curves(figures: Sequence[html.Figure], kind: str, note: str) -> list[html.PagePart]:
    if not figures:
        return [html.Paragraph(f"No {kind} is logged yet.")]
    return [html.Paragraph(note), html.SideBySide(figures)]


def _data(config: Mapping[str, Any]) -> list[html.PagePart]:
    directory = config["data"]["dir"]
    if directory:  # readable even where the rest of an older version's config is not
        folder = Path(directory)
    else:
        folder = from_config.data_folder(config_lib.from_json(json.dumps(config)))
    dataset = open_dataset(folder.expanduser())
    manifest = dataset.manifest
    splits = [
        [
            name,
            str(len(split["names"])),
            str(len(split["subjects"])),
            ", ".join(f"{width}x{height}" for height, width in split["sizes"]),
        ]
        for name, split in manifest["splits"].items()
    ]
    ranges = []
    for domain, contrast in CONTRASTS.items():
        stored = manifest["domains"][domain]
        low, high = stored["range"]
        ranges.append(
            [f"{domain} ({contrast})", f"{stored['dtype']}, {low:g} to {high:g} become -1 to 1"]
        )
    origin = [[key, str(value)] for key, value in manifest["source"].items() if value != ""]
    return [
        html.Paragraph(f"The data set is {folder}, made by {manifest['made_by']}."),
        Table("", "", ["split", "images", "subjects", "width x height"], splits),
        html.Facts(ranges),
        *(html.Paragraph(f"Note: {note}") for note in manifest.get("notes", ())),
        *(
            html.Details("What is known of the scans", [t])
            for t in limit_table(dataset.training_scans)
        ),
        html.Details("Where the data come from", [html.Facts(origin)]),
    ]


def _config(config: Mapping[str, Any], newest: Callable[[], Checkpoint]) -> list[html.PagePart]:
    own, base = config_lib.flatten(config), config_lib.flatten(config_lib.base_config())
    changed = [
        [key, str(value), str(base.get(key, "no such key"))]
        for key, value in own.items()
        if key not in base or base[key] != value
    ]
    ratio, weight = config["loss"]["identity_ratio"], config["loss"]["cycle_weight"]
    return [
        html.Paragraph("These keys differ from the base config:"),
        Table("", "", ["key", "here", "base"], changed),
        html.Paragraph(
            f"Weights: cycle consistency λ = {weight:g}, identity {ratio:g} λ = {ratio * weight:g}."
        ),
        *_changes(newest),
        html.Details("The whole config", [html.Code(json.dumps(config, indent=2))]),
    ]


def _changes(newest: Callable[[], Checkpoint]) -> list[html.PagePart]:
    """Returns where the weights come from, and the changes of the config while the run trained."""
    try:
        meta = newest().meta
    except InputError:  # the last section says why
        return []
    parts: list[html.PagePart] = []
    if source := meta.get("init_from"):
        words = f"The run started from the weights of {source['run']}, step {source['step']}"
        parts.append(html.Paragraph(f"{words} (digest {source['digest'][:12]})."))
    rows = [
        [str(change["step"]), key, str(old), str(new)]
        for change in meta.get("changes", ())
        for key, (old, new) in change["changed"].items()
    ]
    if rows:
        words = "These keys have changed while the run trained, each after the step that is named:"
        header = ["step", "key", "before", "after"]
        parts += [html.Paragraph(words), Table("", "", header, rows)]
    return parts


def _newest(workdir: Path) -> Checkpoint:
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.choose("latest", "meta")


def _versions(newest: Callable[[], Checkpoint]) -> list[html.PagePart]:
    saved = newest()
    rows = [["device", saved.meta["device"]], *saved.meta["versions"].items()]
    return [html.Paragraph(f"The checkpoint of step {saved.step} was saved by:"), html.Facts(rows)]


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
