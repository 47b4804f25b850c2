"""Convolutions with fewer multiplications against the library's, and the shapes they serve."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.ops import winograd
from cyclegan_jax.ops.convolution import conv, conv_transpose


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def library(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("k", [3, 4])
@pytest.mark.parametrize("size", [(4, 4), (4, 12), (8, 16)])
def test_all_three_operations_equal_the_library(k, size):
    x, kernel = normal(0, 2, *size, 3), normal(1, k, k, 3, 5)
    y = normal(2, 2, size[0] // 2, size[1] // 2, 5)
    expected, vjp = jax.vjp(library, x, kernel)
    ours = (
        winograd.apply(x, kernel),
        winograd.adjoint(y, kernel),
        winograd.kernel_gradient(x, y, k),
    )
    for a, b in zip(ours, (expected, *vjp(y)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("k", [3, 4])
def test_rounding_is_no_worse_than_twice_that_of_one_product(k):
    # maps far from zero, where differences of neighbours would show a loss of digits
    x, kernel = 5 + normal(0, 1, 16, 16, 64), normal(1, k, k, 64, 64)
    before, after = (k - 2) // 2, (k - 1) // 2
    padded = np.pad(np.float64(x[0]), ((before, after), (before, after), (0, 0)))
    exact = sum(
        padded[i : i + 15 : 2, j : j + 15 : 2] @ np.float64(kernel[i, j])
        for i in range(k)
        for j in range(k)
    )

    def error(y):
        return np.abs(np.float64(y[0]) - exact).max()

    assert 0 < error(winograd.apply(x, kernel)) < 2 * error(library(x, kernel))


@pytest.fixture
def small_maps_are_served(monkeypatch):
    for name in ("_PIXELS", "_CHANNELS", "_MULTIPLICATIONS"):
        monkeypatch.setattr(winograd, name, 1)


def products(function, *operands):
    """The matrix products in its program for a CPU."""
    text = jax.export.export(jax.jit(function), platforms=["cpu"])(*operands).mlir_module()
    return text.count("stablehlo.dot_general")


def test_a_convolution_and_its_gradients_are_nine_products_each(small_maps_are_served):
    x, kernel = normal(0, 2, 8, 8, 3), normal(1, 4, 4, 3, 5)
    for function, operand in ((conv, x), (conv_transpose, normal(0, 2, 4, 4, 5))):
        y, vjp = jax.vjp(lambda x, k, f=function: f(x, k, 2), operand, kernel)
        assert products(lambda x, k, f=function: f(x, k, 2), operand, kernel) == 9
        assert products(vjp, y) == 18


@pytest.mark.parametrize(
    ("shape", "kernel_shape", "served"),
    [
        ((8, 64, 64, 64), (3, 3, 64, 128), True),
        ((8, 64, 64, 64), (4, 4, 64, 128), True),
        ((2, 64, 64, 64), (3, 3, 64, 128), False),  # too few pixels for its channels
        ((8, 512, 512, 16), (3, 3, 16, 128), False),  # too few channels
        ((8, 8, 8, 512), (3, 3, 512, 1024), False),  # too few pixels for its kernel
        ((8, 62, 64, 64), (3, 3, 64, 128), False),  # no whole tiles
        ((8, 64, 64, 64), (5, 5, 64, 128), False),
    ],
)
def test_shapes_that_are_served(shape, kernel_shape, served):
    assert winograd.serves(shape, kernel_shape, 2, jnp.dtype(jnp.float32)) == served
    assert not winograd.serves(shape, kernel_shape, 1, jnp.dtype(jnp.float32))
    # bfloat16 would round the sums before the products
    assert not winograd.serves(shape, kernel_shape, 2, jnp.dtype(jnp.bfloat16))


def test_a_map_that_is_served_by_its_size_equals_the_library():
    x, kernel = normal(0, 8, 64, 64, 64), normal(1, 3, 3, 64, 128)
    assert products(lambda x, k: conv(x, k, 2), x, kernel) == 9
    expected = library(x, kernel)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(conv(x, kernel, 2), expected, rtol=0, atol=1e-5 * scale)
