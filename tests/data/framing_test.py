"""Tests of bringing images to the networks' size and back."""

import numpy as np
import pytest

from cyclegan_jax.data.framing import cropped_share, fit, resize, unfit


def image(*shape: int, seed: int = 0) -> np.ndarray:
    """A random image [H, W] of tissue: nothing as dark as air."""
    return np.random.default_rng(seed).uniform(-0.9, 1, shape).astype(np.float32)


def smooth(height: int, width: int) -> np.ndarray:
    """An image without detail that scaling could lose."""
    rows, columns = np.ogrid[:height, :width]
    return (np.sin(rows / height * 3) * np.cos(columns / width * 3)).astype(np.float32) * 0.8


@pytest.mark.parametrize("shape", [(16, 16), (9, 13), (10, 14), (15, 16), (16, 1)])
def test_pad_centres_and_unfit_takes_it_out(shape):
    original = image(*shape)
    framed, mask = fit(original, (16, 16), "pad")
    assert framed.shape == mask.shape == (16, 16)
    assert framed.dtype == np.float32
    assert mask.dtype == bool
    np.testing.assert_array_equal(framed[mask], original.ravel())
    assert (framed[~mask] == -1).all()
    for axis in (0, 1):  # centred, to half a pixel
        inside = np.flatnonzero(mask.any(1 - axis))
        assert abs(inside[0] - (15 - inside[-1])) <= 1
    np.testing.assert_array_equal(unfit(framed, shape, "pad"), original)


@pytest.mark.parametrize("shape", [(20, 25), (17, 21), (21, 9), (9, 40)])
def test_pad_crops_what_is_too_large_and_unfit_fills_it_with_air(shape):
    original = image(*shape)
    framed, mask = fit(original, (16, 16), "pad")
    assert mask.sum() == min(16, shape[0]) * min(16, shape[1])
    back = unfit(framed, shape, "pad")
    assert back.shape == shape
    kept = back != -1
    assert kept.sum() == mask.sum()
    np.testing.assert_array_equal(back[kept], original[kept])


def test_frames_need_not_be_square():
    framed, mask = fit(image(5, 9), (8, 12), "pad")
    assert framed.shape == (8, 12)
    assert mask.sum() == 45
    np.testing.assert_array_equal(unfit(framed, (5, 9), "pad"), image(5, 9))


@pytest.mark.parametrize(
    ("shape", "inside"),
    [((64, 64), (32, 32)), ((48, 64), (24, 32)), ((31, 20), (32, 21)), ((12, 17), (23, 32))],
)
def test_resize_keeps_the_aspect_ratio_and_unfit_scales_back(shape, inside):
    original = smooth(*shape)
    framed, mask = fit(original, (32, 32), "resize")
    assert framed.shape == (32, 32)
    assert mask.sum() == inside[0] * inside[1]
    assert (framed[~mask] == -1).all()
    np.testing.assert_array_equal(framed[mask].reshape(inside), resize(original, inside))
    back = unfit(framed, shape, "resize")
    assert back.shape == shape
    assert np.abs(back - original).max() < 0.05


def test_resize_leaves_a_fitting_image_alone():
    framed, mask = fit(image(16, 16), (16, 16), "resize")
    np.testing.assert_array_equal(framed, image(16, 16))
    assert mask.all()


def test_resize_is_anti_aliased_when_it_gets_smaller():
    stripes = np.tile(np.array([-1, 1], np.float32), (64, 32))
    framed, _ = fit(stripes, (16, 16), "resize")
    assert np.abs(framed[:, 2:-2]).max() < 0.2


def test_the_cropped_share_of_a_mask():
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:6] = True
    assert cropped_share(mask, (4, 4)) == 0
    assert cropped_share(mask, (9, 9)) == 0
    assert cropped_share(mask, (4, 2)) == 0.5
    assert cropped_share(mask, (2, 2)) == 0.75
    assert cropped_share(~mask, (4, 4)) == 1
    assert cropped_share(np.zeros((6, 8), bool), (4, 4)) == 0
