"""Measures how much volumes change from slice to slice, and smooths translations across slices.

Each slice is translated alone, and scanners blur the two contrasts by different amounts across the
slices. So a translation can change more from slice to slice than real scans of its contrast do. In
a plane across the slices this looks like stripes.
"""

from collections.abc import Iterable

import numpy as np

from cyclegan_jax.data.intensity import HEAD
from cyclegan_jax.data.slicing import alike

_MOST_WEIGHT = 1 / 3  # of each neighbour: then all three slices count alike
_HALVINGS = 12  # of the interval that holds the weight

Links = tuple[np.ndarray, np.ndarray]  # the places of slices, and of the next slice of each


def jump(images: np.ndarray, inside: np.ndarray, links: Links) -> float:
    """Returns the mean square change from slice to slice over that from pixel to pixel.

    Args:
      images: `[N, H, W]`.
      inside: the pixels that count, together with their neighbours, bool `[N, H, W]`.
      links: which slices are neighbours.

    Returns:
      The ratio; NaN if nothing counts or nothing changes within slices.
    """
    below, above = links
    across = _mean_square(images[above] - images[below], inside[above] & inside[below])
    own, there = images[below], inside[below]
    down = _mean_square(own[:, 1:] - own[:, :-1], there[:, 1:] & there[:, :-1])
    right = _mean_square(own[:, :, 1:] - own[:, :, :-1], there[:, :, 1:] & there[:, :, :-1])
    within = (down + right) / 2
    return across / within if within else float("nan")


def typical_jump(volumes: Iterable[np.ndarray]) -> float:
    """Returns the median `jump` of the heads of volumes `[N, H, W]` in [-1, 1]; NaN without any."""
    found = [jump(v, v > HEAD, links_of(np.ones(len(v), bool))) for v in volumes]
    known = [value for value in found if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def links_of(chosen: np.ndarray) -> Links:
    """Returns the neighbours among the chosen slices of a volume, bool `[N]`."""
    below = np.flatnonzero(chosen[:-1] & chosen[1:])
    return below, below + 1


def wanted_at(wanted: float | None, between: float | None, trained: float | None) -> float | None:
    """Returns the jump that is wanted of slices, or None where nothing is known of such slices.

    Args:
      wanted: the jump of the training scans.
      between: the distance of the slices in mm.
      trained: that of training, where `wanted` was measured.
    """
    if between is None or trained is None or not alike((between,), (trained,)):
        return None
    return wanted


def smoothed(images: np.ndarray, wanted: float, links: Links) -> np.ndarray:
    """Returns images that are averaged with their neighbours until their jump is the wanted one.

    Each neighbour gets the weight w, and the slice itself 1 - w for each of its neighbours. The
    smallest w is taken that is enough, at most 1/3. Images that change less than wanted stay as
    they are: what is not there cannot be sharpened.

    Args:
      images: translated slices `[N, H, W]` in [-1, 1].
      wanted: the jump of real scans of their contrast, see `typical_jump`.
      links: which slices are neighbours.
    """
    below, above = links
    inside = images > HEAD
    # a NaN is no reason to smooth
    if not len(below) or not jump(images, inside, links) > wanted:
        return images
    towards = np.zeros_like(images)
    step = images[above] - images[below]
    np.add.at(towards, below, step)
    np.add.at(towards, above, -step)
    low, high = 0.0, _MOST_WEIGHT
    for _ in range(_HALVINGS):
        weight = (low + high) / 2
        if jump(images + np.float32(weight) * towards, inside, links) > wanted:
            low = weight
        else:
            high = weight
    return images + np.float32(high) * towards


def _mean_square(differences: np.ndarray, counted: np.ndarray) -> float:
    values = differences[counted].astype(np.float64)
    return float(np.mean(values**2)) if values.size else float("nan")
