"""The local means that the per-pixel perceptron sees."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.models.unet import _local_mean


@pytest.mark.parametrize("shape", [(2, 16, 24, 1), (1, 5, 7, 3), (1, 1, 2, 1)])
@pytest.mark.parametrize("side", [3, 9])
def test_local_means_are_those_of_flax_bit_for_bit(shape, side):
    image = jax.random.normal(jax.random.key(0), shape)
    wanted = nn.avg_pool(image, (side, side), padding="SAME", count_include_pad=False)
    np.testing.assert_array_equal(_local_mean(image, side), wanted)


def test_local_means_of_bfloat16_lose_no_digits():
    image = jnp.full((1, 16, 16, 1), 0.3, jnp.bfloat16)
    found = _local_mean(image, 9)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.float32(image[0, 0, 0, 0]), rtol=1e-6)


def test_no_pooled_array_of_ones_is_left_to_the_compiler():
    lowered = jax.jit(lambda image: _local_mean(image, 9)).lower(jnp.ones((1, 32, 32, 1)))
    assert lowered.as_text().count("reduce_window") == 1
