"""Our layers against the library's and against slow references."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.models.layers import Conv, ConvTranspose, InstanceNorm, Norm


def test_conv_has_the_parameters_and_results_of_flax():
    x = jax.random.normal(jax.random.key(1), (2, 7, 6, 3))
    theirs, ours = nn.Conv(5, (4, 4), 2), Conv(5, 4, 2)
    params = theirs.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, params
    )
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), atol=1e-6)


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


def test_instance_norm_has_the_parameters_results_and_gradients_of_flax():
    x = 3 + jax.random.normal(jax.random.key(1), (2, 5, 6, 3))
    theirs, ours = nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False), InstanceNorm()
    params = {"params": {"scale": jnp.array([1.0, 2.0, -1.0]), "bias": jnp.array([0.0, 1.0, 2.0])}}
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, theirs.init(jax.random.key(0), x)
    )
    weights = jax.random.normal(jax.random.key(2), x.shape)

    def value_and_gradients(module):
        return jax.value_and_grad(
            lambda params, x: (module.apply(params, x) * weights).sum(), argnums=(0, 1)
        )(params, x)

    for mine, reference in zip(
        jax.tree.leaves(value_and_gradients(ours)),
        jax.tree.leaves(value_and_gradients(theirs)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-5)


def test_norm_leaves_a_single_pixel_alone():
    x = jnp.full((2, 1, 1, 3), 5.0)
    np.testing.assert_array_equal(Norm("instance").apply({}, x), x)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'batch'"):
        Norm("batch").init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
