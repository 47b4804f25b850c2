"""The first screen of a run: pictures, the main scores, and whether a known failure was seen."""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from cyclegan_jax.domains import DIRECTIONS, label
from cyclegan_jax.evaluation.scoring import headline_of
from cyclegan_jax.evaluation.tables import polarity_verdicts, protocol_table, score_tables
from cyclegan_jax.render import html
from cyclegan_jax.render.image_grid import description
from cyclegan_jax.render.text_table import Table
from cyclegan_jax.system import command_line
from cyclegan_jax.system.workdir import SCORES, Workdir
from cyclegan_jax.training.failure_modes import WARM_UP

_WIDEST = 1200  # pixels of an embedded picture: sharp enough for a screen, and megabytes less
SUBJECTS, WORST, REGIONS = "subjects.png", "worst.png", "regions.png"
CAPTIONS = {  # of the pictures that an evaluation writes
    SUBJECTS: "The best, the median and the worst {split} subject at step {step}, by SSIM "
    "{headline}, and a typical slice of each",
    WORST: "The worst {split} images at step {step}, by SSIM {headline}, mean of both directions",
    "best.png": "The best {split} images at step {step}, by the same score",
    REGIONS: "Mean absolute error of each region at step {step}, the mean over {split} subjects",
    "grid.png": "Spread evenly over all {split} images, at step {step}",
}
_WHITE = "Errors are white"
_FIRST = {  # protocols of the first table, their columns, and what they are
    "brain": ("brain", "only pixels inside the label maps count"),
    "fixed": ("image", "all pixels count"),
    "foreground": ("head", "only those inside the head"),
}
_MODES = (
    "a discriminator that has won, or a generator that copies, inverts, is constant or paints "
    "another anatomy"
)


class Evaluation(NamedTuple):
    """An evaluation of the run: its folder, its `scores.json`, and the files of earlier ones."""

    folder: Path
    scores: Mapping[str, Any]
    earlier: Sequence[Path]

    def picture(self, name: str, *, low: bool = False) -> list[html.PagePart]:
        """Returns one of `CAPTIONS`, or nothing if it is not there; see `html.picture`."""
        path = self.folder / name
        if not path.exists():
            return []
        return [scored_picture(path, self.scores, low=low)]


def caption_of(name: str, scores: Mapping[str, Any]) -> str:
    """Returns the caption of a picture in `CAPTIONS`, of the evaluation with these scores."""
    return CAPTIONS[name].format_map({**scores, "headline": headline_of(scores)})


def scored_picture(path: Path, scores: Mapping[str, Any], *, low: bool = False) -> html.Figure:
    """Returns a picture that an evaluation has written, with its caption; see `html.picture`."""
    caption = caption_of(path.name, scores)
    errors = "The brighter a region, the larger its error" if path.name == REGIONS else _WHITE
    return embedded(path, caption, f"{caption}. {errors}.", low=low)


def newest_evaluation(workdir: Path, step: int | None = None) -> Evaluation | None:
    """Returns the newest evaluation, of one step or of all, or None if there is none.

    Raises:
      ValueError: its scores cannot be read.
      KeyError: it was written by an older version.
    """
    paths = Workdir(workdir)
    place = paths.evaluations if step is None else paths.evaluation(step)
    found = place.glob(f"**/{SCORES}")
    *earlier, newest = [None, *sorted(found, key=lambda path: path.stat().st_mtime)]
    if newest is None:
        return None
    found = read_evaluation(newest.parent)
    return found._replace(earlier=[path for path in earlier if path is not None])


def read_evaluation(folder: Path) -> Evaluation:
    """Returns the evaluation in a folder; raises as `newest_evaluation` does."""
    scores = json.loads((folder / SCORES).read_text())
    if "step" not in scores:
        raise KeyError(f"{folder / SCORES} was written by an older version")
    return Evaluation(folder, scores, [])


def result(workdir: Path, last_step: int) -> list[html.PagePart]:
    """Returns the parts of the first screen.

    Args:
      workdir: of the run.
      last_step: the newest step that is logged.
    """
    pictures, table = _pictures_and_scores(workdir)
    verdict = _verdict(workdir, last_step)
    if table is None:
        return [*pictures, *verdict]
    # What the numbers mean comes last, so that one screen has room for all of the result.
    return [*pictures, table._replace(note=""), *verdict, html.Paragraph(table.note)]


