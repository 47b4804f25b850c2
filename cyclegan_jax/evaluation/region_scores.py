"""Scores each region of the label maps alone: error, intensity error and structural similarity.

`regions` scores whole tissues, whose numbers have one name; here each number is a region.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd
from cyclegan_jax.evaluation.scoring import ssim_maps

MIN_PIXELS = 20  # of a subject's region that counts; of fewer, noise decides
METRICS = ("mae", "intensity_error", "ssim")


class RegionScore(NamedTuple):
    """The scores of one region of one subject in one direction, a line of `regions.csv`.

    "mae" is in units of the normalised images. "intensity_error" is
    `(mean(prediction) - mean(truth)) / mean(truth)` of intensities that are 0 in air. "ssim" is the
    mean of the map of SSIM (protocol brain: data range 2) in the region. What is not defined is
    NaN.
    """

    subject: str
    direction: str
    label: int
    region: str
    pixels: int
    mae: float
    intensity_error: float
    ssim: float


def region_names(pairs: Pairs) -> dict[int, str]:
    """Returns the regions that are scored, `{label: name}`, sorted by label.

    If regions have names of their own, they are the labels that have one. Otherwise they are all
    labels of the pairs, each called by its number and its tissue. Without label maps it is empty.
    """
    if pairs.labels is None:
        return {}
    present = [int(label) for label in np.unique(pairs.labels) if label]
    if pairs.regions:
        return {label: pairs.regions[label] for label in present if label in pairs.regions}
    tissue_of = {label: name for name, labels in pairs.tissues.items() for label in labels}
    alone = {labels[0] for labels in pairs.tissues.values() if len(labels) == 1}
    return {
        label: tissue_of[label] if label in alone else f"{tissue_of.get(label, 'label')} {label}"
        for label in present
    }


def score_regions(pairs: Pairs, translated: Mapping[str, np.ndarray]) -> list[RegionScore]:
    """Returns the scores of each subject, direction and region of `region_names`.

    A region of which a subject has fewer than `MIN_PIXELS` pixels is left out for this subject.

    Args:
      pairs: held-out images.
      translated: the translations of `pairs`, `{direction: [N, H, W, 1]}` in [-1, 1].
    """
    names = region_names(pairs)
    if pairs.labels is None or not names:
        return []
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    rows = []
    for direction in DIRECTIONS:
        made, truth = translated[direction], getattr(pairs, direction.target)
        similarity = ssim_maps(made, truth, pairs.mask)
        for subject in np.unique(subjects):
            own = subjects == subject
            images = (made[own, ..., 0], truth[own, ..., 0], similarity[own])
            found = _by_label(pairs.labels[own], *images, size=max(names) + 1)
            rows += [
                RegionScore(str(subject), str(direction), label, name, int(pixels), *scores)
                for label, name in names.items()
                for pixels, *scores in [found[:, label].tolist()]
                if pixels >= MIN_PIXELS
            ]
    return rows


def summarised(rows: Sequence[RegionScore]) -> dict[str, dict[str, Any]]:
    """Returns `{direction: {label: scores}}` over subjects; the label is a text, as JSON has it.

    The scores are "name", "pixels" (of all subjects together) and `{mean, sd, n}` of each metric.
    """
    groups: dict[str, dict[str, list[RegionScore]]] = {}
    for row in rows:
        groups.setdefault(row.direction, {}).setdefault(str(row.label), []).append(row)
    return {
        direction: {
            label: {"name": own[0].region, "pixels": sum(row.pixels for row in own)}
            | {metric: mean_and_sd([getattr(row, metric) for row in own]) for metric in METRICS}
            for label, own in regions.items()
        }
        for direction, regions in groups.items()
    }


def _by_label(
    labels: np.ndarray, made: np.ndarray, truth: np.ndarray, similarity: np.ndarray, size: int
) -> np.ndarray:
    """Returns pixels, MAE, intensity error and SSIM of each label below `size`, `[4, size]`.

    The images are `[S, H, W]`.
    """

    def sums(values: np.ndarray) -> np.ndarray:
        weights = values.ravel().astype(np.float64)
        return np.bincount(labels.ravel(), weights, minlength=size)[:size]

    has_window = ~np.isnan(similarity)
    pixels, windows = sums(np.ones(labels.shape)), sums(has_window)
    error = sums(np.abs(made.astype(np.float64) - truth))
    bright, wanted = sums(made + 1), sums(truth + 1)
    alike = sums(np.where(has_window, similarity, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (error / pixels, (bright - wanted) / wanted, alike / windows)
    return np.stack([pixels, *(np.where(np.isfinite(r), r, np.nan) for r in ratios)])
