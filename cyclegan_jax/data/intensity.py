"""Intensities of scans: how each kind is normalised to [-1, 1] and back, head masks, storage.

Which source intensities become -1 and 1:

* a volume: air and the bright end of the head, both robust (`volume_range`);
* a stack of slices: 0 and the stack's maximum (`stack_range`);
* images: the limits of 8 bits, or 0 and the brightest training pixel (`images_range`);
* an image that is translated: as the training images, if it has their type (`own_image_range`);
* a volume that is translated: as in training, but measured at its head alone (`head_range`);
* a translated volume: the median over the training scans of its domain (`reference_range`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cyclegan_jax import InputError

# Fraction of the head on the maximum above which a volume counts as clipped. An 8-bit volume that
# is scaled to its brightest voxel has only a few voxels there.
SATURATED = 0.01

HEAD = (
    -0.8
)  # normalised images: about the threshold of `foreground`, a tenth of the range above air
_LEAST_HEAD = 5e-4  # of the voxels
MIN_HEAD = 0.15  # of a slice: slices of volumes with less head are left out of training
# Percentiles that are the 1st and the 99th of a whole volume, if 40 % of its voxels are head and
# two thirds of it lie in the head's bounding box.
_LOW_IN_AIR, _BRIGHT_IN_BOX = 1.67, 98.5
_LEAST_AIR = 0.1  # of the voxels in the bounding box of a head
_MOST_REPETITIONS = 8


class IntensityRange(NamedTuple):
    """Source intensities that are mapped to -1 (``low``) and +1 (``high``)."""

    low: float
    high: float


# ---------------------------------------------------------------- ranges


def volume_range(data: np.ndarray, head: NDArray[np.bool_] | None = None) -> IntensityRange:
    """Returns the robust range of a volume, for all its slices.

    It goes from the 1st percentile (air) to the 99.5th percentile of the ``foreground``. ``head``
    is that foreground if it is known already. Raises ValueError if it has hardly any voxels: the
    data are constant or not finite, or a few bright voxels lie on air.
    """
    head = foreground(data) if head is None else head
    if head.mean() < _LEAST_HEAD:
        raise ValueError("no foreground, the volume has no contrast; give a head on dark air")
    return IntensityRange(float(np.percentile(data, 1)), float(np.percentile(data[head], 99.5)))


def head_range(slices: np.ndarray, least: float) -> IntensityRange:
    """Returns the range of a volume, however much air surrounds its head.

    `volume_range` takes percentiles of the whole volume, so it depends on the amount of air. This
    one looks at the bounding box of the head alone, and takes percentiles there that are those of a
    typical whole volume. It is `volume_range` where the box holds hardly any air.

    Args:
      slices: ``[N, H, W]``, a whole volume.
      least: how many pixels a connected part of the head has in a slice; a smaller one is noise.

    Raises:
      ValueError: hardly any voxel is head; see `volume_range`.
    """
    mask = foreground(slices)
    whole = volume_range(slices, mask)
    box: tuple[slice, ...] = ()
    for _ in range(_MOST_REPETITIONS):  # the threshold depends on the box, and the box on it
        found = _box(part_sizes(mask) >= least)
        if found == box:
            break
        box = found
        if not mask[box].any() or mask[box].mean() > 1 - _LEAST_AIR:
            return whole
        air, bright = np.percentile(slices[box], (1, _BRIGHT_IN_BOX))
        mask = slices > air + 0.1 * (bright - air)
    inside, head = slices[box], mask[box]
    low, high = np.percentile(inside[~head], _LOW_IN_AIR), np.percentile(inside[head], 99.5)
    return IntensityRange(float(low), float(high))


def stack_range(slices: np.ndarray) -> IntensityRange:
    """Returns the range of a stack ``[N, H, W]``: 0 to its maximum, as SynDiff scales its stacks.

    Such a stack holds chosen slices of several heads, so percentiles of it mean nothing. Raises
    ValueError if no value is above 0.
    """
    high = float(slices.max())
    if high <= 0:
        raise ValueError("no value is above 0; give a stack with contrast")
    return IntensityRange(0.0, high)


def images_range(dtype: DTypeLike, highest: float) -> IntensityRange:
    """Returns the range of uint8 or uint16 images whose brightest pixel is ``highest``.

    8-bit images use the range of their type. 16-bit images use 0 to ``highest``, since scanners
    use only 10 to 15 of the 16 bits.
    """
    if np.dtype(dtype) == np.uint8:
        return full_range(dtype)
    return IntensityRange(0.0, float(highest))


def own_image_range(pixels: np.ndarray, domain: Mapping[str, Any]) -> IntensityRange:
    """Returns the range of one uint8 or uint16 image that comes for translation.

    ``domain`` has "dtype" and "range" of the training images, from the manifest. If the image has
    their type, their range holds for it as well; if not, the range is that of the image alone.
    """
    if domain["dtype"] == str(pixels.dtype):
        return IntensityRange(*domain["range"])
    return images_range(pixels.dtype, max(1.0, float(pixels.max())))


def reference_range(ranges: Sequence[IntensityRange]) -> IntensityRange:
    """Returns the range in which a domain's translations are written.

    It is the median of the ranges of the domain's training scans: one odd scan must not move it.
    """
    low, high = np.median(np.array(ranges), axis=0).tolist()
    return IntensityRange(low, high)


def full_range(dtype: DTypeLike) -> IntensityRange:
    """Returns (0, 255) for uint8 and (0, 65535) for uint16; raises ValueError for other types."""
    high = {"uint8": 255.0, "uint16": 65535.0}.get(np.dtype(dtype).name)
    if high is None:
        raise ValueError(f"no full range for {dtype}")
    return IntensityRange(0.0, high)


def normalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Maps source intensities to float32 [-1, 1] and clips what lies outside ``range_``."""
    low, high = map(float, range_)
    return np.clip((array.astype(np.float32) - low) * (2 / (high - low)) - 1, -1, 1)


def denormalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Maps [-1, 1] back to float32 source intensities; inverts ``normalise`` if unclipped."""
    low, high = map(float, range_)
    return (array.astype(np.float32) + 1) * ((high - low) / 2) + low


# ---------------------------------------------------------------- masks and checks


def check_values(path: Path, data: np.ndarray) -> None:
    """Raises InputError, which names ``path``, for NaN, infinity or a constant."""
    if bad := data.size - np.count_nonzero(np.isfinite(data)):
        raise InputError(f"{path}: {bad} voxels are NaN or infinite; set them to the air value")
    if data.min() == data.max():
        raise InputError(f"{path}: every voxel is {data.flat[0]:g}; give a volume with contrast")


def foreground(data: np.ndarray) -> NDArray[np.bool_]:
    """Returns the voxels more than a tenth of the way from air to bright, as a mask of the head.

    Air is the 1st percentile and bright the 99th. ``data`` is a whole volume of any shape and
    units, its air darker than its tissue. The mask is a plain threshold: dark bone and air cavities
    inside the head are not in it. All values are False for a constant.
    """
    air, bright = np.percentile(data, (1, 99))
    return data > air + 0.1 * (bright - air)


def head_ml(data: np.ndarray, spacing: Sequence[float]) -> float:
    """Returns the volume in ml of the ``foreground`` of a scan with voxels of ``spacing`` (mm)."""
    return float(np.count_nonzero(foreground(data)) * np.prod(spacing) / 1000)


def head_mask(*images: np.ndarray) -> np.ndarray:
    """Returns where the head is: one head mask for normalised images of the same anatomy.

    Args:
      images: each `[N, H, W, 1]` in [-1, 1].

    Returns:
      bool `[N, H, W, 1]`: the pixels above `HEAD`, a tenth of the range, in all images, and the
      holes of that within each slice, such as bone, and fluid in T1.
    """
    from scipy.ndimage import binary_fill_holes  # late: it would delay every start

    bright = np.logical_and.reduce([image > HEAD for image in images])
    return np.stack([np.asarray(binary_fill_holes(m[..., 0])) for m in bright])[..., None]


def part_sizes(head: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Returns for each pixel of a head mask how many pixels the connected part has that it is in.

    Parts do not reach from slice to slice, and pixels connect along rows and columns. The largest
    size distinguishes a slice of the head from one of air, in which noise makes scattered pixels.

    Args:
      head: bool `[N, H, W]`.

    Returns:
      `[N, H, W]`; 0 outside the mask.
    """
    from scipy.ndimage import generate_binary_structure, label  # late: it would delay every start

    neighbours = np.zeros((3, 3, 3), bool)
    neighbours[1] = generate_binary_structure(2, 1)
    labels = np.empty(head.shape, np.int32)
    label(head, neighbours, output=labels)
    sizes = np.bincount(labels.ravel()).astype(np.int32)
    sizes[0] = 0
    return sizes[labels]


def highest_slice(slices: np.ndarray) -> int | None:
    """Returns the index of the last slice of `[N, H, W]` that has `MIN_HEAD` of head, or None.

    Of an axial volume it is the vertex of the head.
    """
    enough = np.flatnonzero(foreground(slices).mean(axis=(1, 2)) >= MIN_HEAD)
    return int(enough[-1]) if len(enough) else None


def saturated(data: np.ndarray, head: NDArray[np.bool_] | None = None) -> float:
    """Returns the fraction of the ``foreground`` that lies on the volume's maximum; 0 without one.

    Above ``SATURATED`` the bright tissues were clipped when the file was made, and no normalisation
    brings their contrast back. ``head`` is the foreground if it is known already.
    """
    head = foreground(data) if head is None else head
    return float(np.mean(data[head] == data.max())) if head.any() else 0.0


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Returns the bounding box of a mask, or empty slices if it has no pixels."""
    sides = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        sides.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0))
    return tuple(sides)


# ---------------------------------------------------------------- storage


def to_storage(x: np.ndarray) -> NDArray[np.uint16]:
    """Maps [-1, 1] (clipped) to 0..65535, rounded; an 8-bit value v becomes exactly 257 v.

    Raises ValueError for NaN or infinity, which have no integer.
    """
    if not np.isfinite(x).all():
        raise ValueError("cannot store NaN or infinity")
    return np.round((np.clip(x, -1, 1) + 1) * (65535 / 2)).astype(np.uint16)


def from_storage(u: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Maps 0..65535 to float32 [-1, 1]; the inverse of ``to_storage``."""
    return normalise(u, full_range(np.uint16))
