"""Draws a translated volume: three planes through the head, the source above the result."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cyclegan_jax.data.intensity import foreground
from cyclegan_jax.data.slicing import AXIS_ORDER, to_slices
from cyclegan_jax.render.image_grid import save_grid

_SMALLEST, _LARGEST = 192, 768  # pixels: least of the shortest side, most of the longest
# What is on the left and on the right of each plane, see `to_slices`.
_SIDES = {"axial": "R | L", "coronal": "R | L", "sagittal": "A | P"}


def save_preview(
    path: Path,
    volumes: Sequence[np.ndarray],
    titles: Sequence[str],
    spacing: tuple[float, float, float],
) -> None:
    """Writes a PNG with a row for each volume and a column for each orthogonal plane.

    All planes have the same scale, whatever the voxel size, so that heads keep their shape.

    Args:
      path: of the PNG; an existing file is replaced.
      volumes: all of the same shape `[X, Y, Z]`, RAS+, float32 in [-1, 1]. The planes go through
        the middle of the head in the first one.
      titles: one for each volume.
      spacing: voxel size in mm along X, Y and Z.
    """
    middle = [int(np.median(places)) for places in np.nonzero(foreground(volumes[0]))]
    extent = np.multiply(volumes[0].shape, spacing)
    pixel = max(min(*spacing, extent.min() / _SMALLEST), extent.max() / _LARGEST)
    size = np.maximum(1, np.round(extent / pixel)).astype(int)
    rows = []
    for volume in volumes:
        row = []
        for axis, (cut, down, right) in AXIS_ORDER.items():
            plane = Image.fromarray(to_slices(volume, axis)[middle[cut]])
            resized = plane.resize((size[right], size[down]), Image.Resampling.BILINEAR)
            row.append(np.asarray(resized))
        rows.append(row)
    save_grid(path, rows, [f"{axis} ({_SIDES[axis]})" for axis in AXIS_ORDER], titles)
