"""Changes training images at random: mirrors, contrast and shifts."""

import dataclasses

import numpy as np

from cyclegan_jax.data.framing import AIR


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
    if a.shift:
        down, right = rng.integers(-a.shift, a.shift, size=2, endpoint=True).tolist()
        image = _shifted(image, down, right)
    gamma = float(np.exp(rng.uniform(-a.contrast, a.contrast))) if a.contrast else 1.0
    changed = _gamma_curve(image, gamma) if a.contrast else image
    if a.views == 1:
        return (changed[:, ::-1] if a.flip and rng.random() < 0.5 else changed)[None]
    return np.stack([image, image[:, ::-1], changed, changed[:, ::-1]])


def _gamma_curve(image: np.ndarray, gamma: float) -> np.ndarray:
    return 2 * ((image + 1) / 2) ** np.float32(gamma) - 1


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = image.shape
    padded = np.pad(image, ((abs(down),) * 2, (abs(right),) * 2), constant_values=AIR)
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + height, left : left + width]
