"""The U-Net generator, from one contrast to the other, with an optional per-pixel perceptron."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype

from cyclegan_jax.config import CHOICES
from cyclegan_jax.models.layers import Conv, ConvBlock, ConvTranspose, Norm, check_size


class _Upsample(nn.Module):
    """Doubles height and width, to `features` channels. `mode` is `UNetGenerator.upsampling`."""

    features: int
    kernel_size: int
    mode: str
    use_bias: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.mode == "transpose":
            return ConvTranspose(
                self.features, self.kernel_size, use_bias=self.use_bias, dtype=self.dtype
            )(x)
        conv = functools.partial(
            Conv, kernel_size=self.kernel_size, use_bias=self.use_bias, dtype=self.dtype
        )
        if self.mode == "resize":
            return conv(self.features)(x.repeat(2, axis=1).repeat(2, axis=2))
        if self.mode == "pixel_shuffle":
            x = conv(4 * self.features)(x)
            b, h, w, _ = x.shape
            x = x.reshape(b, h, w, 2, 2, self.features).transpose(0, 1, 3, 2, 4, 5)
            return x.reshape(b, 2 * h, 2 * w, self.features)
        raise ValueError(
            f"upsampling must be one of {CHOICES['generator.upsampling']}, not {self.mode!r}"
        )


class UNetGenerator(nn.Module):
    """U-Net from one contrast to the other (Ronneberger et al. 2015; pix2pix, Isola et al. 2017).

    The encoder has a stride-2 convolution, norm and leaky ReLU for each entry of `features` (the
    first without norm). The decoder is its mirror image with ReLU; each level is concatenated with
    the encoder's map of the same size, and the last up-sampling goes to one channel and tanh.

    With a per-pixel perceptron (`head`) the decoder ends in context features for every pixel
    instead. A perceptron of one hidden layer then maps each pixel's context and its intensity,
    split into coarse, middle and fine detail, to the new intensity. It can invert the contrast of
    fine detail but neither move nor blur it.

    Attributes:
      features: encoder widths, outermost first; the depth is their number.
      head: hidden width of the per-pixel perceptron, at least 4; 0 for none, as in the reference.
      kernel_size: height and width of every kernel, but that of the perceptron.
      upsampling: "transpose" (stride-2 transposed convolution), "resize" (nearest neighbour, then
        convolution: Odena et al. 2016, no checkerboard) or "pixel_shuffle" (Shi et al. 2016).
      norm: "instance" or "none".
      dtype: of activations and matrix work.
    """

    features: Sequence[int]
    head: int = 0
    kernel_size: int = 3
    upsampling: str = "transpose"
    norm: str = "instance"
    dtype: Dtype = jnp.float32

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2 ** len(self.features)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, 1]` to `[B, H, W, 1]` float32, both in [-1, 1].

        Raises:
          InputError: H or W is not a multiple of `size_multiple`.
        """
        check_size((x.shape[1], x.shape[2]), self.size_multiple)
        image = x = x.astype(self.dtype)
        skips = []
        for level, width in enumerate(self.features):
            norm = self.norm if level else "none"
            x = ConvBlock(width, self.kernel_size, 2, norm, self.dtype, name=f"down_{level}")(x)
            skips.append(x)
        for level in range(len(self.features) - 1, 0, -1):
            x = self._up(x, self.features[level - 1], f"up_{level}")
            x = jnp.concatenate([x, skips[level - 1]], axis=-1)
        if self.head:
            bands = Norm(self.norm, self.dtype, name="bands_norm")(_bands(image))
            x = jnp.concatenate([self._up(x, self.head // 4, "up_0"), bands], axis=-1)
            x = ConvBlock(self.head, 1, 1, self.norm, self.dtype, name="head")(x)
            out = Conv(1, 1, dtype=self.dtype, name="out")(x)
        else:
            out = self._upsample(1, use_bias=True, name="out")(x)
        return jnp.tanh(out.astype(jnp.float32))

    def _up(self, x: jax.Array, width: int, name: str) -> jax.Array:
        # The map is never 1x1, so the norm always acts, and its bias replaces the convolution's.
        x = self._upsample(width, use_bias=self.norm == "none", name=name)(x)
        return nn.relu(Norm(self.norm, self.dtype, name=f"{name}_norm")(x))

    def _upsample(self, features: int, use_bias: bool, name: str) -> "_Upsample":
        return _Upsample(
            features, self.kernel_size, self.upsampling, use_bias, self.dtype, name=name
        )


def _bands(image: jax.Array) -> jax.Array:
    """Returns the image's coarse, middle and fine detail: a Laplacian pyramid, not sub-sampled."""
    coarse, middle = (_local_mean(image, side) for side in (9, 3))
    return jnp.concatenate([coarse, middle - coarse, image - middle], axis=-1)


def _local_mean(image: jax.Array, side: int) -> jax.Array:
    """Returns the mean of the `side` x `side` pixels around each pixel, without those outside.

    In float32 it equals `nn.avg_pool(image, (side, side), padding="SAME",
    count_include_pad=False)`. But the counts are a constant of NumPy: XLA folds a pooled array of
    ones for seconds at every call. In bfloat16 the sum of 81 pixels would lose as much as the fine
    detail has.

    Args:
      image: `[B, H, W, C]` of any dtype.
      side: an odd number of pixels.

    Returns:
      `[B, H, W, C]` float32.
    """
    sums = nn.pool(image.astype(jnp.float32), 0.0, jax.lax.add, (side, side), None, "SAME")
    reach = side // 2
    xp: Any = np if all(isinstance(n, int) for n in image.shape[1:3]) else jnp
    rows, columns = (
        xp.minimum(xp.arange(n) + reach, n - 1) - xp.maximum(xp.arange(n) - reach, 0) + 1
        for n in image.shape[1:3]
    )
    return sums / xp.outer(rows, columns).astype(np.float32)[None, :, :, None]
