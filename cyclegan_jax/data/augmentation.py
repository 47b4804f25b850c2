"""Changes training images at random: mirrors, contrast and shifts.

The changes are drawn on the host, and made there (`augmented`) or by the training step
(`ops.augmentation`), to which they are sent beside the images.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from cyclegan_jax.data.frames import normalised
from cyclegan_jax.data.framing import AIR
from cyclegan_jax.domains import DOMAINS

CHANGES = "_changes"  # after the name of a domain: the changes of its images in a batch
COLUMNS = 4  # of changes: down, right, gamma, mirrored


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random changes of a training image; the comments of `config.data` give the units."""

    views: int
    flip: bool
    contrast: float
    shift: int


def augmented(image: np.ndarray, a: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Returns random views of one image.

    Args:
      image: `[H, W]` in [-1, 1].
      a: what may change. The contrast change is a gamma curve with log gamma uniform in
        `[-contrast, contrast]`: it keeps air at -1 and the brightest value at 1.
      rng: the randomness of this image at this step.

    Returns:
      `[views, H, W]`; four views are the image, its mirror image, its contrast change and both.
    """
    return _views(image, random_changes(a, rng))


def random_changes(a: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Returns what `augmented` does to each view, as float32 `[views, 1, 1, COLUMNS]`.

    The columns are pixels down and to the right, gamma, and 1 for the mirror image.
    """
    # what is not asked for is not drawn: older runs resume exactly
    down, right, gamma = 0, 0, 1.0
    if a.shift:
        down, right = rng.integers(-a.shift, a.shift, size=2, endpoint=True).tolist()
    if a.contrast:
        gamma = float(np.exp(rng.uniform(-a.contrast, a.contrast)))
    if a.views == 1:
        views = [(down, right, gamma, a.flip and rng.random() < 0.5)]
    else:
        views = [(down, right, g, mirrored) for g in (1.0, gamma) for mirrored in (False, True)]
    return np.array(views, np.float32)[:, None, None]


def as_seen(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the images of a batch as the networks see them: the changes beside them are made.

    Args:
      batch: of one step, see `batches.unpaired_batches`.

    Returns:
      `{"x", "y"}` float32 `[B, H, W, 1]`; the images as they are if there are no changes.
    """
    seen = {}
    for domain in DOMAINS:
        images, changes = batch[domain], batch.get(domain + CHANGES)
        if changes is not None:
            each = zip(normalised(images)[..., 0], changes, strict=True)
            views = [_views(image, of_image[None]) for image, of_image in each]
            images = np.concatenate(views)[..., None]
        seen[domain] = images
    return seen


def _views(image: np.ndarray, changes: np.ndarray) -> np.ndarray:
    return np.stack([_view(image, *of_view) for of_view in changes[:, 0, 0].tolist()])


def _view(image: np.ndarray, down: float, right: float, gamma: float, mirrored: float) -> Any:
    if down or right:
        image = _shifted(image, int(down), int(right))
    if gamma != 1:
        image = _gamma_curve(image, gamma)
    return image[:, ::-1] if mirrored else image


def _gamma_curve(image: np.ndarray, gamma: float) -> np.ndarray:
    return 2 * ((image + 1) / 2) ** np.float32(gamma) - 1


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = image.shape
    padded = np.pad(image, ((abs(down),) * 2, (abs(right),) * 2), constant_values=AIR)
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + height, left : left + width]
