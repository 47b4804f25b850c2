"""The local means that the per-pixel perceptron sees."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.models.unet import _local_mean


@pytest.mark.parametrize("shape", [(2, 16, 24, 1), (1, 5, 7, 3), (1, 1, 2, 1)])
@pytest.mark.parametrize("side", [3, 9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_local_means_are_those_of_flax_bit_for_bit(shape, side, dtype):
    image = jax.random.normal(jax.random.key(0), shape).astype(dtype)
    wanted = nn.avg_pool(image, (side, side), padding="SAME", count_include_pad=False)
    found = _local_mean(image, side)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_no_pooled_array_of_ones_is_left_to_the_compiler():
    lowered = jax.jit(lambda image: _local_mean(image, 9)).lower(jnp.ones((1, 32, 32, 1)))
    assert lowered.as_text().count("reduce_window") == 1
