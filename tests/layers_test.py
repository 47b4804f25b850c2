"""Our transposed convolution and norm against the library's and against slow references."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.layers import ConvTranspose, Norm, conv_transpose


def plain(x, kernel, stride):
    return jax.lax.conv_transpose(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
    )


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7)])
def test_conv_transpose_equals_the_library_forward_and_backward(kernel_size, stride, size):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(kernel_size, kernel_size, 5, 3)), jnp.float32)
    ours, ours_vjp = jax.vjp(lambda x, k: conv_transpose(x, k, stride), x, kernel)
    theirs, theirs_vjp = jax.vjp(lambda x, k: plain(x, k, stride), x, kernel)
    assert ours.shape == (2, stride * size[0], stride * size[1], 5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    cotangent = jnp.asarray(rng.normal(size=ours.shape), jnp.float32)
    for mine, reference in zip(ours_vjp(cotangent), theirs_vjp(cotangent), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-4)


def test_conv_transpose_has_the_parameters_of_flax():
    x = jnp.ones((1, 4, 4, 3))
    theirs = nn.ConvTranspose(5, (3, 3), (2, 2), transpose_kernel=True, padding="SAME")
    params = theirs.init(jax.random.key(0), x)
    ours = ConvTranspose(5, 3)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, params
    )
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), atol=1e-6)


def norm_apply(x, dtype=jnp.float32):
    module = Norm("instance", dtype)
    params = module.init(jax.random.key(0), x)
    return module.apply(params, x)


def test_instance_norm_equals_a_slow_reference():
    x = np.random.default_rng(0).normal(3, 2, size=(2, 5, 6, 3)).astype(np.float32)
    expected = np.empty_like(x)
    for b in range(2):
        for c in range(3):
            plane = x[b, :, :, c].astype(np.float64)
            expected[b, :, :, c] = (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5)
    np.testing.assert_allclose(norm_apply(x), expected, atol=2e-6)


def test_instance_norm_keeps_its_digits_at_a_large_offset():
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(norm_apply(x + 1000), norm_apply(x), atol=1e-3)


def test_instance_norm_takes_float32_statistics_of_bfloat16():
    x = np.random.default_rng(0).normal(10, 1, size=(1, 32, 32, 1))
    rounded = jnp.asarray(x, jnp.bfloat16)
    out = norm_apply(rounded, jnp.bfloat16)
    assert out.dtype == jnp.bfloat16
    assert abs(float(out.astype(jnp.float32).mean())) < 0.005


def test_norm_leaves_a_single_pixel_alone():
    x = jnp.full((2, 1, 1, 3), 5.0)
    np.testing.assert_array_equal(Norm("instance").apply({}, x), x)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'batch'"):
        Norm("batch").init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
