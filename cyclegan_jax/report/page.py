"""One page that shows a run: `<workdir>/report.html`, self-contained, readable without training."""

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
from cyclegan_jax.evaluation.evaluate import EVALUATIONS, evaluate
from cyclegan_jax.evaluation.scoring import PROTOCOL
from cyclegan_jax.evaluation.tables import score_tables
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render import html
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.report import curves
from cyclegan_jax.system.files import write_whole, writing_workdir
from cyclegan_jax.system.workdir import CONFIG
from cyclegan_jax.training.metric_log import METRICS, read_metrics
from cyclegan_jax.training.run import SAMPLES

HTML = "report.html"
_WIDEST = 1200  # pixels of an embedded picture: sharp enough for a screen, and megabytes less
_PICTURES = {
    "worst.png": "The worst {split} images at step {step}, by SSIM fixed, mean of both directions",
    "best.png": "The best {split} images at step {step}, by the same score",
    "grid.png": "Spread evenly over all {split} images, at step {step}",
}
_WARNING = (
    "Not a medical device and not for diagnosis: a translation can invent or remove anatomy. "
    "Scores mean what their protocol says, on these images alone. This is one run with one seed; "
    "another seed scores differently."
)
_MONITORED = (
    f"Protocol {PROTOCOL}, of the validation pairs, or of the test pairs where there are no others."
)
_LOGGED = "Without their weights; each point is the mean over the steps since the one before."


