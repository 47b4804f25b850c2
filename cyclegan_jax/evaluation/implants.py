"""Draws lesions into the white matter of real pairs, so that the lesion test can run on them.

The lesions are those of the phantom: in each contrast a lesion lies as far between white matter and
fluid as the relaxation times of a multiple sclerosis lesion put it. Real lesions have other shapes
and edges, and healthy people do not have the tissue around them, so this is a lower bound of what
can go wrong and no clinical test.
"""

import zlib

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import T1_WEIGHTED, T2_WEIGHTED, TISSUES, tissue_signal
from cyclegan_jax.data.phantom.truth import Head, HeadImages
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.evaluation.regions import WHITE, pixels_of

_FLUID = ("ventricle", "csf")  # names of the tissue
_SEQUENCES = dict(zip(DOMAINS, (T1_WEIGHTED, T2_WEIGHTED), strict=True))
_AXES_MM = (2.5, 6.5)  # half lengths of the ellipses, as of the phantom's lesions
_STRENGTHS = (0.5, 1.0)  # shares of a lesion's contrast
_APART_MM = 16.0  # at least, between the centres of a slice's lesions
_IN_SLICE = 3  # lesions at most
_INSIDE = 0.9  # of an ellipse is white matter at least
_TRIES = 60


def heads_with_implants(pairs: Pairs, pixel: tuple[float, float]) -> list[Head]:
    """Returns each subject's slices without and with drawn lesions; they differ in nothing else.

    Each slice gets up to 3 ellipses with half axes of 2.5 to 6.5 mm, where white matter has room
    for them, two of three with half of the contrast. A slice's name decides where they lie.

    Args:
      pairs: held-out images.
      pixel: height and width of their pixels in mm.

    Returns:
      A head for each subject; none where no labels say what is white matter and what is fluid. Of
      `TISSUES` their labels have only white matter and lesions.
    """
    white, fluid = (pixels_of(pairs, names) for names in (WHITE, _FLUID))
    if not white.any() or not fluid.any():
        return []
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    labels = np.where(white, TISSUES.index("white_matter"), 0).astype(np.uint8)
    heads = []
    for subject in sorted(set(subjects)):
        own = np.flatnonzero(subjects == subject)
        if not white[own].any() or not fluid[own].any():
            continue
        lesions = [_lesions(white[i], pixel, pairs.names[i]) for i in own]
        strength, covered = (np.stack(maps) for maps in zip(*lesions, strict=True))
        drawn = {}
        for domain, sequence in _SEQUENCES.items():
            image = getattr(pairs, domain)[own, ..., 0]
            medians = [float(np.median(image[mask[own]])) for mask in (white, fluid)]
            step = _place_of_lesions(sequence) * (medians[1] - medians[0])
            drawn[domain] = np.clip(image + step * strength, -1, 1)[..., None].astype(np.float32)
        with_lesions = np.where(covered, TISSUES.index("lesion"), labels[own])
        heads.append(
            Head(
                subject=str(subject),
                stored=labels[own],
                plain=HeadImages(pairs.x[own], pairs.y[own], labels[own]),
                lesioned=HeadImages(drawn["x"], drawn["y"], with_lesions.astype(np.uint8)),
            )
        )
    return heads


def _place_of_lesions(sequence: tuple[float, float]) -> float:
    """Returns where a lesion's signal lies between that of white matter, 0, and of fluid, 1."""
    white, fluid, lesion = (
        tissue_signal(tissue, sequence) for tissue in ("white_matter", "csf", "lesion")
    )
    return (lesion - white) / (fluid - white)


def _lesions(
    white: np.ndarray, pixel: tuple[float, float], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the strength of the lesions in a slice, `[H, W]`, and which pixels are lesion.

    Args:
      white: the pixels of white matter, bool `[H, W]`.
      pixel: their height and width in mm.
      name: of the slice.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rows, columns = (np.arange(n) * mm for n, mm in zip(white.shape, pixel, strict=True))
    places = np.argwhere(white)
    strength, covered, centres = np.zeros(white.shape), np.zeros(white.shape, bool), []
    for _ in range(_TRIES if len(places) else 0):
        centre = places[rng.integers(len(places))] * pixel
        axes, angle = rng.uniform(*_AXES_MM, 2), rng.uniform(0, np.pi)
        down, right = rows[:, None] - centre[0], columns[None] - centre[1]
        along = np.cos(angle) * right + np.sin(angle) * down
        beside = np.cos(angle) * down - np.sin(angle) * right
        radius = np.hypot(along / axes[0], beside / axes[1])
        inside = radius <= 1
        crowded = any(np.hypot(*(centre - other)) < _APART_MM for other in centres)
        if crowded or white[inside].mean() < _INSIDE:
            continue
        # The edge is one pixel wide, and no lesion leaves the white matter.
        edge = np.clip((1 - radius) * axes.mean() / np.mean(pixel) + 0.5, 0, 1) * white
        strength = np.maximum(strength, edge * _STRENGTHS[len(centres) % 2])
        covered |= edge >= 0.5
        centres.append(centre)
        if len(centres) == _IN_SLICE:
            break
    return strength, covered
