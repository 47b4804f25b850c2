"""Writes the card of a model: what it does, how it was trained, how well it does, where it fails.

It is the `README.md` of a model folder, in Markdown, with only what the folder's facts say.
"""

import html
import json
import shlex
from collections.abc import Sequence
from typing import Any

from cyclegan_jax.config import flatten
from cyclegan_jax.domains import CONTRASTS, DIRECTIONS, DOMAINS, label
from cyclegan_jax.evaluation.scoring import headline_of
from cyclegan_jax.evaluation.tables import protocol_table, region_tables, score_tables
from cyclegan_jax.evaluation.trust_tables import interval_tables, limit_table
from cyclegan_jax.render.text_table import as_markdown
from cyclegan_jax.report.page import NOT_FOR_DIAGNOSIS
from cyclegan_jax.report.result import caption_of
from cyclegan_jax.system.workdir import MODEL
from cyclegan_jax.trained.model_folder import TYPES, WEIGHTS, Facts

_NOT_GIVEN = "not given"
_PHANTOM = "phantom heads, which cyclegan_jax made itself", "none is needed"  # and their licence
_PROTOCOLS = ("brain", "fixed", "foreground")  # whose tables the card shows; the headline is first


def card(folder: str, facts: Facts, pictures: Sequence[str]) -> str:
    """Returns the card.

    Args:
      folder: the name of the model folder, for commands.
      facts: of the model.
      pictures: the files of `result.CAPTIONS` that lie in the folder.
    """
    sections = {
        "Use": _use(folder),
        "Training": _training(folder, facts),
        "Scores": _scores(facts),
        "Known failures": _failures(facts, pictures),
        "Trust": _trust(facts),
        "Limits": _limits(facts),
        "Files": _files(facts),
    }
    directions = " and ".join(label(direction) for direction in DIRECTIONS)
    begin = [
        f"# {_plain(facts['name'])}",
        f"A CycleGAN that translates brain MRI, {directions}, trained on unpaired images with "
        f"{_plain(facts['made_by'])}.",
        f"**Not for diagnosis.** {NOT_FOR_DIAGNOSIS}",
    ]
    parts = [*begin, *(f"## {title}\n\n{text}" for title, text in sections.items())]
    return "\n\n".join(parts) + "\n"


def _use(folder: str) -> str:
    command, quoted = "cyclegan-jax translate", shlex.quote(folder)
    lines = [f"{command} --model={quoted} --direction={d}" for d in DIRECTIONS]
    scans = [f"scan_{CONTRASTS[d.source]}.nii.gz" for d in DIRECTIONS]
    shell = "\n".join(f"{line} {scan}" for line, scan in zip(lines, scans, strict=True))
    return (
        "With the package `cyclegan_jax` installed, beside this folder:\n\n"
        f"```bash\n{shell}\n```\n\nIn Python:\n\n"
        "```python\nimport cyclegan_jax\n\n"
        f"model = cyclegan_jax.load_model({json.dumps(folder)})\n"
        f'out = model.translate("{scans[0]}", direction="{DIRECTIONS[0]}")\n```'
    )


def _training(folder: str, facts: Facts) -> str:
    about, data, config = facts["about"], facts["data"], flatten(facts["config"])
    kind = "averages of the weights" if facts["averaged"] else "the weights"
    kept = f"{kind} after step {facts['step']} of {config['steps']}"
    sizes = ", ".join(
        f"{CONTRASTS[domain]} {' x '.join(f'{n:.4g}' for n in data['pixel_seen_mm'][domain])} mm"
        for domain in DOMAINS
        if domain in data["pixel_seen_mm"]
    )
    side = config["image_size"]
    own = " --config.data.dir=DATA" if config["data.dir"] else ""
    made = (_NOT_GIVEN, _NOT_GIVEN) if own else _PHANTOM
    lines = [
        f"- Training data: {_plain(about['data']) or made[0]}",
        f"- Licence of the data: {_plain(about['license']) or made[1]}",
        f"- Slices: {data['axis']}, {side}x{side} pixels, pixel size {sizes or 'not known'}",
        f"- What was kept: {kept}",
    ]
    if refined := facts.get("refined"):
        names = ", ".join(_plain(model["name"]) for model in refined["models"])
        lines.append(
            f"- Refined by {refined['steps']} steps of back-translation, from the weights of the "
            f"first of these models, with the translations of all: {names}"
        )
    which = " (DATA is the prepared data set)" if own else ""
    command = f"cyclegan-jax train --config={shlex.quote(f'{folder}/{MODEL}')} --workdir=RUN{own}"
    anew = (
        "This trains the model before its refinement anew"
        if refined
        else "This trains the same anew"
    )
    return "\n".join(lines) + f"\n\n{anew}{which}:\n\n```bash\n{command}\n```"


