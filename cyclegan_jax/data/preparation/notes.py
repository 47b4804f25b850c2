"""Writes what a user must know of a prepared data set and is no error: lines for its manifest.

Every function returns one line, or "" if there is nothing to say; `of_scans` returns several.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.intensity import SATURATED
from cyclegan_jax.domains import CONTRASTS

_APART = 1.0  # mm; registered scans have one grid
_NAMED = 3  # files that a note names at most


def clipped(split: str, fractions: Sequence[float]) -> str:
    """Says how many volumes of a split were clipped when they were exported.

    `fractions` has, for each volume, the fraction of its head voxels that lie on its maximum.
    """
    percents = [round(100 * f) for f in fractions if f > SATURATED]
    if not percents:
        return ""
    share = " to ".join(str(percent) for percent in sorted({min(percents), max(percents)}))
    return (
        f"{split}: {len(percents)} of {len(fractions)} volumes are clipped: {share} % of their "
        "head voxels have the maximum value, and the contrast there is lost; export them again "
        "without clipping"
    )


def of_scans(split: str, scans: Mapping[str, Sequence[str]]) -> list[str]:
    """Says the notes of single scans, each once, with the number of scans that have it.

    `scans` maps the name of a scan to its notes.
    """
    having: dict[str, list[str]] = {}
    for name, lines in scans.items():
        for line in lines:
            having.setdefault(line, []).append(name)
    return [
        f"{split}: {len(names)} of {len(scans)} scans, first {names[0]!r}: {line}"
        for line, names in having.items()
    ]


def unpaired_slices(split: str, x: Sequence[str], y: Sequence[str]) -> str:
    """Says how many slices only one scan of a pair has; `x` and `y` are names of slices."""
    both, only_x, only_y = set(x) & set(y), set(x) - set(y), set(y) - set(x)
    if not only_x and not only_y:
        return ""
    return (
        f"{split}: {len(both)} slices are in both scans of their pair and make the pairs; "
        f"{len(only_x)} are in the {CONTRASTS['x']} scan only and {len(only_y)} in the "
        f"{CONTRASTS['y']} scan only"
    )


def apart(
    split: str, x: Mapping[str, np.ndarray | None], y: Mapping[str, np.ndarray | None]
) -> str:
    """Says how many pairs do not lie in one place, though their shapes are equal.

    `x` and `y` map the name of a scan to its `Volume.corners` in mm, or to None if not known.
    """
    distances = {}
    for name, corners in x.items():
        other = y.get(name)
        if corners is not None and other is not None:
            distance = float(np.linalg.norm(corners - other, axis=1).max())
            if distance > _APART:
                distances[name] = distance
    if not distances:
        return ""
    return (
        f"{split}: the scans of {len(distances)} pair(s) lie up to {max(distances.values()):.3g} "
        f"mm apart according to their headers, first {next(iter(distances))!r}; unless the headers "
        "are wrong, register one scan to the other"
    )


def unlabelled(split: str, names: Sequence[str], count: int) -> str:
    """Says how many of `count` pairs have no label map; `names` are those of their scans."""
    if not names:
        return ""
    return (
        f"{split}: {len(names)} of {count} pairs have no label map, first {names[0]!r}; they are "
        "left out where pixels inside the labels are scored"
    )


def copies(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Says how many files have the content of a file in another split, which no name shows.

    `splits` are those of the manifest, with the checksums of their files.
    """
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for split, entry in splits.items():
        for file in entry.get("files", []):
            kind = split.rsplit("_", 1)[0]
            first = seen.setdefault(file["sha256"], (kind, file["file"]))
            if first[0] != kind:
                found.append(f"{first[1]!r} and {file['file']!r}")
    if not found:
        return ""
    return (
        f"{len(found)} file(s) have the content of a file in another split, first {found[0]}; "
        "unless they are blank, remove one of the two, since otherwise training scans are scored"
    )


def slices_of_people(images: int, people: int, file: str, subject: str) -> str:
    """Says that images were read as slices of people, with an example."""
    return (
        f"by their names, {images} images are slices of {people} subjects, for example {file!r} of "
        f"{subject!r}; if that is wrong, name the subjects with --csv"
    )


def nobody_in_both(x: str, subject_x: str, y: str, subject_y: str) -> str:
    """Says that no subject is in both domains though the numbers in names agree; two examples."""
    return (
        f"no subject is in both contrasts, though the numbers in names agree: {x!r} is read as "
        f"subject {subject_x!r} and {y!r} as {subject_y!r}; if they are one person, name the "
        "subjects with --csv, or else one may train and be tested at once"
    )


def only_numbers(contrast: str, examples: Sequence[tuple[str, str]]) -> str:
    """Says that only a number distinguishes the subjects; examples are subjects and their files."""
    read = " and ".join(f"{file!r} as subject {subject!r}" for subject, file in examples)
    return (
        f"the {contrast} files differ by a number only; {read} are read as different people, and "
        "equal numbers in both contrasts as one; if that is wrong, name the subjects with --csv"
    )


def left_out(place: str, why: str, names: Sequence[str]) -> str:
    """Says which entries of a folder are not used."""
    if not names:
        return ""
    named = ", ".join(repr(name) for name in names[:_NAMED])
    more = ", …" if len(names) > _NAMED else ""
    return f"{place}: {len(names)} not used, {why}: {named}{more}"
