"""Image scores under named protocols.

The same images score very differently under the conventions that papers use without naming them, so
every score here belongs to a protocol:

- **brain**: the pixels inside the label maps alone, data range 2. The headline where there are
  label maps: on whole heads air and scalp decide every other score, even for an inverted brain.
- **fixed**: every pixel of the image, data range that of the normalised images, 2 (from -1 to 1),
  for every image alike, so scores of different images and runs compare. The headline elsewhere.
- **foreground**: the same, over the head alone; empty air, which is easy, does not raise it.
- **slice_max**: both images shifted so that air is 0 and divided by their own maximum, data range
  1. It cannot see a wrong global intensity.
- **gt_max**: both images shifted so that air is 0, data range the maximum of the truth; MAE and
  NMSE, which have no data range, are those of `fixed`.

Each image is scored on its own pixels: what was padded to reach the networks' size does not count.
A score that is not defined is NaN, and `mean_and_sd` leaves it out: what divides by the truth's
maximum or energy where the truth is all air; `foreground` and the intensity error where there is no
head; `brain` where there is no brain.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

BRAIN = "brain"
PROTOCOLS = (BRAIN, "fixed", "foreground", "slice_max", "gt_max")
METRICS = ("ssim", "psnr", "mae", "nmse", "intensity_error", "correlation")
ENERGY = "truth_energy"  # no score: the denominator of NMSE, for its sum over a subject's slices
FIXED_RANGE = 2.0
MAX_PSNR = 100.0  # dB: an error of 1e-5 of the data range, less than a step of 16 bits
_RADIUS, _SIGMA = 5, 1.5  # the 11x11 Gaussian window of Wang et al. 2004
_K1, _K2 = 0.01, 0.03
_TINY = 1e-12  # divides an image that is all air, which stays so

DataRange = float | jax.Array  # of all images, or [B]


def ssim(
    a: jax.Array,
    b: jax.Array,
    mask: jax.Array,
    data_range: DataRange = FIXED_RANGE,
    centres: jax.Array | None = None,
) -> jax.Array:
    """Returns the structural similarity (Wang et al. 2004, doi.org/10.1109/TIP.2003.819861).

    Gaussian window of sigma 1.5 and 11x11 pixels, K1 = 0.01, K2 = 0.03, population covariance,
    averaged where the whole window lies in `mask`: scikit-image's `structural_similarity` with
    `gaussian_weights=True, use_sample_covariance=False` on the image inside the mask.

    Args:
      a: `[B, H, W, 1]`.
      b: the same shape.
      mask: bool `[B, H, W, 1]`, a rectangle of at least 11x11 pixels in each image.
      data_range: what the values span.
      centres: bool `[B, H, W, 1]`; only windows around these pixels are averaged. Default: all.

    Returns:
      `[B]`, at most 1; NaN where no window is averaged.
    """
    values, inside = _ssim_windows(a, b, mask, data_range)
    if centres is not None:
        inside *= centres[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    return _masked_mean(values, inside)


@jax.jit
def ssim_map(
    a: jax.Array, b: jax.Array, mask: jax.Array, data_range: DataRange = FIXED_RANGE
) -> jax.Array:
    """Returns the SSIM of the window around each pixel, `[B, H, W, 1]`; see `ssim`.

    It is NaN where the window does not lie in the mask.
    """
    values, inside = _ssim_windows(a, b, mask, data_range)
    known = jnp.where(inside > 0, values, jnp.nan)
    border = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0))
    return jnp.pad(known, border, constant_values=jnp.nan)


def _ssim_windows(
    a: jax.Array, b: jax.Array, mask: jax.Array, data_range: DataRange
) -> tuple[jax.Array, jax.Array]:
    """Returns the SSIM of every window, and 1 where the window lies in the mask, else 0."""
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a**2
    var_b = _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    spans = jnp.reshape(data_range, (-1, 1, 1, 1))
    c1, c2 = (_K1 * spans) ** 2, (_K2 * spans) ** 2
    values = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    side = 2 * _RADIUS + 1
    inside = jax.lax.reduce_window(
        mask.astype(jnp.float32), jnp.inf, jax.lax.min, (1, side, side, 1), (1, 1, 1, 1), "VALID"
    )
    return values, inside


def psnr(
    a: jax.Array, b: jax.Array, mask: jax.Array, data_range: DataRange = FIXED_RANGE
) -> jax.Array:
    """Returns the PSNR, `10 log10(data_range^2 / MSE)` in dB, over `mask`; `[B]`.

    It is at most `MAX_PSNR`, which identical images get: infinity would be the mean of any set that
    holds one.
    """
    mse = _masked_mean(jnp.square(a - b), mask)
    return jnp.minimum(10 * jnp.log10(data_range**2 / mse), MAX_PSNR)


def mae(a: jax.Array, b: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean absolute error over `mask`, in units of the images; `[B]`."""
    return _masked_mean(jnp.abs(a - b), mask)


