"""Scores translations without pairs. None of these scores measures whether they are correct.

A generator that swaps two tissues, and another one that swaps them back, make perfect cycles. A
generator that moves every lesion keeps the histogram.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import wasserstein_distance

from cyclegan_jax.config import Config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.framing import fit
from cyclegan_jax.data.intensity import from_storage, head_mask
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.domains import DIRECTIONS, DOMAINS
from cyclegan_jax.evaluation.scoring import WHOLE, score_images

MOST_IMAGES = 64  # of each domain, so that a large data set takes no longer
_PATCH = 9  # pixels on a side
_PATCHES, _PROJECTIONS = 20_000, 64


@dataclasses.dataclass(frozen=True)
class UnpairedImages:
    """Images of one domain as the networks see them.

    Attributes:
      images: `[N, H, W, 1]` in [-1, 1].
      mask: the pixels that are not padding, bool `[N, H, W, 1]`.
      names: the N names of the images.
    """

    images: np.ndarray
    mask: np.ndarray
    names: list[str]

    @property
    def head(self) -> np.ndarray:
        """The head mask of each image, bool `[N, H, W, 1]`."""
        return head_mask(self.images)


def sample(
    records: Sequence[Any], names: list[str], *, image_size: int, mode: str
) -> UnpairedImages:
    """Returns at most `MOST_IMAGES` images, spread evenly over `records`, as the networks see them.

    Args:
      records: a split of a prepared data set.
      names: the names of its images.
      image_size: height and width of the networks' images, in pixels.
      mode: how images are brought to that size, `config.data.fit`.
    """
    chosen = spread(len(names), MOST_IMAGES)
    framed = [
        fit(from_storage(records[i]["image"][..., 0]), (image_size, image_size), mode)
        for i in chosen
    ]
    images, masks = (np.stack(parts)[..., None] for parts in zip(*framed, strict=True))
    return UnpairedImages(images, masks, [names[i] for i in chosen])


def training_images(config: Config, dataset: Dataset) -> dict[str, UnpairedImages]:
    """Returns a sample of the training images of both domains, see `sample`."""
    return {
        domain: sample(
            dataset.split(f"train_{domain}"),
            dataset.names(f"train_{domain}"),
            image_size=config.image_size,
            mode=config.data.fit,
        )
        for domain in DOMAINS
    }


def cycle_scores(source: UnpairedImages, cycled: np.ndarray) -> dict[str, np.ndarray]:
    """Compares images that were translated there and back with the images themselves.

    Returns:
      SSIM, PSNR, MAE and NMSE of each image under the protocol `fixed`, `{metric: [N]}`.
    """
    return score_images(cycled, source.images, source.mask)[WHOLE]


def histogram_distances(
    x: UnpairedImages, y: UnpairedImages, translated: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Compares the head intensities of translations with those of real images of the target domain.

    The distance is the 1-D Wasserstein distance, in units of the normalised images, whose range is
    2. The head of a translation is that of its source.

    Args:
      x: T1-weighted images.
      y: T2-weighted images.
      translated: their translations, `{direction: [N, H, W, 1]}`.

    Returns:
      `{"t1_to_t2", "t2_to_t1", "untranslated"}`; the last is the distance of x to y. A distance is
      NaN where no image has a head.
    """
    return {
        name: float(wasserstein_distance(a[head_a], b[head_b]))
        if head_a.any() and head_b.any()
        else float("nan")
        for name, ((a, head_a), (b, head_b)) in _compared(x, y, translated).items()
    }


def patch_distances(
    x: UnpairedImages, y: UnpairedImages, translated: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Compares patches of translations with patches of real images of the target domain.

    The distance is the sliced Wasserstein distance of 9x9 patches of the head, each without its
    mean, so that edges and texture count and not brightness (after Karras et al. 2018,
    https://arxiv.org/abs/1710.10196, section 5: here at full resolution alone, in units of the
    normalised images). Patches and projections are drawn with a fixed seed, so that equal images
    have equal distances. It is NaN where images are smaller than a patch or have no head.

    The arguments and the result are those of `histogram_distances`.
    """
    return {
        name: _sliced(*made, *real) for name, (made, real) in _compared(x, y, translated).items()
    }


def _compared(
    x: UnpairedImages, y: UnpairedImages, translated: Mapping[str, np.ndarray]
) -> dict[str, tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Returns the images to compare and their heads, and the real ones and theirs, by name."""
    domains = {"x": x, "y": y}
    real = {domain: (images.images, images.head) for domain, images in domains.items()}
    found = {
        str(direction): (
            (translated[direction], domains[direction.source].head),
            real[direction.target],
        )
        for direction in DIRECTIONS
    }
    return {**found, "untranslated": (real["x"], real["y"])}


def _sliced(a: np.ndarray, head_a: np.ndarray, b: np.ndarray, head_b: np.ndarray) -> float:
    """Returns the sliced Wasserstein distance of patches whose centres lie in the heads, or NaN."""
    rng = np.random.default_rng(0)
    patches = [
        _patches(images[..., 0], head[..., 0], rng) for images, head in ((a, head_a), (b, head_b))
    ]
    if not all(map(len, patches)):
        return float("nan")
    directions = rng.normal(size=(_PATCH**2, _PROJECTIONS))
    directions -= directions.mean(axis=0)  # a patch's mean does not count
    directions /= np.linalg.norm(directions, axis=0)
    projected = (np.sort(found @ directions, axis=0) for found in patches)
    return float(np.abs(np.subtract(*projected)).mean())


def _patches(images: np.ndarray, head: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns `_PATCHES` patches `[P, 81]`, drawn with repetition; none where there is no head."""
    edge = _PATCH // 2
    places = np.argwhere(head[:, edge:-edge, edge:-edge])  # none where a patch does not fit
    if not len(places):
        return np.empty((0, _PATCH**2))
    windows = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))
    chosen = places[rng.integers(len(places), size=_PATCHES)]
    return windows[tuple(chosen.T)].reshape(_PATCHES, -1)
