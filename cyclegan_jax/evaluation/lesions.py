"""Tests whether lesions survive a translation, and whether it invents lesions.

Every head is translated twice: without lesions ("plain") and with them ("lesioned"). The two differ
in nothing else, so a difference between their translations comes from the lesions alone. Heads are
phantoms, or real scans with drawn lesions, see `implants`.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.truth import Head
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import mean_and_sd
from cyclegan_jax.evaluation.scoring import TranslateTo

MIN_PIXELS = 4  # of a lesion that counts; a smaller one is no more than a noisy pixel or two
_SIZES_MM2 = (0.0, 50.0, 100.0, np.inf)  # limits of the groups by size
# Lesions are faint below this share of the contrast that nine of ten lesions do not reach.
_FAINT = 0.7
_RETAINED = 0.5  # of the true change, at least
_IN_PLANE = np.zeros((3, 3, 3), bool)  # neighbours in the slice, which is all that a network sees
_IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def lesion_scores(
    heads: Sequence[Head], translate: TranslateTo, pixel_mm2: float
) -> dict[str, dict[str, Any]]:
    """Translates heads without and with lesions and returns the result of the lesion test.

    Args:
      heads: without and with lesions.
      translate: takes a direction and images `[S, H, W, 1]`, and returns their translation.
      pixel_mm2: the area of a pixel in mm².

    Returns:
      `{direction: scores}` with the scores of `retention_and_invention`.
    """
    scores = {}
    for direction in DIRECTIONS:
        cases = []
        for head in heads:
            both = (head.plain, head.lesioned)
            truths = [getattr(images, direction.target) for images in both]
            translations = [
                translate(direction, getattr(images, direction.source)) for images in both
            ]
            lesions = head.lesioned.labels == TISSUES.index("lesion")
            white_matter = head.plain.labels == TISSUES.index("white_matter")
            images = (image[..., 0] for image in (*truths, *translations))
            cases.append(LesionCase(head.subject, lesions, white_matter, *images))
        scores[direction] = retention_and_invention(cases, pixel_mm2)
    return scores


@dataclasses.dataclass(frozen=True)
class LesionCase:
    """One head without lesions and with lesions, and its translations in one direction.

    Attributes:
      subject: the name of the head.
      lesions: the pixels of lesions, bool `[S, H, W]`.
      white_matter: the pixels of white matter in the head without lesions, bool `[S, H, W]`.
      plain_truth: the true target images without lesions, `[S, H, W]` in [-1, 1].
      lesioned_truth: the true target images with lesions, of the same shape and range.
      plain_translation: the translation of the source images without lesions, the same.
      lesioned_translation: the translation of the source images with lesions, the same.
    """

    subject: str
    lesions: np.ndarray
    white_matter: np.ndarray
    plain_truth: np.ndarray
    lesioned_truth: np.ndarray
    plain_translation: np.ndarray
    lesioned_translation: np.ndarray


def retention_and_invention(cases: Sequence[LesionCase], pixel_mm2: float) -> dict[str, Any]:
    """Counts the lesions that survive a translation and the lesions that it invents.

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

    Args:
      cases: all heads, translated in one direction.
      pixel_mm2: the area of a pixel in mm².

    Returns:
      `lesions` and `too_small`: how many count and how many do not; `smallest` and `smallest_mm2`:
      the size of the smallest that counts, in pixels and in mm²; `kept`: the median share of the
      true change that the translation has; `kinds`: `{kind: {"lesions", "retained", "kept"}}` of
      the lesions of one size or contrast; `contrast`: the typical contrast; `retention`: `{mean,
      sd, n}` over heads of the share of lesions that are retained; `invention`: the same of the
      share of slices with an invention; `heads`: `{subject: {"lesions", "retained", "inventions",
      "slices", "slices_with_inventions"}}`. Without a lesion that counts, shares and contrasts are
      NaN.
    """
    found = [_measured(case) for case in cases]
    contrasts, sizes, shares = (
        np.concatenate([getattr(lesions, name) for lesions in found])
        for name in ("contrasts", "sizes", "shares")
    )
    contrast = float(np.median(contrasts)) if len(contrasts) else float("nan")
    smallest = int(sizes.min()) if len(sizes) else MIN_PIXELS
    heads, retention, invention = {}, [], []
    for case, lesions in zip(cases, found, strict=True):
        inventions = _inventions(case, contrast, smallest)
        heads[case.subject] = {
            "lesions": len(lesions.sizes),
            "retained": int((lesions.shares >= _RETAINED).sum()),
            "inventions": int(inventions.sum()),
            "slices": len(inventions),
            "slices_with_inventions": int((inventions > 0).sum()),
        }
        if len(lesions.sizes):
            retention.append((lesions.shares >= _RETAINED).mean())
        if len(contrasts):
            invention.append((inventions > 0).mean())
    return {
        "lesions": len(contrasts),
        "too_small": sum(lesions.too_small for lesions in found),
        "smallest": smallest,
        "smallest_mm2": smallest * pixel_mm2,
        "contrast": contrast,
        "kept": float(np.median(shares)) if len(shares) else float("nan"),
        "kinds": _by_kind(sizes * pixel_mm2, np.abs(contrasts), shares),
        "retention": mean_and_sd(retention),
        "invention": mean_and_sd(invention),
        "heads": heads,
    }


@dataclasses.dataclass(frozen=True)
class _Lesions:
    """The L lesions of a head that count, and the number of lesions that do not count."""

    sizes: np.ndarray  # int [L], pixels
    contrasts: np.ndarray  # float64 [L], the true change of the target image
    shares: np.ndarray  # float64 [L], of the true change that the translation has
    too_small: int


def _measured(case: LesionCase) -> _Lesions:
    regions, count = ndimage.label(case.lesions, _IN_PLANE)  # type: ignore[misc]
    pixels = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    chosen = np.flatnonzero(pixels >= MIN_PIXELS)
    true, seen = (
        np.array([change[regions == i + 1].mean() for i in chosen], np.float64)
        for change in (
            case.lesioned_truth - case.plain_truth,
            case.lesioned_translation - case.plain_translation,
        )
    )
    return _Lesions(pixels[chosen], true, seen / true, count - len(chosen))


def _by_kind(areas: np.ndarray, contrasts: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    """Returns the lesions, those retained and the median share of the change of each kind."""
    if not len(areas):
        return {}
    kinds = {
        f"{low:.0f} to {high:.0f} mm²" if np.isfinite(high) else f"{low:.0f} mm² and more": (
            (areas >= low) & (areas < high)
        )
        for low, high in itertools.pairwise(_SIZES_MM2)
    }
    faint = contrasts < _FAINT * np.quantile(contrasts, 0.9)
    kinds |= {"faint": faint, "strong": ~faint}
    return {
        kind: {
            "lesions": int(chosen.sum()),
            "retained": int((shares[chosen] >= _RETAINED).sum()),
            "kept": float(np.median(shares[chosen])),
        }
        for kind, chosen in kinds.items()
        if chosen.any()
    }


def _inventions(case: LesionCase, contrast: float, smallest: int) -> np.ndarray:
    """Returns the number of inventions in each slice, `[S]`."""
    error = (case.plain_translation - case.plain_truth) * np.sign(contrast)
    regions, count = ndimage.label(case.white_matter & (error >= abs(contrast) / 2), _IN_PLANE)  # type: ignore[misc]
    pixels = np.bincount(regions.ravel(), minlength=count + 1)
    pixels[0] = 0
    large = np.flatnonzero(pixels >= smallest)
    return np.array([len(np.intersect1d(np.unique(part), large)) for part in regions])
