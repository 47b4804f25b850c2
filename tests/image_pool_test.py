"""The image history: filling, swapping, and independence of the batch's size."""

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.image_pool import ImageHistory, query


def images(values):
    return jnp.asarray(values, jnp.float32).reshape(-1, 1, 1, 1) * jnp.ones((1, 2, 2, 1))


def values(array):
    return np.asarray(array[:, 0, 0, 0]).tolist()


def test_first_images_are_stored_and_come_back():
    history, shown = query(ImageHistory.empty(3, (2, 2, 1)), images([1, 2]), jax.random.key(0))
    assert values(shown) == [1, 2]
    assert values(history.images) == [1, 2, 0]
    assert history.count == 2


def test_full_history_swaps_half_of_the_images_for_stored_ones():
    history, _ = query(ImageHistory.empty(50, (2, 2, 1)), images(range(50)), jax.random.key(0))
    new = np.arange(100, 1100)
    history, shown = query(history, images(new), jax.random.key(1))
    swapped = np.array(values(shown)) != new
    assert 0.42 < swapped.mean() < 0.58
    # what was swapped in is now in the history or was shown later; nothing is invented
    assert set(values(shown)) | set(values(history.images)) <= set(range(50)) | set(new.tolist())
    # an image is never both shown and kept at once: every stored one was withheld
    assert not set(values(history.images)) & set(values(shown)[-20:])


def test_choices_depend_on_the_image_index_not_on_the_batch_size():
    start, _ = query(ImageHistory.empty(4, (2, 2, 1)), images([1, 2, 3, 4]), jax.random.key(0))
    key = jax.random.key(5)
    _, all_at_once = query(start, images([10, 11, 12, 13, 14, 15]), key)
    _, first_part = query(start, images([10, 11, 12]), key)
    assert values(first_part) == values(all_at_once)[:3]
