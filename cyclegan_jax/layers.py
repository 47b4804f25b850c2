"""Layers whose stock form is too slow or too imprecise for this project.

Only the models use this module; nothing else knows how a convolution is computed.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
WEIGHT_INIT = nn.initializers.normal(0.02)


def _strided_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=_DIMENSIONS
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_transpose(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Adjoint of the SAME convolution with `stride`: up-samples by `stride`.

    Args:
      x: `[B, H, W, C_in]`.
      kernel: `[k, k, C_out, C_in]`, the kernel of the convolution this is the adjoint of (the
        layout of `jax.lax.conv_transpose(..., transpose_kernel=True)`, and of PyTorch's and
        TensorFlow's transposed convolutions).
      stride: up-sampling factor.

    Returns:
      `[B, stride * H, stride * W, C_out]`.
    """
    return jax.lax.conv_transpose(
        x, kernel, (stride, stride), "SAME", dimension_numbers=_DIMENSIONS, transpose_kernel=True
    )


def _conv_transpose_fwd(x, kernel, stride):
    return conv_transpose(x, kernel, stride), (x, kernel)


def _conv_transpose_bwd(stride, residuals, cotangent):
    # <cotangent, A^T x> = <A cotangent, x> with A the strided convolution. So the gradient in x
    # is A(cotangent), and the gradient in the kernel is A's own kernel gradient with the roles of
    # input and output swapped. Plain autodiff would instead convolve with the dilated input, for
    # which XLA's CPU backend has no fast path (2.3x slower whole steps).
    x, kernel = residuals
    grad_x, pull_kernel = jax.vjp(lambda k: _strided_conv(cotangent, k, stride), kernel)
    (grad_kernel,) = pull_kernel(x)
    return grad_x, grad_kernel


conv_transpose.defvjp(_conv_transpose_fwd, _conv_transpose_bwd)


class ConvTranspose(nn.Module):
    """Transposed convolution, `[B, H, W, C] -> [B, stride * H, stride * W, features]`."""

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
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None, :]
        return y


class Conv(nn.Conv):
    """`nn.Conv` with the CycleGAN initialisation N(0, 0.02) (Zhu et al. 2017, appendix 7.1)."""

    kernel_init: nn.initializers.Initializer = WEIGHT_INIT


class Norm(nn.Module):
    """Instance normalisation ("instance") or nothing ("none").

    Affine, epsilon 1e-5, statistics in float32 at any `dtype` and by the two-pass formula, which
    keeps its digits at large offsets (Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022).
    A 1x1 map passes unchanged: its instance variance is zero, so normalising it would return the
    bias alone and stop everything the layers before have learnt.
    """

    kind: str
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not normalises(self.kind, x.shape):
            return x
        return nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False, dtype=self.dtype)(x)


def normalises(kind: str, shape: tuple[int, ...]) -> bool:
    """Whether `Norm(kind)` acts on maps of `shape` `[B, H, W, C]`."""
    if kind not in ("instance", "none"):
        raise ValueError(f"norm must be 'instance' or 'none', not {kind!r}")
    return kind == "instance" and shape[1] * shape[2] > 1
