"""What a user must know of a prepared data set and is no error: lines for its manifest.

Every function returns a line, or "" where there is nothing to say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.intensity import SATURATED

_APART = 1.0  # mm; registered scans have one grid


def clipped(split: str, fractions: Sequence[float]) -> str:
    """Of volumes that were clipped; `fractions` of their heads lie on the maximum."""
    percents = [round(100 * f) for f in fractions if f > SATURATED]
    if not percents:
        return ""
    share = " to ".join(str(percent) for percent in sorted({min(percents), max(percents)}))
    return (
        f"{split}: clipped volumes: {len(percents)} of {len(fractions)}; {share} % of their head "
        "voxels sit on the maximum, their contrast is lost; export them again without clipping"
    )


def unpaired_slices(split: str, x: Sequence[str], y: Sequence[str]) -> str:
    """Of slices that only one scan of a pair has; their names in both domains."""
    both, only_x, only_y = set(x) & set(y), set(x) - set(y), set(y) - set(x)
    if not only_x and not only_y:
        return ""
    return (
        f"{split}: {len(both)} slices are in both scans of their pair and make the pairs; "
        f"{len(only_x)} are in the T1 scan only and {len(only_y)} in the T2 scan only"
    )


def apart(
    split: str, x: Mapping[str, np.ndarray | None], y: Mapping[str, np.ndarray | None]
) -> str:
    """Of pairs of one shape that are not in one place; `Volume.corners` by name, if known."""
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
        f"{split}: {len(distances)} pair(s) lie up to {max(distances.values()):.3g} mm apart by "
        f"their headers, first {next(iter(distances))!r}; unless the headers are wrong, register "
        "one scan to the other"
    )


def copies(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Of files of one content in two splits, which names do not tell; `splits` of the manifest."""
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
        "unless they are blank, remove one, or training scans are scored"
    )
