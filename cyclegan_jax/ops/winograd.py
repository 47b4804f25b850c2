"""Convolutions of stride 2 with a third to nearly a half fewer multiplications, in float32.

Minimal filtering (Winograd 1980; Lavin and Gray 2016, https://arxiv.org/abs/1509.09308), here for
stride 2. Along one axis two neighbouring outputs of a kernel of 3 are

    y0 = x0 g0 + x1 g1 + x2 g2 = (x0 - x2) g0 + x1 g1 + x2 (g0 + g2)
    y1 = x2 g0 + x3 g1 + x4 g2 = (x4 - x2) g2 + x3 g1 + x2 (g0 + g2):

5 products, not 6, because the last one is common; and 6, not 8, for a kernel of 4. Along both axes
a tile of 2x2 outputs takes 25, not 36, and 36, not 64. Nothing is scaled: the result differs from
one product's by rounding, and no more than that does.

A convolution is thus A x = S(U(x) V(kernel)), with linear U, V and S and, between them, nine matrix
products over all tiles. Its adjoint and its kernel's gradient are the transposes of that.
"""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.ops.patches import Pair, interleaved, patches, same_padding

# By kernel size: the products in y0 alone, in both, and in y1 alone; each a signed sum of inputs,
# counted from the tile's first, times a sum of taps. `_along` takes the same sums of inputs.
_ALONG_AN_AXIS = {
    3: (
        (({0: 1, 2: -1}, (0,)), ({1: 1}, (1,))),
        (({2: 1}, (0, 2)),),
        (({4: 1, 2: -1}, (2,)), ({3: 1}, (1,))),
    ),
    4: (
        (({0: 1, 2: -1}, (0,)), ({1: 1, 3: -1}, (1,))),
        (({2: 1}, (0, 2)), ({3: 1}, (1, 3))),
        (({4: 1, 2: -1}, (2,)), ({5: 1, 3: -1}, (3,))),
    ),
}
# Least sizes at which this is faster on a CPU (docs/performance.md): output pixels of a batch, as
# the kernel's sums are made once for all of them; channels; multiplications for each tap.
_PIXELS = 1024
_CHANNELS = 32
_MULTIPLICATIONS = 2**26


def serves(
    shape: tuple[int, ...], kernel_shape: tuple[int, ...], stride: int, dtype: jnp.dtype
) -> bool:
    """Returns whether this is faster than one product, for A on maps of `shape` `[B, H, W, C]`."""
    (b, h, w, _), (k, _, c, n) = shape, kernel_shape
    pixels = b * h * w // 4
    return (
        stride == 2
        and k in _ALONG_AN_AXIS
        and h % 4 == 0
        and w % 4 == 0
        and pixels >= _PIXELS
        and min(c, n) >= _CHANNELS
        and pixels * c * n >= _MULTIPLICATIONS
        and dtype == jnp.float32
    )


def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns A x with SAME padding and stride 2.

    It maps `[B, H, W, C]` and `[k, k, C, N]` to `[B, H / 2, W / 2, N]`.
    """
    parts = zip(_of_inputs(x, kernel.shape[0]), _of_kernel(kernel), strict=True)
    a, b, c, d, e, f, g, h, i = [u @ v for u, v in parts]
    return interleaved([[a + b + d + e, b + c + e + f], [d + e + g + h, e + f + h + i]])


def adjoint(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns A^T y: `[B, H / 2, W / 2, N]` and `[k, k, C, N]` -> `[B, H, W, C]`."""
    products = [s @ v.T for s, v in zip(_of_outputs(y), _of_kernel(kernel), strict=True)]
    return _to_inputs(products, kernel.shape[0])


def kernel_gradient(x: jax.Array, y: jax.Array, k: int) -> jax.Array:
    """Returns the gradient of <y, A x> in the kernel `[k, k, C, N]`."""
    gradients = [
        u.reshape(-1, u.shape[-1]).T @ s.reshape(-1, s.shape[-1])
        for u, s in zip(_of_inputs(x, k), _of_outputs(y), strict=True)
    ]
    taps = collections.defaultdict(list)
    for terms, gradient in zip(_terms(k), gradients, strict=True):
        for (_, used), piece in zip(terms, jnp.split(gradient, len(terms)), strict=True):
            for tap in used:
                taps[tap].append((1, piece))
    return jnp.stack([jnp.stack([_sum(taps[i, j]) for j in range(k)]) for i in range(k)])


