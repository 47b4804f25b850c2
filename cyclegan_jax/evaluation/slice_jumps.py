"""Scores whether translated slices fit together to a volume; see `data.through_plane`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.data import through_plane
from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import index_of_slice, is_slice, subject_of_slice
from cyclegan_jax.domains import TARGETS, Direction
from cyclegan_jax.evaluation.metrics import mean_and_sd
from cyclegan_jax.inference import slice_jump_wanted


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
    for links in _neighbours(pairs.names):
        wanted = {
            domain: through_plane.jump(truth[..., 0], inside, links)
            for domain, truth in truths.items()
        }
        for name, made in images.items():
            if wanted[TARGETS[name]] > 0:
                jump = through_plane.jump(made[..., 0], inside, links)
                found[name].append(jump / wanted[TARGETS[name]])
    return {name: mean_and_sd(values) for name, values in found.items() if values}


def as_volumes(
    images: np.ndarray,
    names: list[str],
    saved: Checkpoint,
    direction: Direction,
    voxel: Sequence[float] | None,
) -> np.ndarray:
    """Returns translated slices smoothed across slices, where the command translate does it.

    Args:
      images: the translations `[N, H, W, 1]` in [-1, 1].
      names: of the slices.
      saved: the checkpoint or model that translated.
      direction: in which it did.
      voxel: height, width and distance of the pixels in mm, if they are known.
    """
    wanted = slice_jump_wanted(saved, direction.target, voxel[2] if voxel else None)
    if wanted is None:
        return images
    result = images.copy()
    for below, above in _neighbours(names):
        own, places = np.unique([below, above], return_inverse=True)
        first, second = places.reshape(2, -1)
        result[own, ..., 0] = through_plane.smoothed(images[own, ..., 0], wanted, (first, second))
    return result


def _neighbours(names: list[str]) -> list[through_plane.Links]:
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
    return [(np.array(below), np.array(above)) for below, above in found.values()]
