"""The image pool: filling, swapping, and independence of the batch's size."""

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.image_pool import ImagePool, query


def images(values):
    return jnp.asarray(values, jnp.float32).reshape(-1, 1, 1, 1) * jnp.ones((1, 2, 2, 1))


def values(array):
    return np.asarray(array[:, 0, 0, 0]).tolist()


def test_first_images_are_stored_and_come_back():
    pool, pooled = query(ImagePool.empty(3, (2, 2, 1)), images([1, 2]), jax.random.key(0))
    assert values(pooled) == [1, 2]
    assert values(pool.images) == [1, 2, 0]
    assert pool.count == 2


def test_full_pool_swaps_half_of_the_images_for_stored_ones():
    pool, _ = query(ImagePool.empty(50, (2, 2, 1)), images(range(50)), jax.random.key(0))
    new = np.arange(100, 1100)
    pool, pooled = query(pool, images(new), jax.random.key(1))
    swapped = np.array(values(pooled)) != new
    assert 0.42 < swapped.mean() < 0.58
    # what was swapped in is now in the pool or was pooled later; nothing is invented
    assert set(values(pooled)) | set(values(pool.images)) <= set(range(50)) | set(new.tolist())
    # an image is never both pooled and kept at once: every stored one was withheld
    assert not set(values(pool.images)) & set(values(pooled)[-20:])


def test_choices_depend_on_the_image_index_not_on_the_batch_size():
    start, _ = query(ImagePool.empty(4, (2, 2, 1)), images([1, 2, 3, 4]), jax.random.key(0))
    key = jax.random.key(5)
    _, all_at_once = query(start, images([10, 11, 12, 13, 14, 15]), key)
    _, first_part = query(start, images([10, 11, 12]), key)
    assert values(first_part) == values(all_at_once)[:3]
