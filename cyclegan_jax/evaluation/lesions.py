"""Scores that need the truth of a phantom: errors in each tissue, and what became of lesions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.truth import Head
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd as summary
from cyclegan_jax.evaluation.scoring import TranslateTo

MIN_PIXELS = 4  # of a lesion that counts; a smaller one is no more than a noisy pixel or two
_IN_PLANE = np.zeros((3, 3, 3), bool)  # neighbours in the slice, which is all that a network sees
_IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def tissue_scores(
    heads: Sequence[Head], pairs: Pairs, translated: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """`{direction: {tissue: {metric: {mean, sd, n}}}}` over heads; metrics of `tissue_errors`.

    Args:
      heads: all that are in `pairs`.
      pairs: a split of a phantom data set.
      translated: `{direction: [N, H, W, 1]}`.
    """
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    slices = np.array([int(name.split("#")[1]) for name in pairs.names])
    scores = {}
    for direction, truth in zip(DIRECTIONS, (pairs.y, pairs.x), strict=True):
        errors = []
        for head in heads:
            own = subjects == head.subject
            labels = head.stored[slices[own]]
            errors.append(tissue_errors(translated[direction][own], truth[own], labels))
        scores[direction] = {
            tissue: {
                metric: summary([e[tissue][metric] for e in errors if tissue in e])
                for metric in ("mae", "intensity_error")
            }
            for tissue in TISSUES
            if any(tissue in e for e in errors)
        }
    return scores


def tissue_errors(
    prediction: np.ndarray, truth: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """MAE and signed intensity error of one subject in each tissue.

    Args:
      prediction: `[S, H, W, 1]` in [-1, 1].
      truth: the same.
      labels: `[S, H, W]`, indices of `TISSUES`: the tissue with the largest share of the pixel.

    Returns:
      `{tissue: {"mae", "intensity_error"}}` of the tissues there are, without air. MAE is in units
      of the normalised images; the intensity error is `(mean(prediction) - mean(truth)) /
      mean(truth)` over the tissue, with air at 0.
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


def lesion_scores(
    heads: Sequence[Head], translate: TranslateTo, pixel: float
) -> dict[str, dict[str, Any]]:
    """`{direction: retention_and_invention}` of heads translated without and with lesions.

    `smallest_mm2` is the size of the smallest lesion that counts; `pixel` is that of one in mm.
    """
    scores = {}
    for direction in DIRECTIONS:
        cases = []
        for head in heads:
            both = (head.plain, head.lesioned)
            sources, targets = [images.x for images in both], [images.y for images in both]
            if direction != DIRECTIONS[0]:
                sources, targets = targets, sources
            images = (*targets, *(translate(direction, source) for source in sources))
            lesions = head.lesioned.labels == TISSUES.index("lesion")
            white = head.plain.labels == TISSUES.index("white_matter")
            cases.append(LesionCase(head.subject, lesions, white, *(i[..., 0] for i in images)))
        found = retention_and_invention(cases)
        scores[direction] = found | {"smallest_mm2": found["smallest"] * pixel**2}
    return scores


@dataclasses.dataclass(frozen=True)
class LesionCase:
    """One head translated in one direction, without lesions and with.

    Attributes:
      subject: its name.
      lesions: where they are, bool `[S, H, W]`.
      white_matter: of the head without lesions, bool `[S, H, W]`.
      truth: target images without lesions, `[S, H, W]` in [-1, 1].
      truth_with: the same with.
      translated: the translation of the source without lesions.
      translated_with: the same with.
    """

    subject: str
    lesions: np.ndarray
    white_matter: np.ndarray
    truth: np.ndarray
    truth_with: np.ndarray
    translated: np.ndarray
    translated_with: np.ndarray


def retention_and_invention(cases: Sequence[LesionCase]) -> dict[str, Any]:
    """Whether lesions survive a translation, and whether it makes some.

    A **lesion** is a connected region (in the slice) of the lesion label with at least
    `MIN_PIXELS` pixels. It is **retained** if the mean change of the translation inside it, with
    the lesion against without, is at least half of that of the true target. Its contrast in the
    target is this true change.

    An **invention** is found in the translation of the head without lesions: a connected region of
    white matter at least as large as the smallest lesion that counts, every pixel of which differs
    from the true target by at least half of the typical (median) lesion contrast, to the lesions'
    side: brighter in T2, darker in T1. White matter translated wrong by that much counts too. Other
    tissue does not: lesions are in white matter, and at the edge of the cortex half a pixel's shift
    makes as large an error.

    Returns:
      `lesions` and `too_small`: how many count and how many do not; `smallest`: pixels of the
      smallest that counts; `contrast`: the typical one; `retention`: `{mean, sd, n}` over heads of
      the share of lesions retained; `invention`: the same of the share of slices with an
      invention; `heads`: `{subject: {"lesions", "retained", "inventions", "slices",
      "slices_with_inventions"}}`. Without a lesion that counts, shares and contrast are NaN.
    """
    found = [_retention(case) for case in cases]
    contrasts = np.concatenate([true for _, true, _, _ in found])
    sizes = np.concatenate([sizes for sizes, _, _, _ in found])
    contrast = float(np.median(contrasts)) if len(contrasts) else float("nan")
    smallest = int(sizes.min()) if len(sizes) else MIN_PIXELS
    heads, retention, invention = {}, [], []
    for case, (_, true, kept, _) in zip(cases, found, strict=True):
        counts = _inventions(case, contrast, smallest)
        heads[case.subject] = {
            "lesions": len(true),
            "retained": int(kept.sum()),
            "inventions": int(counts.sum()),
            "slices": len(counts),
            "slices_with_inventions": int((counts > 0).sum()),
        }
        if len(true):
            retention.append(kept.mean())
        if len(contrasts):
            invention.append((counts > 0).mean())
    return {
        "lesions": len(contrasts),
        "too_small": sum(small for *_, small in found),
        "smallest": smallest,
        "contrast": contrast,
        "retention": summary(retention),
        "invention": summary(invention),
        "heads": heads,
    }


def _retention(case: LesionCase) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Of the lesions that count: pixels, true contrast, whether retained; how many do not count."""
    regions, count = ndimage.label(case.lesions, _IN_PLANE)  # type: ignore[misc]
    pixels = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    chosen = np.flatnonzero(pixels >= MIN_PIXELS)
    changes = (case.truth_with - case.truth, case.translated_with - case.translated)
    true, seen = (
        np.array([change[regions == i + 1].mean() for i in chosen], np.float64)
        for change in changes
    )
    return pixels[chosen], true, seen * np.sign(true) >= np.abs(true) / 2, count - len(chosen)


def _inventions(case: LesionCase, contrast: float, smallest: int) -> np.ndarray:
    """How many inventions there are in each slice, `[S]`."""
    error = (case.translated - case.truth) * np.sign(contrast)
    regions, count = ndimage.label(case.white_matter & (error >= abs(contrast) / 2), _IN_PLANE)  # type: ignore[misc]
    pixels = np.bincount(regions.ravel(), minlength=count + 1)
    pixels[0] = 0
    large = np.flatnonzero(pixels >= smallest)
    return np.array([len(np.intersect1d(np.unique(part), large)) for part in regions])
