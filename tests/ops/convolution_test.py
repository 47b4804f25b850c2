"""Both lowerings of the convolutions against the library's, forward and in both gradients."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.ops import convolution, winograd
from cyclegan_jax.ops.convolution import conv, conv_transpose

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def library_conv(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=DIMENSIONS
    )


def library_conv_transpose(x, kernel, stride):
    return jax.lax.conv_transpose(
        x, kernel, (stride, stride), "SAME", dimension_numbers=DIMENSIONS, transpose_kernel=True
    )


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_same(ours, theirs, x, kernel, stride):
    """Equal to 1e-5 of the largest value, in value and in both gradients."""
    cotangent = normal(2, *jax.eval_shape(lambda: theirs(x, kernel, stride)).shape)

    def value_and_gradients(function):
        # a program of its own for each call: the branch is chosen while it is traced
        def run(x, kernel, cotangent):
            y, vjp = jax.vjp(lambda x, k: function(x, k, stride), x, kernel)
            return y, *vjp(cotangent)

        return jax.jit(run)(x, kernel, cotangent)

    pairs = zip(value_and_gradients(ours), value_and_gradients(theirs), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.fixture(params=["cpu", "cuda", "tpu", "default"])
def lowering(request, monkeypatch):
    """Every branch runs here, whatever the platform."""

    def chosen(*operands, **branches):
        return branches.get(request.param, branches["default"])(*operands)

    monkeypatch.setattr(jax.lax, "platform_dependent", chosen)
    return request.param


SIZES = [(1, 1), (4, 4), (5, 7), (2, 9)]


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_conv_equals_the_library(lowering, kernel_size, stride, size):
    kernel = normal(1, kernel_size, kernel_size, 3, 5)
    assert_same(conv, library_conv, normal(0, 2, *size, 3), kernel, stride)


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_conv_transpose_equals_the_library(lowering, kernel_size, stride, size):
    kernel = normal(1, kernel_size, kernel_size, 5, 3)
    x = normal(0, 2, *size, 3)
    assert conv_transpose(x, kernel, stride).shape == (2, stride * size[0], stride * size[1], 5)
    assert_same(conv_transpose, library_conv_transpose, x, kernel, stride)


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
@pytest.mark.parametrize(("stride", "channels"), [(2, 1), (2, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("size", [(4, 4), (6, 12)])
def test_maps_of_few_channels_equal_the_library(lowering, kernel_size, stride, channels, size):
    kernel = normal(1, kernel_size, kernel_size, channels, 5)
    assert_same(conv, library_conv, normal(0, 2, *size, channels), kernel, stride)
    x = normal(0, 2, *size, 5)
    assert_same(conv_transpose, library_conv_transpose, x, kernel, stride)


@pytest.mark.parametrize("features", [2, 64])  # the kernel's gradient with both orders of factors
@pytest.mark.parametrize("stride", [1, 2])
def test_large_maps_equal_the_library(monkeypatch, features, stride):
    # native forward, and a kernel gradient in several blocks, the last choice of each on a CPU
    monkeypatch.setattr(convolution, "_PATCH_BYTES", 300_000)
    kernel = normal(1, 3, 3, 4, features)
    assert_same(conv, library_conv, normal(0, 2, 96, 80, 4), kernel, stride)


def test_kernel_gradient_in_blocks_of_one_row(monkeypatch):
    monkeypatch.setattr(convolution, "_PATCH_BYTES", 1)
    assert_same(conv, library_conv, normal(0, 2, 10, 6, 4), normal(1, 4, 4, 4, 3), 2)


@pytest.mark.parametrize("function", [conv, conv_transpose])
def test_bfloat16_keeps_its_dtype_and_sums_in_float32(function):
    x, kernel = normal(0, 2, 8, 8, 32), normal(1, 3, 3, 32, 32)
    rounded = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    y, vjp = jax.vjp(lambda x, k: function(x, k, 2), *rounded)
    assert {y.dtype, *(g.dtype for g in vjp(y))} == {jnp.dtype(jnp.bfloat16)}
    exact = function(*(a.astype(jnp.float32) for a in rounded), 2)
    # one rounding of the sum, not one for each of its 288 terms
    error = jnp.abs(y.astype(jnp.float32) - exact) / jnp.abs(exact).max()
    assert float(error.max()) < 2**-8


@pytest.mark.parametrize("function", [conv, conv_transpose])
def test_one_program_has_products_on_a_cpu_and_convolutions_elsewhere(function):
    def gradients(x, kernel):
        return jax.vjp(lambda x, k: function(x, k, 2), x, kernel)[1](function(x, kernel, 2))

    operands = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 4))

    def text(platform):
        return jax.export.export(jax.jit(gradients), platforms=[platform])(*operands).mlir_module()

    assert "stablehlo.convolution" not in text("cpu")
    assert "stablehlo.dot_general" in text("cpu")
    for platform in ("cuda", "tpu"):
        assert "stablehlo.convolution" in text(platform)
        assert "stablehlo.dot_general" not in text(platform)


@pytest.mark.parametrize(
    ("channels", "platform", "shape"),
    [(1, "tpu", "1x4x4x4xf32"), (1, "cuda", "1x8x8x1xf32"), (4, "tpu", "1x8x8x4xf32")],
)
def test_pixels_become_channels_on_a_tpu_alone_and_only_of_few_channels(channels, platform, shape):
    def twice(x, kernel):
        return conv_transpose(conv(x, kernel, 2), kernel, 2)

    operands = jnp.ones((1, 8, 8, channels)), jnp.ones((3, 3, channels, 16))
    text = jax.jit(twice).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    types = [line.rpartition(" : ")[2] for line in text.splitlines() if ".convolution(" in line]
    assert len(types) == 2
    assert types[0].startswith(f"(tensor<{shape}>")
    assert types[1].endswith(f"tensor<{shape}>")


@pytest.mark.parametrize(
    ("kernel_size", "platform", "pads"),
    [(3, "cuda", 1), (3, "rocm", 1), (3, "tpu", 0), (4, "cuda", 0), (3, "cpu", 0)],
)
def test_a_gpu_pads_anew_for_the_kernel_gradient(kernel_size, platform, pads):
    def gradient(x, kernel):
        return jax.grad(lambda k: conv(x, k, 2).sum())(kernel)

    operands = jnp.ones((1, 8, 8, 4)), jnp.ones((kernel_size, kernel_size, 4, 4))
    text = jax.jit(gradient).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    # the zero of this padding comes with the cotangent
    assert len(re.findall("optimization_barrier", text)) == pads


@pytest.mark.parametrize(("size", "filtered"), [(6, False), (8, True)])
def test_a_gradient_can_be_differentiated(monkeypatch, size, filtered):
    x, kernel = normal(0, 1, size, size, 2), normal(1, 3, 3, 2, 2)
    if filtered:
        monkeypatch.setattr(winograd, "serves", lambda *_: True)

    def penalty(function):
        return jax.grad(
            lambda k: jnp.square(jax.grad(lambda x: (function(x, k, 2) ** 3).sum())(x)).sum()
        )

    ours, theirs = penalty(conv)(kernel), penalty(library_conv)(kernel)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
