"""Scores whether translated slices fit together to a volume.

Each slice is translated alone, so that its intensities may jump against those of the next one. In a
plane across the slices this looks like stripes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import index_of_slice, is_slice, subject_of_slice
from cyclegan_jax.domains import TARGETS
from cyclegan_jax.evaluation.metrics import mean_and_sd


def slice_jumps(pairs: Pairs, images: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns how much more images change from slice to slice than the true ones do.

    A volume's jump is the mean square difference of neighbouring slices over that of neighbouring
    pixels of a slice. The score is the jump of the images over the jump of the truth: 1 is as in
    the truth, more is stripes, less is blurred across slices. Only pixels count that lie in the
    brain where the pairs have labels, and else in the head, together with their neighbours.

    Args:
      pairs: held-out images.
      images: `[N, H, W, 1]` by the names in `DIRECTIONS` and `BASELINES`.

    Returns:
      `{direction: {mean, sd, n}}` over subjects; empty where no subject has neighbouring slices.
    """
    truths = {"x": pairs.x, "y": pairs.y}
    inside = (pairs.head if pairs.brain is None else pairs.brain)[..., 0]
    found: dict[str, list[float]] = {name: [] for name in images}
    for below, above in _neighbours(pairs.names):
        wanted = {
            domain: _jump(truth[..., 0], inside, below, above) for domain, truth in truths.items()
        }
        for name, made in images.items():
            if wanted[TARGETS[name]] > 0:
                jump = _jump(made[..., 0], inside, below, above)
                found[name].append(jump / wanted[TARGETS[name]])
    return {name: mean_and_sd(values) for name, values in found.items() if values}


def _neighbours(names: list[str]) -> list[tuple[list[int], list[int]]]:
    """Returns, for each subject, the places of its slices that have a next one, and of the next."""
    places = {
        (subject_of_slice(name), index_of_slice(name)): place
        for place, name in enumerate(names)
        if is_slice(name)
    }
    found: dict[str, tuple[list[int], list[int]]] = {}
    for (subject, index), place in places.items():
        if (subject, index + 1) in places:
            below, above = found.setdefault(subject, ([], []))
            below.append(place)
            above.append(places[subject, index + 1])
    return list(found.values())


def _jump(images: np.ndarray, inside: np.ndarray, below: list[int], above: list[int]) -> float:
    """Returns the mean square change across slices over that within them; NaN if there is none."""
    across = _mean_square(images[above] - images[below], inside[above] & inside[below])
    own, there = images[below], inside[below]
    down = _mean_square(own[:, 1:] - own[:, :-1], there[:, 1:] & there[:, :-1])
    right = _mean_square(own[:, :, 1:] - own[:, :, :-1], there[:, :, 1:] & there[:, :, :-1])
    within = (down + right) / 2
    return across / within if within else float("nan")


def _mean_square(differences: np.ndarray, counted: np.ndarray) -> float:
    values = differences[counted].astype(np.float64)
    return float(np.mean(values**2)) if values.size else float("nan")