def _terms(k: int) -> list[list[tuple[dict[Pair, int], list[Pair]]]]:
    """Returns the (signed inputs, taps) of each part."""
    return [
        [
            (
                {
                    (i, j): a * b
                    for (i, a), (j, b) in itertools.product(down.items(), right.items())
                },
                list(itertools.product(row_taps, column_taps)),
            )
            for (down, row_taps), (right, column_taps) in itertools.product(rows, columns)
        ]
        for rows, columns in itertools.product(_ALONG_AN_AXIS[k], repeat=2)
    ]


def _of_inputs(x: jax.Array, k: int) -> list[jax.Array]:
    """Returns U(x), each part as `[B, H / 4, W / 4, terms * C]`.

    By whole pairs of rows and columns: sums term by term take three times as long to compile.
    """
    _, h, w, c = x.shape
    (before, _), _ = same_padding((h, w), k, 2)
    edges = (before, 2 - before)
    x = jnp.pad(x, ((0, 0), edges, edges, (0, 0)))
    pairs = patches(x, (2, 2), (2, 2), (h // 2 + 1, w // 2 + 1))
    if k == 4:
        return [part for rows in _along(pairs, 1) for part in _along(rows, 2)]
    # With no fourth tap the common products have no odd rows or columns of the pairs.
    even_row, even_column = np.arange(4 * c) < 2 * c, np.arange(4 * c) // c % 2 == 0
    first, both, second = _along(pairs, 1, even_row)
    sides = [_along(rows, 2, even_column) for rows in (first, both[..., : 2 * c], second)]
    columns = patches(x, (2, 1), (2, 4), (h // 2 + 1, w // 4), start=(0, 2))
    first, both, second = _along(columns, 1, even_column)
    middles = (first, both[..., :c], second)
    nine = [(left, middle, right) for (left, _, right), middle in zip(sides, middles, strict=True)]
    return list(itertools.chain.from_iterable(nine))


def _to_inputs(parts: list[jax.Array], k: int) -> jax.Array:
    """Returns U^T of such parts, `[B, H, W, C]`."""
    signed = collections.defaultdict(list)
    for terms, part in zip(_terms(k), parts, strict=True):
        for (inputs, _), piece in zip(terms, jnp.split(part, len(terms), axis=-1), strict=True):
            for place, sign in inputs.items():
                signed[place].append((sign, piece))
    _, rows, columns, _ = parts[0].shape
    (before, _), _ = same_padding((4 * rows, 4 * columns), k, 2)
    maps = collections.defaultdict(list)
    for (i, j), pieces in signed.items():
        (down, row), (right, column) = divmod(i - before, 4), divmod(j - before, 4)
        # what a tile does to its neighbours' pixels
        edges = ((0, 0, 0), (down, -down, 0), (right, -right, 0), (0, 0, 0))
        maps[row, column].append((1, jax.lax.pad(_sum(pieces), jnp.float32(0), edges)))
    return interleaved([[_sum(maps[row, column]) for column in range(4)] for row in range(4)])


def _of_kernel(kernel: jax.Array) -> list[jax.Array]:
    """Returns V(kernel), each part as `[terms * C, N]`."""
    k, _, c, n = kernel.shape
    of_tap = jnp.split(kernel.reshape(k * k * c, n), k * k)
    return [
        jnp.concatenate([_sum([(1, of_tap[i * k + j]) for i, j in taps]) for _, taps in terms])
        for terms in _terms(k)
    ]


def _of_outputs(y: jax.Array) -> list[jax.Array]:
    """Returns S^T(y), each part as `[B, H / 4, W / 4, N]`."""
    b, h, w, n = y.shape
    y = y.reshape(b, h // 2, 2, w // 2, 2, n)
    first, second = ((y[:, :, row, :, 0], y[:, :, row, :, 1]) for row in (0, 1))
    both = (first[0] + second[0], first[1] + second[1])
    return [part for left, right in (first, both, second) for part in (left, left + right, right)]


def _along(x, axis, even=None):
    """Returns the three parts along an axis of pairs.

    For a kernel of 3 `even` marks the first of each pair.
    """
    size = x.shape[axis]
    start, middle, end = (jax.lax.slice_in_dim(x, i, size - 2 + i, 2, axis) for i in range(3))
    if even is None:
        return start - middle, middle, end - middle
    even = even[: x.shape[-1]]
    return start - jnp.where(even, middle, 0), middle, jnp.where(even, end - middle, middle)


def _sum(signed: list[tuple[int, jax.Array]]) -> jax.Array:
    """Signs are 1 or -1, at least one of them 1."""
    (_, total), *others = sorted(signed, key=lambda term: -term[0])
    for sign, term in others:
        total = total + term if sign > 0 else total - term
    return total
