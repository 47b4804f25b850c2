"""Cuts volumes into slices and puts them together again; what a slice is called."""

from collections.abc import Sequence

import numpy as np

from cyclegan_jax import InputError

# RAS+ axes that become (slice, row, column). Rows and columns are both reversed afterwards.
AXIS_ORDER = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
AXES = tuple(AXIS_ORDER)


def to_slices(data: np.ndarray, axis: str) -> np.ndarray:
    """Turns RAS+ ``[X, Y, Z]`` into ``[N, H, W]`` as displayed, by increasing RAS coordinate.

    axial: anterior at the top, patient right on the left (radiological); coronal: superior at the
    top, right on the left; sagittal: superior at the top, anterior on the left. Raises InputError
    for another ``axis``.
    """
    return np.ascontiguousarray(data.transpose(_order(axis))[:, ::-1, ::-1])


def from_slices(slices: np.ndarray, axis: str) -> np.ndarray:
    """Turns ``[N, H, W]`` into RAS+ ``[X, Y, Z]``; the exact inverse of ``to_slices``."""
    return np.ascontiguousarray(slices[:, ::-1, ::-1].transpose(np.argsort(_order(axis))))


def in_plane(spacing: tuple[float, float, float], axis: str) -> tuple[float, float]:
    """Returns height and width in mm of a pixel of ``to_slices``.

    ``spacing`` is the voxel size in mm along X, Y and Z of RAS+.
    """
    _, down, right = _order(axis)
    return spacing[down], spacing[right]


def across(spacing: tuple[float, float, float], axis: str) -> float:
    """Returns the distance in mm from one slice of ``to_slices`` to the next."""
    return spacing[_order(axis)[0]]


def slice_voxel(spacing: tuple[float, float, float], axis: str) -> tuple[float, float, float]:
    """Returns a voxel size as ``to_slices`` has it: from slice to slice, height and width."""
    return (across(spacing, axis), *in_plane(spacing, axis))


def voxel(pixel: tuple[float, float], slice_: float, axis: str) -> tuple[float, float, float]:
    """Returns the voxel size in mm along X, Y and Z of RAS+ of slices with such pixels.

    It inverts ``in_plane`` and ``across``.
    """
    sizes = dict(zip(_order(axis), (slice_, *pixel), strict=True))
    return sizes[0], sizes[1], sizes[2]


def alike(a: Sequence[float], b: Sequence[float], factor: float = 1.05) -> bool:
    """Returns whether sizes differ by less than ``factor``.

    The default is a difference that a network cannot see.
    """
    return all(1 / factor <= p / q <= factor for p, q in zip(a, b, strict=True))


def slice_name(scan: str, index: int) -> str:
    """Returns the name of slice ``index``, from 0, of a volume or stack that is called ``scan``."""
    return f"{scan}#{index:03d}"


def is_slice(name: str) -> bool:
    """Returns whether a name is that of a slice of a volume or stack, and not of an image."""
    return "#" in name


def index_of_slice(name: str) -> int:
    """Returns the ``index`` of a name that ``slice_name`` made."""
    return int(name.rsplit("#", 1)[1])


def subject_of_slice(name: str) -> str:
    """Returns the subject of a slice.

    A slice of a volume is called ``subject#index``, and an image as its subject.
    """
    return name.split("#")[0]


def scan_of_slice(name: str) -> str:
    """Returns the scan of a slice of a name that ``slice_name`` made; an image is its own scan."""
    return name.rsplit("#", 1)[0]


def _order(axis: str) -> tuple[int, int, int]:
    if axis not in AXIS_ORDER:
        raise InputError(f"axis {axis!r}: use one of {', '.join(AXES)}")
    return AXIS_ORDER[axis]
