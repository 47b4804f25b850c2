"""Finds the label map of each scan, and reads it on the grid of its scan.

A label map gives each voxel the number of its region; 0 is outside the brain. A mask is a label map
with one number. This is the one place that decides which label map belongs to which scan.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import readers
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.manifest import MOST_LABEL
from cyclegan_jax.data.preparation import notes as say
from cyclegan_jax.data.preparation.contrast_names import (
    SEPARATORS,
    contrast_of,
    without_contrast,
    words,
)
from cyclegan_jax.data.preparation.folders import name_in
from cyclegan_jax.data.preparation.label_maps import has_few_values, without_label_words
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.data.preparation.subjects import Reading, read_name
from cyclegan_jax.domains import CONTRASTS

_OFF = 0.5  # of a voxel: labels that lie further from their scan are on another grid


def in_folder(items: Sequence[Item], folder: Path, notes: list[str]) -> list[Item]:
    """Returns the items with the label maps in `folder`, or in the folders inside it.

    Names are read by the rule that finds the subject in the names of scans. A name that says T1 or
    T2 is for the scans of that contrast, another one for those of both. An image takes the label
    map that has its name without contrast and words such as "mask". Any other scan takes that of
    its subject; if the subject has several, that of the scan's own name, or else of its session.

    Args:
      items: the scans.
      folder: of label maps; scans in it are passed over.
      notes: gets a line about the label maps that belong to no scan.

    Raises:
      InputError: there is no label map, none belongs to a scan, or two belong to one.
    """
    scans = {item.path.resolve() for item in items}
    found = [p for p in readers.list_inside(folder).scans if p.resolve() not in scans]
    if not found:
        raise InputError(f"--labels={folder}: holds no label map; name a folder of them")
    known = {item.subject for item in items}
    read = {path: _read_name(folder, path, known) for path in found}
    said = {path: contrast_of(readers.stem(path)) for path in found}
    with_labels = []
    for item in items:
        scan = item.scan or without_contrast(readers.stem(item.path))
        alone = readers.format_of(item.path).kind == "image"
        own = CONTRASTS[item.domain]
        fits = {p: _fit(item, scan, r, alone) for p, r in read.items() if said[p] in ("", own)}
        fits = {p: fit and fit + bool(said[p]) for p, fit in fits.items()}
        best = max(fits.values(), default=0)
        chosen = [p for p, fit in fits.items() if fit == best] if best else []
        if len(chosen) > 1:
            raise InputError(
                f"{item.where}: both {chosen[0]} and {chosen[1]} are label maps of it by their "
                "names; rename one, or name the label maps with --csv"
            )
        with_labels.append(dataclasses.replace(item, labels=chosen[0] if chosen else None))
    used = {item.labels for item in with_labels}
    if used == {None}:
        raise InputError(
            f"--labels={folder}: {found[0].name!r} is read as a label map of subject "
            f"{read[found[0]].subject!r}, and no label map belongs to a scan, first "
            f"{items[0].path.name!r} of {items[0].subject!r}; rename them, or name them with --csv"
        )
    spare = [p.name for p in found if p not in used]
    if spare:
        notes.append(say.left_out(str(folder), "label maps of no scan", spare))
    return with_labels


def beside(items: Sequence[Item], suffix: str) -> list[Item]:
    """Returns the items with the label maps that lie beside them: `<scan><suffix>.nii.gz`.

    The format may be another one of those that hold such scans. A scan without one gets none.
    Raises InputError if no scan has one.
    """
    with_labels = [dataclasses.replace(item, labels=_beside(item.path, suffix)) for item in items]
    if not any(item.labels for item in with_labels):
        first = items[0].path
        raise InputError(
            f"--mask_suffix={suffix}: no scan has a label map beside it, such as "
            f"{first.with_name(readers.stem(first) + suffix)}.nii.gz; name the folder with --labels"
        )
    return with_labels


def _beside(scan: Path, suffix: str) -> Path | None:
    stem = readers.stem(scan)
    kind, own = readers.format_of(scan).kind, scan.name[len(stem) :]
    endings = [s for row in readers.FORMATS if row.kind == kind for s in row.suffixes]
    paths = [scan.with_name(stem + suffix + ending) for ending in (own, *endings) if ending]
    return next((path for path in paths if path.exists()), None)


def _read_name(folder: Path, path: Path, known: set[str]) -> Reading:
    """Reads the subject of a label map; what follows a known subject may be any word."""
    name, own_folder = name_in(folder, path)
    reading = read_name(own_folder, without_label_words(name))
    if reading.subject in known:
        return reading
    begins = [s for s in known if name.startswith(s) and _no_number(name[len(s) :])]
    return dataclasses.replace(reading, subject=max(begins, key=len, default=reading.subject))


def _no_number(rest: str) -> bool:
    """Returns whether the rest of a name begins a new word and has no word that is a number."""
    return rest[:1] in SEPARATORS and not any(word.isdecimal() for word in words(rest))


def _fit(item: Item, scan: str, reading: Reading, alone: bool) -> int:
    """Returns how well the name of a label map fits that of a scan; 0 is not at all.

    With `alone`, only the label map with the name of the scan fits.
    """
    if reading.scan == scan:
        return 5
    if alone or reading.subject != item.subject or reading.session not in ("", item.session):
        return 0
    return 3 if reading.session else 1


def read_on_grid(path: Path, scan: Path, volume: Volume) -> NDArray[np.uint16]:
    """Reads the label map of a volume, in RAS+ `[X, Y, Z]`.

    Raises:
      InputError: it is no label map, or its grid is not that of the scan.
    """
    found = readers.read_volume(path)
    _check_shape(path, found.data.shape, scan, volume.data.shape)
    apart = np.linalg.norm(found.corners - volume.corners, axis=1).max()
    if apart > _OFF * min(volume.spacing):
        raise InputError(
            f"{path}: lies {apart:.3g} mm away from its scan {scan.name} by their headers; "
            "resample the labels to the scan's grid (nearest neighbour)"
        )
    return _labels(path, found.data)


def read_slices(path: Path, scan: Path, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Reads the label map of an image `[H, W]` or a stack `[N, H, W]` of `shape`.

    Raises:
      InputError: it is no label map, or its shape is not that of the scan.
    """
    row = readers.format_of(path)
    if row.kind == "volume":
        raise InputError(f"{path}: is a volume, but its scan {scan.name} is none; give its format")
    found = row.read(path)
    _check_shape(path, found.shape, scan, shape)
    return _labels(path, found)


def _check_shape(path: Path, found: tuple[int, ...], scan: Path, wanted: tuple[int, ...]) -> None:
    if found != wanted:
        own, wanted_size = ("x".join(map(str, shape)) for shape in (found, wanted))
        raise InputError(
            f"{path}: has {own} voxels, but its scan {scan.name} has {wanted_size}; resample the "
            "labels to the scan's grid (nearest neighbour)"
        )


def _labels(path: Path, data: np.ndarray) -> NDArray[np.uint16]:
    if not has_few_values(data) or data.min() < 0 or data.max() > MOST_LABEL:
        raise InputError(
            f"{path}: is no label map, whose values are whole numbers from 0 (outside the brain) "
            f"to {MOST_LABEL}, at most some hundred of them; give another file"
        )
    return data.astype(np.uint16)