def write(workdir: Path) -> Path:
    """Writes `<workdir>/report.html` from what is there, also while the run trains.

    What is missing (samples, scores, a checkpoint, the data set) is named where it would stand.

    Returns:
      The file.

    Raises:
      InputError: `workdir` holds no run, or cannot be written.
    """
    try:
        config = json.loads((workdir / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{workdir / CONFIG} cannot be read ({error}); give the --workdir of a run"
        ) from error
    lines = read_metrics(workdir) if (workdir / METRICS).exists() else []
    sections: dict[str, Callable[[], Sequence[html.Part]]] = {
        "State": lambda: _state(config, lines),
        "Evaluation": lambda: _evaluation(workdir),
        "Samples": lambda: _samples(workdir),
        "Scores during training": lambda: _curves(curves.score_curves(lines), "score", _MONITORED),
        "Losses": lambda: _curves(curves.loss_curves(lines), "loss", _LOGGED),
        "Data": lambda: _data(config),
        "Config": lambda: _config(config),
        "Versions and device": lambda: _versions(workdir),
    }
    body: list[html.Part] = [html.Caution(_WARNING)]
    for title, make in sections.items():
        body.append(html.Heading(title))
        try:
            body += make()
        except (InputError, OSError, ValueError, KeyError, TypeError) as error:
            # what an older version wrote, or someone edited, must not hide the rest
            body.append(html.Paragraph(f"Cannot be shown: {error or type(error).__name__}"))
    with writing_workdir(workdir):
        write_whole(workdir / HTML, html.page(f"Run {workdir.absolute().name}", body))
    return workdir / HTML


def finish(workdir: Path, step: int) -> None:
    """Scores the last checkpoint of a finished run and writes the page; prints why where not.

    Where both are there already it does nothing, so that a run that was killed between its last
    step and its page gets it when launched again.

    Args:
      workdir: of the run.
      step: its last.
    """
    is_done = (workdir / HTML).exists() and (workdir / EVALUATIONS / str(step)).exists()
    if multihost.agree(int(is_done)):
        return
    try:
        evaluate(workdir, "latest")
    except Exception as error:
        print(f"not scored ({error}); to try again: {_command(workdir)}")
    if multihost.is_primary():
        write_or_say_why(workdir)


def write_or_say_why(workdir: Path) -> None:
    """As `write`, at the end of work that must not fail for its page: prints the reason."""
    try:
        print(f"report: {write(workdir)}")
    except Exception as error:
        print(f"no report was written ({type(error).__name__}: {error}); everything else is safe")


def _state(config: Mapping[str, Any], lines: Sequence[curves.Line]) -> list[html.Part]:
    written = f"This page was written {_date(time.time())}."
    if not lines:
        return [html.Paragraph(f"Nothing is logged yet. {written}")]
    steps, last = config["steps"], max(int(line["step"]) for line in lines)
    state = f"Not finished: {last} of {steps} steps are logged; it trains or was stopped."
    if last >= steps:
        state = f"Finished: all {steps} steps are done."
    done, seconds = 0, 0.0
    for line in lines:
        if line.get("steps_per_second"):  # the rate since the line before
            seconds += (line["step"] - done) / line["steps_per_second"]
            done = line["step"]
    begin, end = (function(line["time"] for line in lines) for function in (min, max))
    rows = [["steps", f"{last} of {steps}"]]
    if seconds:
        rows += [
            ["time spent on steps, without scoring, saving and pauses", _duration(seconds)],
            ["steps per second", f"{done / seconds:.3g}"],
            ["images of each domain per second", f"{done / seconds * config['batch_size']:.3g}"],
        ]
    rows += [["first and last line logged", f"{_date(begin)} and {_date(end)}"]]
    return [html.Paragraph(f"{state} {written}"), html.Facts(rows)]


def _evaluation(workdir: Path) -> list[html.Part]:
    command = html.Code(_command(workdir))
    scored = sorted(workdir.glob("eval/**/scores.json"), key=lambda path: path.stat().st_mtime)
    if not scored:
        return [html.Paragraph("No checkpoint is scored yet. To score one:"), command]
    folder = scored[-1].parent
    scores = json.loads(scored[-1].read_text())
    if "step" not in scores:
        return [html.Paragraph(f"{scored[-1]} is of an older version; to score it again:"), command]
    parts: list[html.Part] = [
        html.Paragraph(
            f"Checkpoint of step {scores['step']} on {scores['images']} {scores['split']} images "
            f"of {scores['data']}."
        )
    ]
    if scored[:-1]:
        others = ", ".join(str(path.parent.relative_to(workdir)) for path in scored[:-1])
        parts.append(html.Paragraph(f"Scored before: {others}."))
    parts += score_tables(scores)
    missing = []
    for name, words in _PICTURES.items():
        if (folder / name).exists():
            caption = words.format_map(scores)
            parts.append(_embedded(folder / name, caption, f"{caption}. Errors: white on black."))
        elif name == "grid.png" or "protocols" in scores:  # without pairs there is no worst
            missing.append(name)
    if missing:
        parts += [html.Paragraph(f"Without {', '.join(missing)}; to make them:"), command]
    return parts


def _command(workdir: Path) -> str:
    return f"python scripts/evaluate.py --workdir={shlex.quote(str(workdir))} --checkpoint=latest"


def _samples(workdir: Path) -> list[html.Part]:
    newest = max((workdir / SAMPLES).glob("step_*.png"), default=None)
    if newest is None:
        return [html.Paragraph("No samples are written yet (config.sample_every).")]
    step = int(newest.stem.removeprefix("step_"))
    title = f"Samples at step {step}"
    caption = f"{title}. G: T1→T2, F: T2→T1; F(x) and G(y) should change nothing."
    return [_embedded(newest, title, caption)]


def _curves(drawings: Sequence[html.Figure], what: str, note: str) -> list[html.Part]:
    if not drawings:
        return [html.Paragraph(f"No {what} is logged yet.")]
    return [html.Paragraph(note), html.SideBySide(drawings)]


def _data(config: Mapping[str, Any]) -> list[html.Part]:
    # a config of an older version may not be readable as a whole, its folder is
    directory = config["data"]["dir"]
    folder = (
        Path(directory)
        if directory
        else from_config.data_folder(config_lib.from_json(json.dumps(config)))
    )
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
    ranges = [
        [
            f"{domain} ({contrast})",
            "{}, {:g} to {:g} is -1 to 1".format(info["dtype"], *info["range"]),
        ]
        for domain, contrast in (("x", "T1"), ("y", "T2"))
        for info in [manifest["domains"][domain]]
    ]
    facts = [[key, str(value)] for key, value in manifest["source"].items() if value != ""]
    return [
        html.Paragraph(f"{folder}, made by {manifest['made_by']}"),
        Table("", "", ["split", "images", "subjects", "width x height"], splits),
        html.Facts(ranges),
        *(html.Paragraph(f"Note: {note}") for note in manifest.get("notes", ())),
        html.Details("Where it comes from", [html.Facts(facts)]),
    ]


def _config(config: Mapping[str, Any]) -> list[html.Part]:
    own, base = config_lib.flatten(config), config_lib.flatten(config_lib.base_config())
    changed = [
        [key, str(value), str(base.get(key, "no such key"))]
        for key, value in own.items()
        if key not in base or base[key] != value
    ]
    ratio, weight = config["loss"]["identity_ratio"], config["loss"]["cycle_weight"]
    return [
        html.Paragraph("What differs from the base config:"),
        Table("", "", ["key", "here", "base"], changed),
        html.Paragraph(
            f"Weights: cycle consistency λ = {weight:g}, identity {ratio:g} λ = {ratio * weight:g}."
        ),
        html.Details("The whole config", [html.Code(json.dumps(config, indent=2))]),
    ]


def _versions(workdir: Path) -> list[html.Part]:
    with Checkpoints(workdir) as checkpoints:
        saved = checkpoints.choose("latest", "meta")
    rows = [["device", saved.meta["device"]], *saved.meta["versions"].items()]
    return [html.Paragraph(f"As saved with step {saved.step}."), html.Facts(rows)]


def _embedded(path: Path, title: str, caption: str) -> html.Figure:
    """A PNG as it is, or scaled down where it is wider than a page needs."""
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
