"""What can be said of translations without pairs. None of it measures whether they are correct.

A generator that swaps two tissues, and another that swaps them back, has perfect cycles; one that
moves every lesion keeps the histogram.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import wasserstein_distance

from cyclegan_jax.data.framing import fit
from cyclegan_jax.data.intensity import from_storage, head_mask
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.evaluation.scoring import PROTOCOL, score_images

SAMPLE = 64  # images of each domain at most


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of one domain `[N, H, W, 1]`, `mask` of their own pixels, and their `names`."""

    images: np.ndarray
    mask: np.ndarray
    names: list[str]

    @property
    def head(self) -> np.ndarray:
        """`head_mask` of each."""
        return head_mask(self.images)


def sample(records: Sequence[Any], names: list[str], *, image_size: int, mode: str) -> Images:
    """At most `SAMPLE` images spread evenly over `records`, as the networks see them."""
    chosen = spread(len(names), SAMPLE)
    framed = [
        fit(from_storage(records[i]["image"][..., 0]), (image_size, image_size), mode)
        for i in chosen
    ]
    images, masks = (np.stack(parts)[..., None] for parts in zip(*framed, strict=True))
    return Images(images, masks, [names[i] for i in chosen])


def cycle_scores(source: Images, cycled: np.ndarray) -> dict[str, np.ndarray]:
    """SSIM, PSNR, MAE and NMSE under `fixed` of images there and back, against themselves."""
    return score_images(cycled, source.images, source.mask)[PROTOCOL]


def histogram_distances(
    x: Images, y: Images, translated: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """1-D Wasserstein distance of head intensities to those of real images of the target domain.

    In units of the normalised images, whose range is 2. A translation's head is its source's.

    Args:
      x: T1-weighted images.
      y: T2-weighted images.
      translated: `{"t1_to_t2": of x, "t2_to_t1": of y}`.

    Returns:
      `{"t1_to_t2", "t2_to_t1", "untranslated"}`; the last is that of x to y. NaN without a head.
    """
    real_x, real_y = x.images[x.head], y.images[y.head]
    compared = {
        "t1_to_t2": (translated["t1_to_t2"][x.head], real_y),
        "t2_to_t1": (translated["t2_to_t1"][y.head], real_x),
        "untranslated": (real_x, real_y),
    }
    return {
        name: float(wasserstein_distance(a, b)) if len(a) and len(b) else float("nan")
        for name, (a, b) in compared.items()
    }
