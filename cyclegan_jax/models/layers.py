"""The layers that the networks are made of. How a convolution is computed is in `ops`.

All of them start with weights from N(0, 0.02). Parameters are float32 whatever `dtype` the
activations have. Pass `dtype` to every layer: without it a layer of float32 parameters returns
float32.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from cyclegan_jax import InputError
from cyclegan_jax.config import CHOICES, nearest_multiples
from cyclegan_jax.ops.convolution import conv, conv_transpose

WEIGHT_INIT = nn.initializers.normal(0.02)  # Zhu et al. 2017, appendix 7.1
EPSILON = 1e-5


class Conv(nn.Module):
    """Convolution with SAME padding, `[B, H, W, C] -> [B, ceil(H / stride), .., features]`.

    The parameters and the results of `nn.Conv`.
    """

    features: int
    kernel_size: int
    stride: int = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", WEIGHT_INIT, shape, jnp.float32)
        y: jax.Array = conv(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
        return _biased(self, y)


class ConvTranspose(nn.Module):
    """Transposed convolution, `[B, H, W, C] -> [B, stride * H, stride * W, features]`.

    The parameters and the results of `nn.ConvTranspose(..., transpose_kernel=True)`.
    """

    features: int
    kernel_size: int
    stride: int = 2
    use_bias: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, self.features, x.shape[-1])
        kernel = self.param("kernel", WEIGHT_INIT, shape, jnp.float32)
        y: jax.Array = conv_transpose(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
        return _biased(self, y)


def _biased(layer: Conv | ConvTranspose, y: jax.Array) -> jax.Array:
    if not layer.use_bias:
        return y
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,), jnp.float32)
    return y + _per_channel(bias.astype(layer.dtype))


def _per_channel(values: jax.Array) -> jax.Array:
    return values[None, None, None, :]


@jax.custom_vjp
def instance_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Brings each image's channels to mean `bias` and standard deviation `scale`.

    Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022. Statistics are float32 whatever the dtype
    of `x`. They use the two-pass formula, which keeps its digits at large offsets.

    Args:
      x: `[B, H, W, C]`.
      scale: `[C]`.
      bias: `[C]`.
    """
    return _instance_norm_fwd(x, scale, bias)[0]


def _instance_norm_fwd(x, scale, bias):
    wide = x.astype(jnp.float32)
    mean = wide.mean((1, 2), keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(wide - mean).mean((1, 2), keepdims=True) + EPSILON)
    y = (wide - mean) * (inverse * _per_channel(scale)) + _per_channel(bias)
    return y.astype(x.dtype), (x, mean, inverse, scale)


def _instance_norm_bwd(residuals, cotangent):
    # Autodiff of the forward pass keeps more maps and sums over them more often.
    x, mean, inverse, scale = residuals
    cotangent = cotangent.astype(jnp.float32)
    normalised = (x.astype(jnp.float32) - mean) * inverse
    offset = cotangent.sum((1, 2), keepdims=True)
    slope = (cotangent * normalised).sum((1, 2), keepdims=True)
    pixels = x.shape[1] * x.shape[2]
    grad_x = (inverse * _per_channel(scale)) * (
        cotangent - offset / pixels - normalised * (slope / pixels)
    )
    return grad_x.astype(x.dtype), slope.sum((0, 1, 2)), offset.sum((0, 1, 2))


instance_norm.defvjp(_instance_norm_fwd, _instance_norm_bwd)


class InstanceNorm(nn.Module):
    """`instance_norm` with learnt scale and bias; the parameters of `nn.InstanceNorm`."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return instance_norm(x.astype(self.dtype), scale, bias)


class Norm(nn.Module):
    """Instance normalisation ("instance") or nothing ("none").

    A 1x1 map passes unchanged: its instance variance is zero, so normalising it would return the
    bias alone, and nothing of the input would pass.
    """

    kind: str
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return InstanceNorm(self.dtype)(x) if normalises(self.kind, x.shape) else x


def normalises(kind: str, shape: tuple[int, ...]) -> bool:
    """Returns whether `Norm(kind)` changes maps of `shape` `[B, H, W, C]`."""
    if kind not in CHOICES["generator.norm"]:
        raise ValueError(f"norm must be one of {CHOICES['generator.norm']}, not {kind!r}")
    return kind == "instance" and shape[1] * shape[2] > 1


class ConvBlock(nn.Module):
    """Convolution, then the norm (if any), then leaky ReLU 0.2."""

    features: int
    kernel_size: int
    stride: int
    norm: str
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, ceil(H / stride), ceil(W / stride), features]`."""
        strided = (x.shape[0], *(-(-side // self.stride) for side in x.shape[1:3]), x.shape[3])
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            # a norm has a bias of its own
            use_bias=not normalises(self.norm, strided),
            dtype=self.dtype,
        )(x)
        return nn.leaky_relu(Norm(self.norm, self.dtype)(x), 0.2)


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raises `InputError` with the nearest good sizes unless both sides divide by `multiple`."""
    for side in size:
        if side <= 0 or side % multiple:
            raise InputError(
                f"image size {size[0]}x{size[1]}: each side must be a multiple of {multiple} "
                f"(2 to the number of stride-2 layers); the nearest to {side}: "
                + nearest_multiples(side, multiple)
            )