def _pictures_and_scores(workdir: Path) -> tuple[list[html.PagePart], Table | None]:
    """Returns the pictures of a run, and its main table if it is scored."""
    try:
        evaluation = newest_evaluation(workdir)
    except (OSError, ValueError, KeyError):  # the section of the evaluation says why
        evaluation = None
    if evaluation is None:
        unscored = html.Paragraph("No checkpoint is scored yet; see Evaluation below.")
        return [*sample(workdir, low=True), unscored], None
    scores = evaluation.scores
    if "protocols" not in scores:
        return evaluation.picture("grid.png", low=True), score_tables(dict(scores))[0]
    # before there were pictures of subjects, only those of images
    pictures = evaluation.picture(SUBJECTS, low=True) or evaluation.picture(WORST, low=True)
    inverted = [html.Caution(f"{verdict}.") for verdict in polarity_verdicts(dict(scores))]
    return [*pictures, *inverted], _main_table(scores)


def _main_table(scores: Mapping[str, Any]) -> Table:
    """Returns SSIM and PSNR of brains, whole images and heads in one table, the headline first."""
    tables = {
        protocol: protocol_table(protocol, scores["protocols"][protocol])
        for protocol in _FIRST
        if protocol in scores["protocols"]
    }
    first = next(iter(tables.values()))
    header, rows = [""], [[row[0]] for row in first.rows]
    columns = [(name, protocol) for name in ("SSIM", "PSNR / dB") for protocol in tables]
    # which is that of the head in all protocols that have it
    columns += [("intensity / %", p) for p in tables if "intensity / %" in tables[p].header][:1]
    for name, protocol in columns:
        words = "head" if name.startswith("intensity") else _FIRST[protocol][0]
        header.append(f"{name}, {words}")
        column = tables[protocol].header.index(name)
        for row, values in zip(rows, tables[protocol].rows, strict=True):
            row.append(values[column])
    title = f"Scores of {scores['images']} {scores['split']} images at step {scores['step']}"
    meaning = "; ".join(
        f"{words}: {what} (protocol {protocol})"
        for protocol, (words, what) in _FIRST.items()
        if protocol in tables
    )
    note = f"{meaning}. {(tables.get('fixed') or first).note.split('. ', 1)[-1]}"
    return Table(title, note, header, rows)


def _verdict(workdir: Path, last_step: int) -> list[html.PagePart]:
    path = Workdir(workdir).warnings
    if not path.exists():
        words = "the version that trained this run did not record warnings"
        return [html.Paragraph(f"Known failures: {words}.")]
    warnings = list(dict.fromkeys(path.read_text().splitlines()))
    if warnings:
        return [html.Caution(f"A known failure was seen: {warning}.") for warning in warnings]
    until = f"up to step {last_step}"
    if last_step < WARM_UP:
        until += f" (pictures are judged from step {WARM_UP} on)"
    return [html.Paragraph(f"No known failure was seen {until}: {_MODES}.")]


def sample(workdir: Path, *, low: bool = False) -> list[html.PagePart]:
    """Returns the newest sample grid, or nothing if there is none; see `html.picture`."""
    newest = Workdir(workdir).newest_sample()
    if newest is None:
        return []
    step, path = newest
    title = f"Samples at step {step}"
    g, f = map(label, DIRECTIONS)
    caption = (
        f"{title}. G translates {g}, and F translates {f}; F(x) and G(y) should change nothing."
    )
    return [embedded(path, title, caption, low=low)]


def command(workdir: Path) -> str:
    """Returns the command that scores the newest checkpoint of a run."""
    start = command_line.start_of("evaluate")
    return shlex.join([*start, f"--workdir={workdir}", "--checkpoint=latest"])


def embedded(path: Path, title: str, caption: str, *, low: bool = False) -> html.Figure:
    """Returns a PNG, scaled down if it is wider than a page needs; see `html.picture`."""
    png = path.read_bytes()
    with Image.open(path, formats=["PNG"]) as image:  # a model folder may come from anywhere
        if image.width > _WIDEST:
            size = (_WIDEST, round(image.height * _WIDEST / image.width))
            buffer = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(buffer, format="PNG", optimize=True)
            png = buffer.getvalue()
    return html.picture(png, f"{title}. {description(path)}", caption, low=low)
