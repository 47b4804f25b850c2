"""SAME convolutions and their transposes, with a second lowering where XLA's own is slow.

A convolution A is linear in its input and in its kernel, so a convolution, a transposed convolution
and all their gradients are three operations: A, its adjoint, and the kernel's gradient. GPU and TPU
have fast ones. XLA's CPU backend has a fast A on large maps only, so there each operation becomes
one matrix product over patches (Chellapilla et al. 2006) and none works on a dilated map; large
maps of many channels go to `winograd`, which multiplies less. Which one is used is
decided when a program is lowered for its platform; docs/performance.md has the figures.
"""

import functools

import jax
import jax.numpy as jnp

from cyclegan_jax.ops import winograd
from cyclegan_jax.ops.patches import interleaved, patches, same_padding

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Output pixels of a map from which the native convolution beats patches on a CPU.
_NATIVE_PIXELS = 32 * 32
# Channels up to which a block of pixels is taken for channels on a TPU.
_BLOCK_CHANNELS = 8
# Patches are made in blocks of at most this size, to stay near the cache and save memory.
_PATCH_BYTES = 16 * 2**20


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Returns a convolution with SAME padding, as `jax.lax.conv_general_dilated` does.

    Args:
      x: `[B, H, W, C_in]`.
      kernel: `[k, k, C_in, C_out]`, the dtype of `x`.
      stride: of both axes.

    Returns:
      `[B, ceil(H / stride), ceil(W / stride), C_out]`, the dtype of `x`.
    """
    return _apply(x, kernel, stride)


def _conv_fwd(x, kernel, stride):
    return conv(x, kernel, stride), (x, kernel)


def _conv_bwd(stride, residuals, cotangent):
    x, kernel = residuals
    return (
        _adjoint(cotangent, kernel, stride, x.shape[1:3]),
        _kernel_gradient(x, cotangent, stride, kernel.shape[0], pads_anew=True),
    )


conv.defvjp(_conv_fwd, _conv_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_transpose(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Returns the adjoint of the SAME convolution with `stride`; it up-samples by `stride`.

    Args:
      x: `[B, H, W, C_in]`.
      kernel: `[k, k, C_out, C_in]`, the kernel of the convolution this is the adjoint of (the
        layout of `jax.lax.conv_transpose(..., transpose_kernel=True)`, and of PyTorch's and
        TensorFlow's transposed convolutions).
      stride: up-sampling factor.

    Returns:
      `[B, stride * H, stride * W, C_out]`, the dtype of `x`.
    """
    return _adjoint(x, kernel, stride, (stride * x.shape[1], stride * x.shape[2]))


def _conv_transpose_fwd(x, kernel, stride):
    return conv_transpose(x, kernel, stride), (x, kernel)


def _conv_transpose_bwd(stride, residuals, cotangent):
    # <cotangent, A^T x> = <A cotangent, x>
    x, kernel = residuals
    return (
        _apply(cotangent, kernel, stride),
        _kernel_gradient(cotangent, x, stride, kernel.shape[0], pads_anew=False),
    )


conv_transpose.defvjp(_conv_transpose_fwd, _conv_transpose_bwd)


def _apply(x, kernel, stride):
    """Returns A x."""
    padding = same_padding(x.shape[1:3], kernel.shape[0], stride)
    if _has_unknown_sizes(x):
        return _native(x, kernel, stride, padding)
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, k: _apply_on_cpu(x, k, stride, padding),
        default=lambda x, k: _native(x, k, stride, padding),
        **_of_tpu(x, stride, lambda x, k: _in_blocks(x, k, stride, padding)),
    )


def _adjoint(y, kernel, stride, size):
    """Returns A^T y, for A on maps of `size`."""
    padding = same_padding(size, kernel.shape[0], stride)
    x = jax.ShapeDtypeStruct((y.shape[0], *size, kernel.shape[2]), y.dtype)

    def native(y, kernel, form=_native):
        return jax.linear_transpose(lambda x: form(x, kernel, stride, padding), x)(y)[0]

    if _has_unknown_sizes(y):
        return native(y, kernel)
    return jax.lax.platform_dependent(
        y,
        kernel,
        cpu=lambda y, k: _adjoint_on_cpu(y, k, stride, size, padding),
        default=native,
        **_of_tpu(x, stride, functools.partial(native, form=_in_blocks)),
    )


