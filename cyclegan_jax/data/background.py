"""Finds volumes whose background is not their low end, and makes air of it where that is safe.

Everything after it takes air for the darkest part of a volume. Four kinds are known in which it is
not:

* a padding value far below the rest, such as -2000 outside a round field of view, or the one that
  a DICOM header names: it becomes the lowest real value;
* a constant amid the values of the tissue, such as the 0 of skull-stripped z-scored volumes: it
  becomes the low end of the tissue;
* a constant above the tissue, as in inverted scans: refused;
* noise as bright as the head, as in an MP2RAGE UNI image: refused.

Of any other volume no value is changed.
"""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.orientation import Volume

_LEAST_PADDING = 0.005  # of the voxels; fewer do not move the 1st percentile, which is air
_FAR = 0.5  # of the range of the other values
_LEAST_SIDE = 5  # voxels; a smaller volume has no border to speak of
_COMMON_AT_BORDER, _COMMON = 0.15, 0.05  # shares that a background value has of border and volume
_MOST_COMMON = 0.99  # a volume of nearly one value has no head, which others report
_AMID = 0.1  # of the tissue's range
# Differences of neighbours and the level of a border of noise, in parts of the volume's range. The
# air of a scan has less than half of both, even if its signal is only ten times its noise.
_BUSY, _BRIGHT = 0.12, 0.15
_LEAST_VALID = 0.02  # of a face


def with_dark_air(path: Path, volume: Volume) -> Volume:
    """Returns a volume whose air is its lowest value, with a note where values were changed.

    Raises InputError, which names ``path``, for a background that cannot be made dark safely.
    """
    data, notes = dark_air(volume.data, volume.padding)
    if reason := _not_dark(data):
        raise InputError(f"{path}: {reason}")
    if not notes:
        return volume
    return dataclasses.replace(volume, data=data, notes=(*volume.notes, *notes))


def dark_air(
    data: NDArray[np.float32], padding: float | None = None
) -> tuple[NDArray[np.float32], list[str]]:
    """Gives padding and a constant background amid the tissue the lowest value of a volume.

    ``padding`` is the value that the file's header declares to be none of the scan's. Returns the
    volume, which is ``data`` itself if nothing is changed, and notes that say what was changed.
    """
    notes = []
    for declared in (True, False):
        value = padding if declared else float(data.min())
        lowest = None if value is None else _lowest_real(data, value, declared=declared)
        if lowest is not None:
            data = np.where((data == value) | (data < lowest), np.float32(lowest), data)
            notes.append(f"the padding value {value:g}, which no tissue has, is read as air")
    background = _common_value(data)
    if background is not None and _side(data, background) == "amid":
        lowest_tissue = np.float32(np.percentile(data[data != background], 0.1))
        data = np.where(data == background, lowest_tissue, data)
        notes.append(
            f"the background has the value {background:g}, amid those of the tissue (a z-scored "
            "scan without skull?); it is read as air"
        )
    return data, notes


def _lowest_real(data: np.ndarray, value: float, *, declared: bool) -> float | None:
    """Returns the lowest real value of a volume if `value` is padding, else None."""
    where = data == value
    share = where.mean()
    if not 0 < share < 1:
        return None
    rest = data[~where]
    lowest = float(rest.min())
    if declared:  # a 0 that is declared is air, as in any other scan
        return lowest if value > rest.max() or value < min(lowest, 0) else None
    if value >= 0 or share < _LEAST_PADDING:
        return None
    low, high = (float(q) for q in np.percentile(rest, (5, 99)))
    if value > low - _FAR * (high - low):
        return None
    # Resampling smears the edge of the padding over values that are none of the scan's either.
    return lowest if lowest - value > (low - value) / 2 else low


def _faces(data: np.ndarray) -> list[np.ndarray]:
    """Returns the six outer planes of a volume, or none of a small one."""
    if min(data.shape) < _LEAST_SIDE:
        return []
    return [data.take(index, axis) for axis in range(3) for index in (0, -1)]


def _common_value(data: np.ndarray) -> float | None:
    """Returns the constant that much of the border and of the volume has, if there is one.

    The lowest value does not count: it is air in any case.
    """
    if not (faces := _faces(data)):
        return None
    border = np.concatenate([face.ravel() for face in faces])
    values, counts = np.unique(border[border > data.min()], return_counts=True)
    if not counts.size or counts.max() < _COMMON_AT_BORDER * border.size:
        return None
    value = float(values[counts.argmax()])
    return value if _COMMON <= np.mean(data == value) <= _MOST_COMMON else None


def _side(data: np.ndarray, value: float) -> str:
    """Returns where `value` lies among the other values: "below", "amid" or "above" them."""
    others = data[data != value]
    low, high = np.percentile(others, (5, 95))
    if value < low + _AMID * (high - low):
        return "below"
    return "amid" if value < high else "above"


def _not_dark(data: np.ndarray) -> str:
    """Says why the air of a volume cannot be taken for its low end, or returns ""."""
    background = _common_value(data)
    if background is not None and _side(data, background) == "above":
        return (
            f"its background has the value {background:g}, which is brighter than the head; invert "
            "the scan, or set the voxels outside the head to the lowest value"
        )
    low, high = np.percentile(data[::2, ::2, ::2], (1, 99))
    faces = _faces(data)
    if faces and high > low:
        noisy = sum(_is_noisy(face, float(data.min()), low, high) for face in faces)
        if noisy >= len(faces) / 2:
            return (
                "the air around the head is noise as bright as the head, as in an MP2RAGE UNI "
                "image; give the denoised image, or set the voxels outside the head to the lowest "
                "value"
            )
    return ""


def _is_noisy(face: np.ndarray, fill: float, low: float, high: float) -> bool:
    """Returns whether a face, apart from where it has the value `fill`, is bright noise."""
    valid = face != fill
    if valid.mean() < _LEAST_VALID:
        return False
    differences = [
        np.abs(np.diff(face, axis=axis))[
            np.logical_and(*(valid.take(range(i, valid.shape[axis] - 1 + i), axis) for i in (0, 1)))
        ]
        for axis in (0, 1)
    ]
    together = np.concatenate(differences)
    if not together.size:
        return False
    level = (np.median(face[valid]) - low) / (high - low)
    return bool(np.median(together) / (high - low) > _BUSY and level > _BRIGHT)
