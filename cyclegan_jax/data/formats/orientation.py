"""Holds a volume in RAS+ orientation, and brings a file's own voxel order to it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.nifti1 import Nifti1Image
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as float32 ``[X, Y, Z]`` in RAS+ orientation, and the image it came from.

    ``source`` is a 3-D image (or has further axes of 1) with the file's own geometry, which
    ``nifti.write_volume`` gives to a translation. ``notes`` are whole sentences that a user must
    know of how the file was read, without names and numbers of this file alone. ``padding`` is the
    value that the file declares to be none of the scan's.
    """

    data: NDArray[np.float32]
    source: Nifti1Image
    notes: Sequence[str] = ()
    padding: float | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel size in mm along X, Y and Z."""
        return affine_spacing(np.asarray(self.source.affine))

    @property
    def corners(self) -> np.ndarray:
        """Where the eight corner voxels lie, ``[8, 3]`` in mm, RAS+, in the order of ``data``."""
        affine = np.asarray(self.source.affine)
        turn = io_orientation(affine)
        shape = [self.data.shape[int(axis)] for axis in turn[:, 0]]  # in the file's order
        to_file = inv_ornt_aff(turn, shape)
        voxels = list(itertools.product(*((0, n - 1) for n in self.data.shape)))
        return apply_affine(affine @ to_file, voxels)


def to_canonical(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turns ``[I, J, K]`` in the voxel order of ``affine`` into RAS+ ``[X, Y, Z]``."""
    return np.ascontiguousarray(apply_orientation(data, io_orientation(affine)))


def affine_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Returns the voxel size in mm along X, Y and Z of RAS+ of an affine in any voxel order."""
    x, y, z = np.argsort(io_orientation(affine)[:, 0])  # the voxel axis nearest to each of RAS
    sizes = voxel_sizes(affine)
    return float(sizes[x]), float(sizes[y]), float(sizes[z])