def nmse(prediction: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns `||prediction - truth||^2 / ||truth||^2` over `mask`; air must be 0; `[B]`.

    NaN where the truth is 0 all over `mask`.
    """
    return _ratio(_masked_sum(jnp.square(prediction - truth), mask), energy(truth, mask))


def energy(truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns `||truth||^2` over `mask`, the denominator of NMSE; air must be 0; `[B]`."""
    return _masked_sum(jnp.square(truth), mask)


def intensity_error(prediction: jax.Array, truth: jax.Array, head: jax.Array) -> jax.Array:
    """Returns `(mean(prediction) - mean(truth)) / mean(truth)` over the head mask; air must be 0.

    It is signed: -0.2 is a prediction that is 20 % too dark. `[B]`; NaN where there is no head.
    """
    wanted = _masked_sum(truth, head)
    return _ratio(_masked_sum(prediction, head) - wanted, wanted)


def correlation(prediction: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns Pearson's correlation over `mask`; `[B]`, NaN where one of the two is constant."""
    a, b = (
        (image - _masked_mean(image, mask)[:, None, None, None]) * mask.astype(jnp.float32)
        for image in (prediction, truth)
    )
    squares = (a * a).sum(axis=(1, 2, 3)) * (b * b).sum(axis=(1, 2, 3))
    return _ratio((a * b).sum(axis=(1, 2, 3)), jnp.sqrt(squares))


@functools.partial(jax.jit, static_argnames="protocols")
def scores(
    prediction: jax.Array,
    truth: jax.Array,
    mask: jax.Array,
    head: jax.Array | None = None,
    brain: jax.Array | None = None,
    *,
    protocols: tuple[str, ...] = ("fixed",),
) -> dict[str, dict[str, jax.Array]]:
    """Returns SSIM, PSNR, MAE and NMSE of each image under each protocol; see the module.

    MAE is in units of the normalised images, under `slice_max` of the images' maxima.

    Args:
      prediction: `[B, H, W, 1]` in [-1, 1].
      truth: the same.
      mask: bool `[B, H, W, 1]`, the images' own pixels.
      head: bool `[B, H, W, 1]`, see `intensity.head_mask`; `foreground` needs it.
      brain: bool `[B, H, W, 1]`, the pixels inside the labels; `brain` needs it.
      protocols: some of `PROTOCOLS`.

    Returns:
      `{protocol: {"ssim": [B], "psnr": [B], "mae": [B], "nmse": [B]}}`, and the denominator of
      NMSE, `ENERGY`; with a `head` also "intensity_error", which no protocol changes. `brain` has
      "correlation" instead.
    """
    a, b = prediction + 1, truth + 1  # air is 0
    top = _largest(b, mask)
    top = jnp.where(top > 0, top, jnp.nan)  # a truth that is all air has no scale
    settings = {  # images, their air, what is scored, data range
        BRAIN: (prediction, truth, -1, brain, FIXED_RANGE),
        "fixed": (prediction, truth, -1, mask, FIXED_RANGE),
        "foreground": (prediction, truth, -1, head, FIXED_RANGE),
        "slice_max": (a / jnp.maximum(_largest(a, mask), _TINY), b / top, 0, mask, 1.0),
        "gt_max": (a, b, 0, mask, top[:, 0, 0, 0]),
    }
    found = {}
    for protocol in protocols:
        image, wanted, air, pixels, data_range = settings[protocol]
        assert pixels is not None, f"{protocol} needs the mask of what it scores"
        found[protocol] = {
            "ssim": ssim(image, wanted, mask, data_range, pixels),
            "psnr": psnr(image, wanted, pixels, data_range),
            "mae": mae(image, wanted, pixels),
            "nmse": nmse(image - air, wanted - air, pixels),
            ENERGY: energy(wanted - air, pixels),
        }
        if protocol == BRAIN:
            found[protocol]["correlation"] = correlation(image, wanted, pixels)
        elif head is not None:
            found[protocol]["intensity_error"] = intensity_error(a, b, head)
    return found


def mean_and_sd(values: Sequence[float] | np.ndarray) -> dict[str, float | int]:
    """Returns `{"mean", "sd", "n"}` of one value for each subject; sd is the sample's, 0 for one.

    NaN (a score that is not defined) is left out; of nothing, mean and sd are NaN and n is 0.
    """
    array = np.asarray(values, np.float64)
    array = array[~np.isnan(array)]
    if not len(array):
        return {"mean": float("nan"), "sd": float("nan"), "n": 0}
    sd = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return {"mean": float(array.mean()), "sd": sd, "n": len(array)}


def _window(images: jax.Array) -> jax.Array:
    """Returns the Gaussian-weighted mean of every 11x11 neighbourhood that lies in the image."""
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


def _masked_sum(values: jax.Array, mask: jax.Array) -> jax.Array:
    return (values * mask.astype(jnp.float32)).sum(axis=(1, 2, 3))


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    return _masked_sum(values, mask) / mask.astype(jnp.float32).sum(axis=(1, 2, 3))


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns `a / b`, NaN where b is 0."""
    return a / jnp.where(b == 0, jnp.nan, b)


def _largest(images: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the largest value inside the mask; air must be 0; `[B, 1, 1, 1]`."""
    return jnp.max(images, axis=(1, 2, 3), keepdims=True, where=mask, initial=0)
