"""Writes one page that shows a run: `<workdir>/report.html`, self-contained, at any time."""

import io
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.domains import CONTRASTS, DIRECTIONS, label
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.evaluation.scoring import PROTOCOL
from cyclegan_jax.evaluation.tables import score_tables
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render import html
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.report import curves
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import SCORES, Workdir, writing_workdir
from cyclegan_jax.training.metric_log import read_metrics

_WIDEST = 1200  # pixels of an embedded picture: sharp enough for a screen, and megabytes less
_CAPTIONS = {  # of the pictures that an evaluation writes
    "worst.png": "The worst {split} images at step {step}, by SSIM fixed, mean of both directions",
    "best.png": "The best {split} images at step {step}, by the same score",
    "grid.png": "Spread evenly over all {split} images, at step {step}",
}
_WARNING = (
    "This is not a medical device and not for diagnosis: a translation can invent or remove "
    "anatomy. Scores mean what their protocol says, and only for these images. This is one run "
    "with one seed; another seed gives other scores."
)
_MONITORED = (
    f"These are scores of the validation pairs under the protocol {PROTOCOL}. In a data set "
    "without validation pairs, they are scores of the test pairs."
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
    try:
        config = json.loads(paths.config.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{paths.config} cannot be read ({error}); give the --workdir of a run"
        ) from error
    lines = read_metrics(workdir) if paths.metrics.exists() else []
    sections: dict[str, Callable[[], Sequence[html.PagePart]]] = {
        "State": lambda: _state(config, lines),
        "Evaluation": lambda: _evaluation(workdir),
        "Samples": lambda: _samples(workdir),
        "Scores during training": lambda: _curves(curves.score_curves(lines), "score", _MONITORED),
        "Losses": lambda: _curves(curves.loss_curves(lines), "loss", _LOGGED),
        "Data": lambda: _data(config),
        "Config": lambda: _config(config),
        "Versions and device": lambda: _versions(workdir),
    }
    parts: list[html.PagePart] = [html.Caution(_WARNING)]
    for title, make_section in sections.items():
        parts.append(html.Heading(title))
        try:
            parts += make_section()
        except (InputError, OSError, ValueError, KeyError, TypeError) as error:
            # a file of an older version, or one that someone edited, must not hide the rest
            reason = error or type(error).__name__
            parts.append(html.Paragraph(f"This section cannot be shown: {reason}"))
    with writing_workdir(workdir):
        write_whole(paths.report, html.page(f"Run {workdir.absolute().name}", parts))
    return paths.report


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
        evaluate(workdir, "latest")
    except Exception as error:
        print(f"the run is not scored ({error}); to try again: {_command(workdir)}")
    if multihost.is_primary():
        write_or_say_why(workdir)


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
    command = html.Code(_command(workdir))
    scored = Workdir(workdir).evaluations.glob(f"**/{SCORES}")
    found = sorted(scored, key=lambda path: path.stat().st_mtime)
    if not found:
        return [html.Paragraph("No checkpoint is scored yet. This command scores one:"), command]
    *earlier, newest = found
    scores = json.loads(newest.read_text())
    if "step" not in scores:
        older = f"{newest} was written by an older version. This command scores again:"
        return [html.Paragraph(older), command]
    parts: list[html.PagePart] = [
        html.Paragraph(
            f"These are the scores of the checkpoint of step {scores['step']} on "
            f"{scores['images']} {scores['split']} images of {scores['data']}."
        )
    ]
    if earlier:
        folders = ", ".join(str(path.parent.relative_to(workdir)) for path in earlier)
        parts.append(html.Paragraph(f"Earlier scores are in {folders}."))
    parts += score_tables(scores)
    missing = []
    for name, words in _CAPTIONS.items():
        path = newest.parent / name
        if path.exists():
            caption = words.format_map(scores)
            parts.append(_embedded(path, caption, f"{caption}. Errors are white on black."))
        elif name == "grid.png" or "protocols" in scores:  # without pairs there is no worst
            missing.append(name)
    if missing:
        again = f"Missing pictures: {', '.join(missing)}. This command makes them:"
        parts += [html.Paragraph(again), command]
    return parts


def _command(workdir: Path) -> str:
    return f"python scripts/evaluate.py --workdir={shlex.quote(str(workdir))} --checkpoint=latest"


def _samples(workdir: Path) -> list[html.PagePart]:
    newest = Workdir(workdir).newest_sample()
    if newest is None:
        return [html.Paragraph("No samples are written yet (config.sample_every).")]
    step, path = newest
    title = f"Samples at step {step}"
    g, f = map(label, DIRECTIONS)
    caption = (
        f"{title}. G translates {g}, and F translates {f}; F(x) and G(y) should change nothing."
    )
    return [_embedded(path, title, caption)]


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
    manifest = open_dataset(folder.expanduser()).manifest
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
        html.Details("Where the data come from", [html.Facts(origin)]),
    ]


def _config(config: Mapping[str, Any]) -> list[html.PagePart]:
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
        html.Details("The whole config", [html.Code(json.dumps(config, indent=2))]),
    ]


def _versions(workdir: Path) -> list[html.PagePart]:
    with Checkpoints(workdir) as checkpoints:
        saved = checkpoints.choose("latest", "meta")
    rows = [["device", saved.meta["device"]], *saved.meta["versions"].items()]
    return [html.Paragraph(f"The checkpoint of step {saved.step} was saved by:"), html.Facts(rows)]


def _embedded(path: Path, title: str, caption: str) -> html.Figure:
    """Returns a PNG as it is, or scaled down if it is wider than a page needs."""
    png = path.read_bytes()
    with Image.open(path) as image:
        if image.width > _WIDEST:
            size = (_WIDEST, round(image.height * _WIDEST / image.width))
            buffer = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(buffer, format="PNG", optimize=True)
            png = buffer.getvalue()
    return html.picture(png, f"{title}. {description(path)}", caption)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