def _kernel_gradient(x, y, stride, k, pads_anew):
    """Returns the gradient of <y, A x> in A's kernel.

    cuDNN pads both sides of a map alike. Where A does not, XLA pads `x` first, and would keep the
    padded copy from the forward to the backward pass. With `pads_anew` a GPU makes it when `y`, the
    cotangent, is there.
    """
    padding = same_padding(x.shape[1:3], k, stride)
    kernel = jax.ShapeDtypeStruct((k, k, x.shape[3], y.shape[3]), x.dtype)

    def native(x, y, form=_native):
        return jax.linear_transpose(lambda k: form(x, k, stride, padding), kernel)(y)[0]

    def padded_anew(x, y):
        zero, y = jax.lax.optimization_barrier((jnp.zeros((), x.dtype), y))
        padded = jax.lax.pad(x, zero, ((0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)))
        valid = ((0, 0), (0, 0))
        return jax.linear_transpose(lambda k: _native(padded, k, stride, valid), kernel)(y)[0]

    pads_anew = pads_anew and any(before != after for before, after in padding)
    return jax.lax.platform_dependent(
        x,
        y,
        cpu=lambda x, y: _kernel_gradient_on_cpu(x, y, stride, k, padding),
        default=native,
        **({"cuda": padded_anew, "rocm": padded_anew} if pads_anew else {}),
        **_of_tpu(x, stride, functools.partial(native, form=_in_blocks)),
    )


def _of_tpu(x, stride, function):
    """Returns `{"tpu": function}` where `_in_blocks` serves on maps like `x`; else nothing.

    Every branch costs time of each start, also where it is not chosen.
    """
    _, h, w, c = x.shape
    serves = (
        stride > 1 and stride * stride * c <= _BLOCK_CHANNELS and not (h % stride or w % stride)
    )
    return {"tpu": function} if serves else {}


def _has_unknown_sizes(x):
    """Returns whether a size of `x` is a symbol of `jax.export.symbolic_shape`."""
    return not all(isinstance(size, int) for size in x.shape)


def _native(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=_DIMENSIONS
    )


