"""Makes translations of a raw BIDS data set a derivative data set: where they lie, what says so."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.formats import readers
from cyclegan_jax.data.preparation.bids import (
    DESCRIPTION,
    SUFFIXES,
    check_outside,
    check_raw,
    list_scans,
)
from cyclegan_jax.data.preparation.bids_names import Filter
from cyclegan_jax.domains import CONTRASTS, Direction
from cyclegan_jax.system.files import file_digest, write_whole
from cyclegan_jax.translation.ensemble import Ensemble
from cyclegan_jax.translation.record import TABLE
from cyclegan_jax.translation.translator import Translator

_BIDS_VERSION = "1.10.0"
_SOFTWARE = "cyclegan_jax"
_RAW = "raw"  # what the derivative data set calls the raw one in its URIs
_SOURCE_DATA = "sourcedata"  # where a derivative data set may hold the raw one
_ENDS = ("*_lower.nii.gz", "*_upper.nii.gz")  # of intervals
# What is beside the results and has no name in BIDS; a validator reads this list.
_IGNORED = ("*_preview.png", "*_cycle_error.nii.gz", "*_sd.nii.gz", *_ENDS, TABLE)
_WARNING = (
    "Synthetic images: a CycleGAN made them from scans of another contrast. They can lack or "
    "invent anatomy, and hold no information that the scans do not hold. Not for diagnosis."
)


def plan_derivative(
    root: Path, out: Path, direction: Direction, filters: Sequence[Filter], notes: list[str]
) -> list[tuple[Path, Path]]:
    """Returns every scan of a raw data set that has the source contrast, and the file to write.

    `sub-01/anat/sub-01_run-1_T1w.nii.gz` becomes
    `sub-01/anat/sub-01_run-1_desc-synthetic_T2w.nii.gz`. All scans are translated, however many a
    subject has.

    Args:
      root: of the raw data set.
      out: root of the derivative data set.
      direction: which contrast is made of which.
      filters: which scans are left out, see `bids.list_scans`.
      notes: gets lines that a user must know.

    Raises:
      InputError: `bids.list_scans` raises, or `out` is no place for a derivative data set.
    """
    check_raw(root)
    _check_out(root, out)
    pairs = []
    for scan in list_scans(root, [SUFFIXES[direction.source]], filters, notes):
        entities = "_".join(f"{entity}-{label}" for entity, label in scan.entities.items())
        kind = scan.path.name.removeprefix(readers.stem(scan.path))
        name = f"{entities}_desc-synthetic_{SUFFIXES[direction.target]}{kind}"
        pairs.append((scan.path, out / scan.path.parent.relative_to(root) / name))
    return pairs


def write_description(root: Path, out: Path) -> None:
    """Writes what says that the folder `out` is a data set that was derived from `root`."""
    raw = check_raw(root)
    link = Path(os.path.relpath(root.resolve(), out.resolve())).as_posix()
    name = raw.get("Name") if isinstance(raw.get("Name"), str) else root.resolve().name
    source: dict[str, Any] = {"URL": link}
    if isinstance(raw.get("DatasetDOI"), str):
        source = {"DOI": raw["DatasetDOI"]}
    _write_json(
        out / DESCRIPTION,
        {
            "Name": f"Synthetic contrasts of {name}",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [
                {"Name": _SOFTWARE, "Version": __version__, "Description": _WARNING},
            ],
            "SourceDatasets": [source],
            "DatasetLinks": {_RAW: link},
        },
    )
    write_whole(out / ".bidsignore", "\n".join(_IGNORED) + "\n")
    if not (out / "README.md").exists():
        write_whole(out / "README.md", f"# Synthetic contrasts of {name}\n\n{_WARNING}\n")


def write_sidecar(
    root: Path, source: Path, target: Path, translator: Translator | Ensemble, notes: Sequence[str]
) -> None:
    """Writes the JSON file beside a translation, which says how it was made."""
    direction = translator.direction
    made, given = (CONTRASTS[d] for d in (direction.target, direction.source))
    _write_json(
        target.with_name(f"{readers.stem(target)}.json"),
        {
            "Description": f"Synthetic {made}-weighted image, made from the {given}-weighted scan. "
            f"{_WARNING}",
            "Sources": [f"bids:{_RAW}:{source.relative_to(root).as_posix()}"],
            "SourceSHA256": file_digest(source),
            "SkullStripped": translator.brain_only,
            "ModelName": translator.model,
            "ModelStep": translator.step,
            "ModelWeightsSHA256": translator.weights_sha256,
            "ModelDirection": direction.value,
            "SoftwareName": _SOFTWARE,
            "SoftwareVersion": __version__,
            "Notes": list(notes),
        },
    )


def _check_out(root: Path, out: Path) -> None:
    check_outside(root, out)
    inner, outer = out.resolve(), root.resolve()
    if inner in outer.parents and outer.relative_to(inner).parts[0] != _SOURCE_DATA:
        raise InputError(f"--out={out} holds the raw data {root}; give another folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        found = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
        ours = found["GeneratedBy"][0]["Name"] == _SOFTWARE
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise InputError(
            f"--out={out} is there and is no data set that this command wrote; give a new folder"
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=2) + "\n")
