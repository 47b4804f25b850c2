"""Scores each tissue of a phantom alone, which needs the true tissue of every pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.truth import Head
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd


def tissue_scores(
    heads: Sequence[Head], pairs: Pairs, translated: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Returns `{direction: {tissue: {metric: {mean, sd, n}}}}`: means over heads.

    The metrics are those of `tissue_errors`. A tissue that no head has is left out.

    Args:
      heads: all heads of which `pairs` has slices.
      pairs: a split of a phantom data set.
      translated: the translations of `pairs`, `{direction: [N, H, W, 1]}` in [-1, 1].
    """
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    slices = np.array([int(name.split("#")[1]) for name in pairs.names])
    scores = {}
    for direction in DIRECTIONS:
        truth = getattr(pairs, direction.target)
        errors = []
        for head in heads:
            own = subjects == head.subject
            labels = head.stored[slices[own]]
            errors.append(tissue_errors(translated[direction][own], truth[own], labels))
        scores[direction] = {
            tissue: {
                metric: mean_and_sd([e[tissue][metric] for e in errors if tissue in e])
                for metric in ("mae", "intensity_error")
            }
            for tissue in TISSUES
            if any(tissue in e for e in errors)
        }
    return scores


def tissue_errors(
    prediction: np.ndarray, truth: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """Returns the MAE and the signed intensity error of one subject in each tissue.

    Args:
      prediction: `[S, H, W, 1]` in [-1, 1].
      truth: the true images, of the same shape and range.
      labels: `[S, H, W]`, indices of `TISSUES`: the tissue with the largest share of the pixel.

    Returns:
      `{tissue: {"mae", "intensity_error"}}` of the tissues that `labels` has, without air. The MAE
      is in units of the normalised images. The intensity error is `(mean(prediction) -
      mean(truth)) / mean(truth)` over the tissue, of intensities that are 0 in air; it is NaN if
      the tissue's true intensity is 0 everywhere.
    """
    errors = {}
    for index, tissue in enumerate(TISSUES):
        inside = labels == index
        if tissue == "air" or not inside.any():
            continue
        a, b = (image[inside, 0].astype(np.float64) + 1 for image in (prediction, truth))
        relative = float((a.mean() - b.mean()) / b.mean()) if b.any() else float("nan")
        errors[tissue] = {"mae": float(np.abs(a - b).mean()), "intensity_error": relative}
    return errors
