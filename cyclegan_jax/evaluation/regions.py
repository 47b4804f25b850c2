"""Scores each tissue alone, where the tissue of every pixel is known: of phantoms, of label maps.

Air and scalp decide the scores of whole images. The intensity of each tissue shows whether a
translation has the polarity of its contrast: fluid is dark in T1 and bright in T2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd

METRICS = ("mae", "intensity_error", "median", "true_median", "median_error")
WHITE = ("white", "white_matter")  # names of the tissue
_GREY_AND_WHITE = (("cortex", "white"), ("grey_matter", "white_matter"))  # names of the two

Tissues = Mapping[str, Sequence[int]]  # the labels of each


def tissue_scores(
    pairs: Pairs, translated: Mapping[str, np.ndarray], labels: np.ndarray, tissues: Tissues
) -> dict[str, Any]:
    """Returns `{direction: {tissue: {metric: {mean, sd, n}}}}`: means over subjects.

    The metrics are those of `tissue_errors`. A tissue that no subject has is left out.

    Args:
      pairs: a split of a data set.
      translated: the translations of `pairs`, `{direction: [N, H, W, 1]}` in [-1, 1].
      labels: of the pixels, `[N, H, W]`.
      tissues: the labels of each tissue.
    """
    return {
        direction: {
            tissue: {
                metric: mean_and_sd([e[tissue][metric] for e in errors if tissue in e])
                for metric in METRICS
            }
            for tissue in tissues
            if any(tissue in e for e in errors)
        }
        for direction, errors in _of_subjects(pairs, translated, labels, tissues).items()
    }


def pixels_of(pairs: Pairs, names: Sequence[str]) -> np.ndarray:
    """Returns the pixels of the tissues with these names, bool `[N, H, W]`; none if not known."""
    labels = [label for name in names for label in pairs.tissues.get(name, ())]
    if pairs.labels is None or not labels:
        return np.zeros(pairs.x.shape[:-1], bool)
    return np.isin(pairs.labels, labels)


def polarity(
    pairs: Pairs, translated: Mapping[str, np.ndarray], labels: np.ndarray, tissues: Tissues
) -> dict[str, Any]:
    """Compares the order of the tissues, from dark to bright, with that of the true images.

    Args:
      pairs: see `tissue_scores`, as all others.
      translated: of `pairs`.
      labels: of the pixels.
      tissues: of the brain; the scalp and bone would hide an inverted brain.

    Returns:
      `{direction: {"rank_correlation", "inverted", "grey_minus_white"}}`, empty with fewer than two
      tissues. The first is Spearman's correlation of the tissues' median intensities with the
      true ones, {mean, sd, n} over subjects; "inverted" says that its mean is below 0. The last is
      how much brighter grey than white matter is, relative to the true difference; it is there if
      two tissues are called cortex and white (of phantoms, grey_matter and white_matter).
    """
    found = {}
    for direction, errors in _of_subjects(pairs, translated, labels, tissues).items():
        order = mean_and_sd([_rank_correlation(e) for e in errors])
        if not order["n"]:
            continue
        found[direction] = {"rank_correlation": order, "inverted": order["mean"] < 0}
        for grey, white in _GREY_AND_WHITE:
            both = [e for e in errors if grey in e and white in e]
            if both:
                ratios = [_difference(e[grey], e[white]) for e in both]
                found[direction]["grey_minus_white"] = mean_and_sd(ratios)
    return found


def tissue_errors(
    prediction: np.ndarray, truth: np.ndarray, labels: np.ndarray, tissues: Tissues
) -> dict[str, dict[str, float]]:
    """Returns the errors of one subject in each tissue.

    Args:
      prediction: `[S, H, W, 1]` in [-1, 1].
      truth: the true images, of the same shape and range.
      labels: `[S, H, W]`: of phantoms the tissue with the largest share of the pixel.
      tissues: the labels of each tissue.

    Returns:
      `{tissue: {metric: value}}` of the tissues that `labels` has, with `METRICS`. "mae" is in
      units of the normalised images. The others are of intensities that are 0 in air and 2 at the
      bright end: "intensity_error" is `(mean(prediction) - mean(truth)) / mean(truth)` over the
      tissue, and "median_error" the same of the medians, which are "median" and "true_median".
      What would divide by 0 is NaN.
    """
    errors = {}
    for tissue, numbers in tissues.items():
        inside = np.isin(labels, numbers)
        if not inside.any():
            continue
        a, b = (image[inside, 0].astype(np.float64) + 1 for image in (prediction, truth))
        medians = float(np.median(a)), float(np.median(b))
        errors[tissue] = {
            "mae": float(np.abs(a - b).mean()),
            "intensity_error": _relative(float(a.mean()), float(b.mean())),
            "median": medians[0],
            "true_median": medians[1],
            "median_error": _relative(*medians),
        }
    return errors


def _of_subjects(
    pairs: Pairs, translated: Mapping[str, np.ndarray], labels: np.ndarray, tissues: Tissues
) -> dict[str, list[dict[str, dict[str, float]]]]:
    """Returns the `tissue_errors` of each subject, for each direction."""
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    for direction in DIRECTIONS:
        truth = getattr(pairs, direction.target)
        found[direction] = [
            tissue_errors(translated[direction][own], truth[own], labels[own], tissues)
            for own in (subjects == subject for subject in np.unique(subjects))
        ]
    return found


def _relative(value: float, wanted: float) -> float:
    return (value - wanted) / wanted if wanted else float("nan")


def _rank_correlation(errors: Mapping[str, Mapping[str, float]]) -> float:
    """Returns Spearman's correlation of the medians, NaN if one of the two is constant."""
    from scipy.stats import rankdata  # late: it would delay every start

    a, b = (
        rankdata([e[metric] for e in errors.values()]) - (len(errors) + 1) / 2
        for metric in ("median", "true_median")
    )
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread else float("nan")


def _difference(grey: Mapping[str, float], white: Mapping[str, float]) -> float:
    wanted = grey["true_median"] - white["true_median"]
    return (grey["median"] - white["median"]) / wanted if wanted else float("nan")
