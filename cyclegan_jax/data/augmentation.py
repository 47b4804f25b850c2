"""Changes training images at random: mirrors, contrast and shifts.

The changes are drawn on the host, and made there (`augmented`) or by the training step
(`ops.augmentation`), to which they are sent beside the images.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

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


class _Draw(NamedTuple):
    """What was drawn for one image: pixels down and to the right, gamma, whether to mirror."""

    down: int
    right: int
    gamma: float
    mirrored: bool


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
    drawn = _draw(a, rng)
    if a.shift:
        image = _shifted(image, drawn.down, drawn.right)
    changed = _gamma_curve(image, drawn.gamma) if a.contrast else image
    if a.views == 1:
        return (changed[:, ::-1] if drawn.mirrored else changed)[None]
    return np.stack([image, image[:, ::-1], changed, changed[:, ::-1]])


def random_changes(a: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Returns what `augmented` would do to each view, as float32 `[views, 1, 1, COLUMNS]`."""
    down, right, gamma, mirrored = _draw(a, rng)
    if a.views == 1:
        views = [(down, right, gamma, mirrored)]
    else:
        views = [(down, right, g, m) for g in (1.0, gamma) for m in (False, True)]
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
            each = zip(normalised(images)[..., 0], changes[:, 0, 0].tolist(), strict=True)
            images = np.stack([_changed(image, *of_image) for image, of_image in each])[..., None]
        seen[domain] = images
    return seen


def _draw(a: Augmentation, rng: np.random.Generator) -> _Draw:
    # what is not asked for is not drawn: older runs resume exactly
    down, right, gamma = 0, 0, 1.0
    if a.shift:
        down, right = rng.integers(-a.shift, a.shift, size=2, endpoint=True).tolist()
    if a.contrast:
        gamma = float(np.exp(rng.uniform(-a.contrast, a.contrast)))
    return _Draw(down, right, gamma, a.views == 1 and a.flip and rng.random() < 0.5)


def _changed(image: np.ndarray, down: float, right: float, gamma: float, mirrored: float) -> Any:
    image = _shifted(image, int(down), int(right))
    image = image if gamma == 1 else _gamma_curve(image, gamma)
    return image[:, ::-1] if mirrored else image


def _gamma_curve(image: np.ndarray, gamma: float) -> np.ndarray:
    return 2 * ((image + 1) / 2) ** np.float32(gamma) - 1


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = image.shape
    padded = np.pad(image, ((abs(down),) * 2, (abs(right),) * 2), constant_values=AIR)
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + height, left : left + width]
