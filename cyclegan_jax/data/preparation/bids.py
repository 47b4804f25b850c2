"""Lists the anatomical scans of a raw BIDS data set, and the groups of its participants."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import nifti
from cyclegan_jax.data.preparation.bids_names import (
    BidsScan,
    Filter,
    how_to_choose,
    read_name,
    rivals_of,
)
from cyclegan_jax.data.preparation.notes import left_out
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.domains import CONTRASTS, DOMAINS

DESCRIPTION = "dataset_description.json"
DERIVATIVES = "derivatives"  # the one folder of a raw data set that holds what was made of it
SUFFIXES = {domain: f"{contrast}w" for domain, contrast in CONTRASTS.items()}
_DERIVED = ("desc", "space", "res", "den", "label")  # entities of derivatives alone
_AGENT = "ce"  # the entity of scans after a contrast agent
_PARTICIPANTS, _PERSON, _GROUP = "participants.tsv", "participant_id", "group"


def check_raw(root: Path) -> dict[str, Any]:
    """Returns the content of a raw data set's description.

    Raises:
      InputError: `root` is no BIDS data set, or a derivative one.
    """
    path = root / DESCRIPTION
    if not root.is_dir():
        raise InputError(f"--bids={root}: is no folder; give the root of a BIDS data set")
    if not path.exists() and not path.is_symlink():
        what = "is empty" if not any(root.iterdir()) else f"has no {DESCRIPTION}"
        raise InputError(
            f"--bids={root}: {what}, so it is no BIDS data set; give its root, or name folders of "
            "scans without --bids"
        )
    with limits.reading(path, "description", "write it anew as BIDS says"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    if found.get("DatasetType") == "derivative":
        raise InputError(
            f"--bids={root}: {DESCRIPTION} says that it is a derivative data set; give the raw one"
        )
    return found


def check_outside(root: Path, out: Path) -> None:
    """Refuses a folder for results that lies between the raw data, where BIDS wants none."""
    inner, outer = out.resolve(), root.resolve()
    if inner == outer or (outer in inner.parents and inner.parent != outer / DERIVATIVES):
        raise InputError(
            f"--out={out} lies in the raw data; give {root / DERIVATIVES}/NAME, or a folder outside"
        )


def list_scans(
    root: Path, suffixes: Sequence[str], filters: Sequence[Filter], notes: list[str]
) -> list[BidsScan]:
    """Returns the scans of some suffixes that the filters leave, sorted by path.

    Only `sub-*/anat` and `sub-*/ses-*/anat` are read, so what lies in `derivatives`, `sourcedata`,
    `code` or hidden folders is not. Scans after a contrast agent (`ce-`) are left out unless a
    filter names that entity.

    Args:
      root: of the raw data set.
      suffixes: for example "T1w".
      filters: which scans stay.
      notes: gets lines that a user must know.

    Raises:
      InputError: `check_raw` raises; there is no scan of a suffix, or a filter leaves none or names
        an entity that no scan has; a derivative lies in the raw data, or a scan in another
        subject's folder.
    """
    check_raw(root)
    scans, others = [], []
    for path in _files(root):
        scan = read_name(path)
        if scan is None or scan.suffix not in suffixes:
            others.append(path)
            continue
        _check_place(root, scan)
        scans.append(scan)
    for suffix in suffixes:
        if not any(scan.suffix == suffix for scan in scans):
            there = ", ".join(sorted({s.suffix for p in others if (s := read_name(p))})) or "none"
            raise InputError(
                f"--bids={root}: no scan sub-*/anat/*_{suffix}.nii.gz or "
                f"sub-*/ses-*/anat/*_{suffix}.nii.gz; the suffixes there are: {there}"
            )
    chosen = _filtered(root, scans, filters, notes)
    wanted = " and ".join(suffixes)
    notes += _note(root, others, f"their suffix is not {wanted}")
    return chosen


def list_items(
    root: Path,
    x_suffix: str,
    y_suffix: str,
    filters: Sequence[Filter],
    notes: list[str],
) -> list[Item]:
    """Returns one scan of each subject, session and contrast, to be divided into splits.

    Args:
      root: of the raw data set.
      x_suffix: of the scans of domain X, T1-weighted.
      y_suffix: of the scans of domain Y, T2-weighted.
      filters: see `list_scans`.
      notes: gets lines that a user must know.

    Raises:
      InputError: as `list_scans`; or there are several scans of one subject, session and suffix,
        of which none is preferred.
    """
    if x_suffix == y_suffix:
        raise InputError(f"--x_suffix and --y_suffix are both {x_suffix}; give two contrasts")
    scans = list_scans(root, (x_suffix, y_suffix), filters, notes)
    _refuse_several(root, scans)
    return [
        Item(
            scan.path,
            f"sub-{scan.entities['sub']}",
            domain,
            "train",
            str(scan.path),
            scan.place,
            f"ses-{scan.entities['ses']}" if "ses" in scan.entities else "",
        )
        for domain, suffix in zip(DOMAINS, (x_suffix, y_suffix), strict=True)
        for scan in scans
        if scan.suffix == suffix
    ]


def read_groups(root: Path, subjects: Iterable[str]) -> dict[str, str]:
    """Returns the groups of subjects that the column `group` of `participants.tsv` names.

    Subjects without one are left out; without such a file or column the result is empty.

    Raises:
      InputError: the file cannot be read.
    """
    path = root / _PARTICIPANTS
    if not path.exists():
        return {}
    with limits.reading(path, "table of participants", "write it anew as BIDS says"):
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        found = {row.get(_PERSON): (row.get(_GROUP) or "").strip() for row in rows}
    known = {s: found.get(s, "") for s in sorted(subjects)}
    return {s: g for s, g in known.items() if g and g != "n/a" and g.isprintable()}


def _files(root: Path) -> list[Path]:
    """Returns the NIfTI files in the `anat` folders of subjects and sessions."""
    folders = [p for way in ("sub-*/anat", "sub-*/ses-*/anat") for p in root.glob(way)]
    # not is_file(): a file that is not fetched must fail when it is read
    return sorted(
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.name.endswith(nifti.SUFFIXES) and not path.name.startswith(".")
    )


def _check_place(root: Path, scan: BidsScan) -> None:
    place = scan.path.relative_to(root)
    if derived := next((e for e in _DERIVED if e in scan.entities), None):
        raise InputError(
            f"{scan.path}: is a derivative ({derived}-{scan.entities[derived]}) inside the raw "
            f"data; move it to {root / DERIVATIVES}"
        )
    if "_".join(place.parts[:-2]) != scan.place:
        raise InputError(
            f"{scan.path}: its name says {scan.place}, its folder {'_'.join(place.parts[:-2])}; "
            "rename it, or move it"
        )


def _filtered(
    root: Path, scans: list[BidsScan], filters: Sequence[Filter], notes: list[str]
) -> list[BidsScan]:
    """Returns the scans that the filters leave."""
    there = {entity for scan in scans for entity in scan.entities}
    for one in filters:
        if one.entity not in there:
            raise InputError(
                f"{one}: no scan has the entity {one.entity!r}; those there are: "
                f"{', '.join(sorted(there))}"
            )
    if not any(one.entity == _AGENT for one in filters):
        why = f"they are after a contrast agent; --filter={_AGENT}=LABEL takes them"
        scans = _leave(root, scans, [_AGENT not in s.entities for s in scans], why, notes)
    for one in filters:
        rivals = rivals_of(scans)
        stay = [one.keeps(scan, rivals[scan.place, scan.suffix]) for scan in scans]
        scans = _leave(root, scans, stay, f"{one} leaves them out", notes)
    return scans


def _leave(
    root: Path, scans: list[BidsScan], stay: Sequence[bool], why: str, notes: list[str]
) -> list[BidsScan]:
    """Returns the scans that stay; `notes` names the others."""
    kept = [scan for scan, stays in zip(scans, stay, strict=True) if stays]
    for suffix in dict.fromkeys(scan.suffix for scan in scans):
        if not any(scan.suffix == suffix for scan in kept):
            raise InputError(f"--bids={root}: all {suffix} scans are left out: {why}")
    out = [scan.path for scan, stays in zip(scans, stay, strict=True) if not stays]
    notes += _note(root, out, why)
    return kept


def _refuse_several(root: Path, scans: Sequence[BidsScan]) -> None:
    several = [rivals for rivals in rivals_of(scans).values() if len(rivals) > 1]
    if not several:
        return
    first = several[0]
    names = ", ".join(scan.path.name for scan in first)
    more = f" ({len(several) - 1} more such)" if len(several) > 1 else ""
    raise InputError(
        f"--bids={root}: {first[0].place} has {len(first)} {first[0].suffix} scans{more}: {names}; "
        f"{how_to_choose(first, scans)}"
    )


def _note(root: Path, paths: Sequence[Path], why: str) -> list[str]:
    note = left_out(str(root), why, [str(path.relative_to(root)) for path in paths])
    return [note] if note else []
