"""The discriminator: a convolutional network that judges overlapping patches of an image."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from cyclegan_jax.models.layers import Conv, ConvBlock


class PatchDiscriminator(nn.Module):
    """Convolutional discriminator of overlapping patches (Isola et al. 2017, section 3.2.2).

    Attributes:
      features: widths of the hidden convolutions.
      strides: one for each entry of `features`; all 2 and six layers give the reference's
        `(B, 4, 4, 1)` at 256x256; (2, 2, 2, 1) with kernel 4 is the 70x70 patch layout.
      kernel_size: of every convolution.
      norm: "instance" or "none"; the first layer never has one.
      dtype: of activations and matrix work.
    """

    features: Sequence[int]
    strides: Sequence[int]
    kernel_size: int = 4
    norm: str = "instance"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, 1]` in [-1, 1] to raw float32 logits `[B, h, w, 1]`, one per patch."""
        if len(self.features) != len(self.strides):
            raise ValueError(f"{len(self.features)} features but {len(self.strides)} strides")
        x = x.astype(self.dtype)
        for level, (width, stride) in enumerate(zip(self.features, self.strides, strict=True)):
            norm = self.norm if level else "none"
            x = ConvBlock(width, self.kernel_size, stride, norm, self.dtype, name=f"down_{level}")(
                x
            )
        out = Conv(1, self.kernel_size, dtype=self.dtype, name="out")(x)
        return out.astype(jnp.float32)
