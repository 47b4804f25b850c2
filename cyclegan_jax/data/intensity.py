"""Intensities of scans: head mask, robust range, [-1, 1] and back, the stored 16 bits."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cyclegan_jax import InputError

# The clipped volumes of docs/ixi.md have more than half of the head on their maximum; an 8-bit
# volume scaled to its brightest voxel has a few voxels there.
SATURATED = 0.01


HEAD = -0.8  # normalised images: `foreground`'s threshold, a tenth of the range above air
_LEAST_HEAD = 5e-4  # of the voxels


class IntensityRange(NamedTuple):
    """Source intensities that are mapped to -1 (``low``) and +1 (``high``)."""

    low: float
    high: float


def check_values(path: Path, data: np.ndarray) -> None:
    """Raises InputError, naming ``path``, for NaN, infinity or a constant."""
    if bad := data.size - np.count_nonzero(np.isfinite(data)):
        raise InputError(f"{path}: {bad} voxels are NaN or infinite; set them to the air value")
    if data.min() == data.max():
        raise InputError(f"{path}: every voxel is {data.flat[0]:g}; give a volume with contrast")


def foreground(data: np.ndarray) -> NDArray[np.bool_]:
    """Head mask: voxels more than a tenth of the way from air (1st) to the 99th percentile.

    ``data`` is a whole volume of any shape and units, air darker than tissue. The mask is a plain
    threshold: dark bone and air cavities inside the head are not in it. All False for a constant.
    """
    air, bright = np.percentile(data, (1, 99))
    return data > air + 0.1 * (bright - air)


def volume_range(data: np.ndarray, head: NDArray[np.bool_] | None = None) -> IntensityRange:
    """Robust range of a volume: its 1st percentile (air), the 99.5th of its ``foreground``.

    ``head`` is that foreground where it is known already. Raises ValueError when it has next to no
    voxels (constant or non-finite data, a few bright ones on air).
    """
    head = foreground(data) if head is None else head
    if head.mean() < _LEAST_HEAD:
        raise ValueError("no foreground, the volume has no contrast; give a head on dark air")
    return IntensityRange(float(np.percentile(data, 1)), float(np.percentile(data[head], 99.5)))


def saturated(data: np.ndarray, head: NDArray[np.bool_] | None = None) -> float:
    """Fraction of the ``foreground`` that lies exactly on the volume's maximum; 0 without one.

    Above ``SATURATED`` the bright tissues were clipped when the file was made, and no normalisation
    brings their contrast back. ``head`` is the foreground where it is known already.
    """
    head = foreground(data) if head is None else head
    return float(np.mean(data[head] == data.max())) if head.any() else 0.0


def full_range(dtype: DTypeLike) -> IntensityRange:
    """(0, 255) for uint8, (0, 65535) for uint16; ValueError for another type."""
    high = {"uint8": 255.0, "uint16": 65535.0}.get(np.dtype(dtype).name)
    if high is None:
        raise ValueError(f"no full range for {dtype}")
    return IntensityRange(0.0, high)


def normalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Map source intensities to float32 [-1, 1], clipping what lies outside ``range_``."""
    low, high = map(float, range_)
    return np.clip((array.astype(np.float32) - low) * (2 / (high - low)) - 1, -1, 1)


def denormalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Map [-1, 1] back to float32 source intensities; inverse of ``normalise`` where unclipped."""
    low, high = map(float, range_)
    return (array.astype(np.float32) + 1) * ((high - low) / 2) + low


def to_storage(x: np.ndarray) -> NDArray[np.uint16]:
    """[-1, 1] (clipped) to 0..65535, rounded; an 8-bit value v becomes exactly 257 v.

    Raises ValueError for NaN or infinity, which have no integer.
    """
    if not np.isfinite(x).all():
        raise ValueError("cannot store NaN or infinity")
    return np.round((np.clip(x, -1, 1) + 1) * (65535 / 2)).astype(np.uint16)


def from_storage(u: NDArray[np.uint16]) -> NDArray[np.float32]:
    """0..65535 to float32 [-1, 1]; inverse of ``to_storage``."""
    return normalise(u, full_range(np.uint16))


def head_mask(*images: np.ndarray) -> np.ndarray:
    """Where the head is: one mask for images of the same anatomy.

    Args:
      images: each `[N, H, W, 1]` in [-1, 1].

    Returns:
      bool `[N, H, W, 1]`: pixels above `intensity.HEAD`, a tenth of the range, in all images,
      and the holes of that within each slice, such as bone, and fluid in T1.
    """
    from scipy.ndimage import binary_fill_holes  # late: it would delay every start

    bright = np.logical_and.reduce([image > HEAD for image in images])
    return np.stack([np.asarray(binary_fill_holes(m[..., 0])) for m in bright])[..., None]
