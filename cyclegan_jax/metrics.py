"""Image scores under a named protocol, and their accumulation.

Protocol **fixed**: the data range is that of the normalised images, 2 (from -1 to 1), for every
image alike, so scores of different images and runs compare. Each image is scored on its own
pixels: what was padded to reach the networks' size does not count.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics as clu_metrics

FIXED_RANGE = 2.0
_RADIUS, _SIGMA = 5, 1.5  # the 11x11 Gaussian window of Wang et al. 2004
_K1, _K2 = 0.01, 0.03


def ssim(a: jax.Array, b: jax.Array, mask: jax.Array, data_range: float = FIXED_RANGE) -> jax.Array:
    """Structural similarity (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861).

    Gaussian window of sigma 1.5 and 11x11 pixels, K1 = 0.01, K2 = 0.03, population covariance,
    averaged where the whole window lies in `mask`: scikit-image's `structural_similarity` with
    `gaussian_weights=True, use_sample_covariance=False` on the image inside the mask.

    Args:
      a: `[B, H, W, 1]`.
      b: the same shape.
      mask: bool `[B, H, W, 1]`, a rectangle of at least 11x11 pixels in each image.
      data_range: what the values span.

    Returns:
      `[B]`, at most 1.
    """
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a**2
    var_b = _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    values = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    side = 2 * _RADIUS + 1
    inside = jax.lax.reduce_window(
        mask.astype(jnp.float32), jnp.inf, jax.lax.min, (1, side, side, 1), (1, 1, 1, 1), "VALID"
    )
    return _masked_mean(values, inside)


def psnr(a: jax.Array, b: jax.Array, mask: jax.Array, data_range: float = FIXED_RANGE) -> jax.Array:
    """Peak signal-to-noise ratio in dB, `10 log10(data_range^2 / MSE)`, over `mask`; `[B]`."""
    mse = _masked_mean(jnp.square(a - b), mask)
    return 10 * jnp.log10(data_range**2 / mse)


def mae(a: jax.Array, b: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean absolute error over `mask`, in units of the normalised images; `[B]`."""
    return _masked_mean(jnp.abs(a - b), mask)


@jax.jit
def scores(prediction: jax.Array, truth: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
    """SSIM, PSNR and MAE of each image under protocol `fixed`.

    Args:
      prediction: `[B, H, W, 1]` in [-1, 1].
      truth: the same.
      mask: bool `[B, H, W, 1]`, the images' own pixels.

    Returns:
      `{"ssim": [B], "psnr": [B], "mae": [B]}`.
    """
    return {
        "ssim": ssim(prediction, truth, mask),
        "psnr": psnr(prediction, truth, mask),
        "mae": mae(prediction, truth, mask),
    }


def summary(values: Sequence[float] | np.ndarray) -> dict[str, float | int]:
    """`{"mean", "sd", "n"}` of one value for each subject; sd is the sample's, 0 for one."""
    array = np.asarray(values, np.float64)
    sd = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return {"mean": float(array.mean()), "sd": sd, "n": len(array)}


class LossAverages:
    """Means of a step's loss terms since the last `result`, kept as clu (total, count) pairs."""

    def __init__(self) -> None:
        self._terms: dict[str, clu_metrics.Average] = {}

    def add(self, terms: Mapping[str, Any]) -> None:
        """Takes the scalars of one step."""
        for name, value in terms.items():
            average = clu_metrics.Average(total=value, count=np.int32(1))  # type: ignore[arg-type]
            previous = self._terms.get(name)
            self._terms[name] = average if previous is None else previous.merge(average)

    def result(self) -> dict[str, float]:
        """The means, by name; starts anew."""
        means = {name: float(term.compute()) for name, term in self._terms.items()}
        self._terms = {}
        return means


def _window(images: jax.Array) -> jax.Array:
    """Gaussian-weighted means of every 11x11 neighbourhood that lies in the image."""
    offsets = jnp.arange(-_RADIUS, _RADIUS + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights = weights / weights.sum()
    side = 2 * _RADIUS + 1
    for shape in ((side, 1, 1, 1), (1, side, 1, 1)):
        images = jax.lax.conv_general_dilated(
            images,
            weights.reshape(shape),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
    return images


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    weights = mask.astype(jnp.float32)
    return (values * weights).sum(axis=(1, 2, 3)) / weights.sum(axis=(1, 2, 3))
