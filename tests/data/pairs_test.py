"""Tests of matching the slices of two domains by name."""

import re
from typing import Any

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.framing import unfit
from cyclegan_jax.data.intensity import to_storage
from cyclegan_jax.data.pairs import paired_images


def image(*shape: int, seed: int = 0) -> np.ndarray:
    """A random image [H, W] of tissue: nothing as dark as air."""
    return np.random.default_rng(seed).uniform(-0.9, 1, shape).astype(np.float32)


def smooth(height: int, width: int) -> np.ndarray:
    """An image without detail that scaling could lose."""
    rows, columns = np.ogrid[:height, :width]
    return (np.sin(rows / height * 3) * np.cos(columns / width * 3)).astype(np.float32) * 0.8


def records(*images: np.ndarray) -> list[dict[str, Any]]:
    return [{"image": to_storage(i)[..., None], "name": b"unused"} for i in images]


def test_pairs_go_by_name():
    a, b, c = (image(6, 9, seed=i) for i in range(3))
    pairs = paired_images(
        records(a, b, c), records(-c, -a), ["a", "b", "c"], ["c", "a"], image_size=16, mode="pad"
    )
    assert pairs.names == ["a", "c"]
    assert pairs.x.shape == pairs.y.shape == pairs.mask.shape == (2, 16, 16, 1)
    np.testing.assert_allclose(pairs.y[pairs.mask], -pairs.x[pairs.mask], atol=1e-4)
    for i, original in enumerate((a, c)):
        np.testing.assert_allclose(unfit(pairs.x[i, ..., 0], (6, 9), "pad"), original, atol=1e-4)
        assert pairs.mask[i].sum() == 54
    assert (pairs.y[~pairs.mask] == -1).all()


def test_of_many_pairs_some_are_spread_over_all():
    images = records(*(image(6, 9, seed=i) for i in range(9)))
    names = list("abcdefghi")
    pairs = paired_images(images, images, names, names, image_size=16, mode="pad", at_most=3)
    assert pairs.names == ["a", "e", "i"]
    assert len(pairs.x) == len(pairs.mask) == 3


def test_pairs_may_differ_in_size_from_each_other_and_from_the_frame():
    sizes = (6, 9), (20, 13)
    both = records(*(smooth(*size) for size in sizes))
    pairs = paired_images(both, both, ["a", "b"], ["a", "b"], image_size=16, mode="resize")
    np.testing.assert_array_equal(pairs.x, pairs.y)
    assert pairs.mask.sum(axis=(1, 2, 3)).tolist() == [11 * 16, 16 * 10]


def test_images_of_a_pair_must_have_one_size():
    x, y = records(image(6, 9)), records(image(9, 6))
    words = "pair 'a': x is 9x6 pixels, y 6x9; register and resample"
    with pytest.raises(InputError, match=re.escape(words)):
        paired_images(x, y, ["a"], ["a"], image_size=16, mode="pad")


def test_no_common_name_is_an_error():
    x = records(image(6, 9))
    with pytest.raises(InputError, match="no slice has one name in both domains"):
        paired_images(x, x, ["a"], ["b"], image_size=16, mode="pad")