def _scores(facts: Facts) -> str:
    scores = facts["scores"]
    if not scores:
        return "This checkpoint was not scored."
    text = (
        f"{scores['images']} {scores['split']} images of the data set {_plain(scores['data'])}, "
        f"step {scores['step']}."
    )
    if facts["weights"]["type"] != TYPES[0]:
        text += (
            f" They were measured before the weights were rounded to {facts['weights']['type']}."
        )
    if "protocols" not in scores:
        return "\n\n".join([text, *map(as_markdown, score_tables(scores))])
    first = headline_of(scores)
    chosen = [first, *(p for p in _PROTOCOLS if p in scores["protocols"] and p != first)]
    tables = []
    for protocol in chosen:
        found = scores["protocols"][protocol]
        n = max(entry["n"] for metrics in found.values() for entry in metrics.values())
        tables.append(protocol_table(protocol, found, f", n = {n} subjects"))
    return "\n\n".join([text, *map(as_markdown, tables)])


def _failures(facts: Facts, pictures: Sequence[str]) -> str:
    parts = [f"- {_plain(sentence)}." for sentence in facts["failures"]]
    text = "\n".join(parts) or "No known failure was seen in training."
    scores = facts["scores"] or {}
    shown = [text]
    if "lesions" in scores:
        lesions = score_tables(
            {"lesions": scores["lesions"], "lesions_in_data": scores["lesions_in_data"]}
        )
        shown.append(as_markdown(lesions[0]))
    for name in pictures:
        caption = caption_of(name, scores)
        shown.append(f"![{caption}]({name})\n\n*{caption}. Errors are white.*")
    return "\n\n".join(shown)


def _trust(facts: Facts) -> str:
    tables = [
        *interval_tables(facts.get("intervals", {})),
        *region_tables(facts.get("regions", {})),
        *limit_table(facts["data"].get("training_scans", {})),
    ]
    if not tables:
        return "Nothing was measured; `cyclegan-jax calibrate` does it."
    return "\n\n".join(map(as_markdown, tables))


def _limits(facts: Facts) -> str:
    data, limits = facts["data"], []
    limits.append(
        "A translation can invent or remove anatomy, lesions among it, and holds no information "
        "that the source did not hold."
    )
    limits.append(_lesions_kept(facts["scores"] or {}))
    limits.append(
        f"The networks see one {data['axis']} slice at a time, so planes across slices can show "
        "steps."
    )
    if data["pixel_seen_mm"]:
        limits.append(
            "Volumes of other pixels are resampled to those of training and the result back; it "
            "has no finer detail than they have."
        )
    if data["brain_only"]:
        limits.append("It was trained on brains that were cut out, and needs such scans.")
    if data["below_vertex_mm"]:
        reach = data["below_vertex_mm"]
        limits.append(f"Slices more than {reach:g} mm below the vertex may be wrong.")
    limits.append("Scores say nothing about scans of other people, scanners and sequences.")
    return "\n".join(f"- {sentence}" for sentence in limits)


def _lesions_kept(scores: dict[str, Any]) -> str:
    if "lesions" not in scores:
        return "Whether it keeps lesions was not tested."
    counts = []
    for direction, found in scores["lesions"].items():
        retained = sum(head["retained"] for head in found["heads"].values())
        counts.append(f"{label(direction)} keeps {retained} of {found['lesions']}")
    return f"Of the lesions of the test above, {' and '.join(counts)}."


def _files(facts: Facts) -> str:
    return (
        f"- `{MODEL}`: config, facts on the data, scores, digests\n"
        f"- `{WEIGHTS}`: both generators, {facts['weights']['type']}, "
        f"{facts['weights']['bytes']} bytes, SHA-256 "
        f"`{facts['weights']['sha256']}`"
    )


def _plain(text: str) -> str:
    """Returns a text that Markdown and HTML show as it is."""
    escaped = html.escape(text, quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*[]|#" else sign for sign in escaped)