def _in_blocks(x, kernel, stride, padding):
    """Returns `_native` of `x`, whose height and width are multiples of the stride.

    It works on blocks of stride x stride pixels, which become channels. For a TPU that pays on maps
    of few channels, because it pads them to 128.
    """
    k = kernel.shape[0]
    # Tap t of an axis reads the pixel stride * o + t - before. So with `front` zeros before the
    # taps, tap t is pixel t % stride of the block o + t // stride + first.
    pads, around = [], []
    for before, _ in padding:
        first = -before // stride
        front = -before - stride * first
        blocks = -(-(k + front) // stride)
        pads.append((front, blocks * stride - k - front))
        around.append((-first, first + blocks - 1))
    kernel = jnp.pad(kernel, (*pads, (0, 0), (0, 0)))
    return _native(_blocks(x, stride), _blocks(kernel[None], stride)[0], 1, around)


def _blocks(x, stride):
    """Returns `[B, H / stride, W / stride, stride * stride * C]` of `x` `[B, H, W, C]`."""
    b, h, w, *rest = x.shape
    x = x.reshape(b, h // stride, stride, w // stride, stride, *rest)
    x = jnp.moveaxis(x, 3, 2)
    return x.reshape(b, h // stride, w // stride, stride * stride * rest[0], *rest[1:])


def _apply_on_cpu(x, kernel, stride, padding):
    k, _, c, n = kernel.shape
    if winograd.serves(x.shape, kernel.shape, stride, x.dtype):
        return winograd.apply(x, kernel)
    rows, columns = (-(-size // stride) for size in x.shape[1:3])
    if k > 1 and rows * columns >= _NATIVE_PIXELS:
        return _native(x, kernel, stride, padding)
    taken = patches(_padded(x, padding), (k, k), (stride, stride), (rows, columns))
    return _dot(taken, kernel.reshape(k * k * c, n), (3,), (0,)).astype(x.dtype)


def _adjoint_on_cpu(y, kernel, stride, size, padding):
    k, _, c, n = kernel.shape
    if winograd.serves((len(y), *size, c), kernel.shape, stride, y.dtype):
        return winograd.adjoint(y, kernel)
    if stride == 1:  # a convolution too, with the kernel turned by 180 degrees
        turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
        return _apply_on_cpu(y, turned, 1, tuple((k - 1 - a, k - 1 - b) for a, b in padding))
    products = _dot(y, kernel.reshape(k * k * c, n), (3,), (1,))
    return _folded(products, k, stride, size, padding).astype(y.dtype)


def _kernel_gradient_on_cpu(x, y, stride, k, padding):
    (b, rows, columns, n), c = y.shape, x.shape[3]
    if winograd.serves(x.shape, (k, k, c, n), stride, x.dtype):
        return winograd.kernel_gradient(x, y, k)
    x = _padded(x, padding)
    patch_bytes = b * rows * columns * k * k * c * x.dtype.itemsize
    enough = [d for d in range(1, rows) if rows % d == 0 and patch_bytes <= d * _PATCH_BYTES]
    blocks = enough[0] if enough else rows
    block = rows // blocks
    # The product is faster with the wider factor on the right; its result then has to be
    # transposed, which pays where there are more pixels than entries of a kernel's column.
    wide = n <= k * k * c <= b * rows * columns

    def block_gradient(start):
        source = jax.lax.dynamic_slice_in_dim(x, start * stride, (block - 1) * stride + k, 1)
        taken = patches(source, (k, k), (stride, stride), (block, columns))
        cotangent = jax.lax.dynamic_slice_in_dim(y, start, block, 1)
        # flat, so that XLA hands both factors to the product without transposing them in memory
        cotangent, taken = cotangent.reshape(-1, n), taken.reshape(-1, k * k * c)
        left, right = (cotangent, taken) if wide else (taken, cotangent)
        return _dot(left, right, (0,), (0,))

    if blocks == 1:
        gradient = block_gradient(0)
    else:
        start = jnp.zeros((n, k * k * c) if wide else (k * k * c, n), jnp.float32)
        gradient = jax.lax.fori_loop(
            0, blocks, lambda i, total: total + block_gradient(i * block), start
        )
    if wide:
        # Without barriers XLA swaps the factors back, or transposes again at each later use.
        gradient = jax.lax.optimization_barrier(jax.lax.optimization_barrier(gradient).T)
    return gradient.reshape(k, k, c, n).astype(x.dtype)


def _padded(x, padding):
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _dot(a, b, a_axes, b_axes):
    """Returns a product with float32 sums at any dtype, without a batch axis."""
    dimensions = ((a_axes, b_axes), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _folded(products, k, stride, size, padding):
    """Sums `[B, h, w, k * k * C]` where patches overlap: the adjoint of padding and `patches`.

    Output pixels with the same remainders modulo the stride get the same taps, so each such set
    is a sum of shifted maps, and the sets are interleaved at the end.
    """
    b, h, w, depth = products.shape
    c = depth // (k * k)
    high, wide = -(-size[0] // stride), -(-size[1] // stride)
    taps = jnp.split(products, k * k, axis=3)

    def shifted(i, j):
        down, right = ((t - p[0]) // stride for t, p in zip((i, j), padding, strict=True))
        edges = ((0, 0, 0), (down, high - h - down, 0), (right, wide - w - right, 0), (0, 0, 0))
        return jax.lax.pad(taps[i * k + j], jnp.zeros((), products.dtype), edges)

    def of_remainder(row, column):
        chosen = [
            shifted(i, j)
            for i in range((row + padding[0][0]) % stride, k, stride)
            for j in range((column + padding[1][0]) % stride, k, stride)
        ]
        return (
            sum(chosen[1:], chosen[0]) if chosen else jnp.zeros((b, high, wide, c), products.dtype)
        )

    pixels = interleaved([[of_remainder(r, q) for q in range(stride)] for r in range(stride)])
    return pixels[:, : size[0], : size[1]]
