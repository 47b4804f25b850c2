"""Writes one self-contained page that shows an exported model: its scores, pictures and facts."""

import json
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.evaluation.tables import region_tables, score_tables
from cyclegan_jax.evaluation.trust_tables import interval_tables, limit_table
from cyclegan_jax.render import html
from cyclegan_jax.report.page import Sections, shown
from cyclegan_jax.report.result import SUBJECTS, WORST, scored_picture
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.trained.model_folder import Facts, read_facts

_SUFFIX = ".html"


def write_model_page(folder: Path, out: Path) -> Path:
    """Writes the page of a model folder, whose weights are not read.

    Args:
      folder: of the model.
      out: the file to write, which ends in `.html`; it is replaced if it is there.

    Returns:
      `out`.

    Raises:
      InputError: `folder` is no model folder, or `out` cannot be written.
    """
    facts = read_facts(folder)
    if out.suffix != _SUFFIX:
        raise InputError(f"--out={out}: give a file that ends in {_SUFFIX}")
    sections: Sections = {
        "Result": lambda: _pictures(folder, facts),
        "Scores": lambda: _scores(facts),
        "Known failures": lambda: _failures(facts),
        "Trust": lambda: _trust(facts),
        "Model": lambda: _model(facts),
    }
    # what inference does not need is not checked when it is read, and can raise anything
    parts = shown(sections, (Exception,))
    try:
        write_whole(out, html.page(f"Model {facts['name']}", parts))
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({error.strerror})") from error
    return out


def _pictures(folder: Path, facts: Facts) -> list[html.PagePart]:
    scores, parts = facts["scores"] or {}, []
    for name in (SUBJECTS, WORST):
        if scores and (folder / name).is_file():
            parts.append(scored_picture(folder / name, scores))
    return parts or [html.Paragraph("There are no pictures of this model.")]


def _scores(facts: Facts) -> list[html.PagePart]:
    scores = facts["scores"]
    if not scores:
        return [html.Paragraph("This model was not scored before it was exported.")]
    text = (
        f"These are the scores on {scores['images']} {scores['split']} images of {scores['data']}."
    )
    return [html.Paragraph(text), *score_tables(scores)]


def _failures(facts: Facts) -> list[html.PagePart]:
    if facts["failures"]:
        return [html.Caution(f"{sentence}.") for sentence in facts["failures"]]
    return [html.Paragraph("No known failure was seen in training.")]


def _trust(facts: Facts) -> list[html.PagePart]:
    scans = facts["data"].get("training_scans", {})
    tables = [
        *interval_tables(facts.get("intervals", {})),
        *region_tables(facts.get("regions", {})),
        *limit_table(scans),
    ]
    return [*tables] or [html.Paragraph("Nothing was measured; cyclegan-jax calibrate does it.")]


def _model(facts: Facts) -> list[html.PagePart]:
    about = facts["about"]
    rows = [
        ["made by", facts["made_by"]],
        ["step", str(facts["step"])],
        ["weights", "averages" if facts["averaged"] else "those of the step"],
        ["SHA-256 of the weights", facts["weights"]["sha256"]],
        ["training data", about["data"] or "not given"],
        ["licence of the data", about["license"] or "not given"],
    ]
    if refined := facts.get("refined"):
        names = ", ".join(model["name"] for model in refined["models"])
        rows.append(["refined", f"{refined['steps']} steps, with {names}"])
    config = html.Code(json.dumps(facts["config"], indent=2))
    data = html.Code(json.dumps(facts["data"], indent=2))
    return [
        html.Facts(rows),
        html.Details("The whole config", [config]),
        html.Details("What is known of the training data", [data]),
    ]
