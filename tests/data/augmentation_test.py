"""Tests of augmentation: mirrors, contrast, shifts, and the four views of an image."""

import itertools

import numpy as np

from cyclegan_jax.data.augmentation import Augmentation, augmented

PLAIN = Augmentation(views=1, flip=False, contrast=0.0, shift=0)
FOUR = Augmentation(views=4, flip=False, contrast=0.3, shift=0)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    """A random image [H, W] of tissue: nothing as dark as air."""
    return np.random.default_rng(seed).uniform(-0.9, 1, shape).astype(np.float32)


def test_nothing_changes_without_augmentation():
    views = augmented(image(8, 9), PLAIN, np.random.default_rng(0))
    assert views.shape == (1, 8, 9)
    np.testing.assert_array_equal(views[0], image(8, 9))


def test_flip_mirrors_left_and_right_half_of_the_time():
    flip = Augmentation(views=1, flip=True, contrast=0.0, shift=0)
    mirrored = 0
    for seed in range(200):
        view = augmented(image(8, 9), flip, np.random.default_rng(seed))[0]
        if not np.array_equal(view, image(8, 9)):
            np.testing.assert_array_equal(view, image(8, 9)[:, ::-1])
            mirrored += 1
    assert 70 < mirrored < 130


def test_contrast_is_a_gamma_curve_within_its_limits():
    contrast = Augmentation(views=1, flip=False, contrast=0.3, shift=0)
    ramp = np.linspace(-1, 1, 33, dtype=np.float32)[None]
    logs = []
    for seed in range(100):
        curve = augmented(ramp, contrast, np.random.default_rng(seed))[0, 0]
        assert curve[0] == -1
        assert curve[-1] == 1
        assert (np.diff(curve) > 0).all()
        logs.append(np.log(np.log((curve[16] + 1) / 2) / np.log(0.5)))
    assert -0.3001 < min(logs) < -0.25  # darker and brighter, alike
    assert 0.25 < max(logs) < 0.3001


def test_shift_moves_by_whole_pixels_and_fills_with_air():
    shift = Augmentation(views=1, flip=False, contrast=0.0, shift=2)
    dot = np.full((7, 9), -1, np.float32)
    dot[3, 4] = 1
    seen = set()
    for seed in range(200):
        view = augmented(dot, shift, np.random.default_rng(seed))[0]
        assert view.sum() == dot.sum()
        row, column = np.unravel_index(view.argmax(), view.shape)
        seen.add((int(row) - 3, int(column) - 4))
    assert seen == set(itertools.product(range(-2, 3), repeat=2))
    full = np.full((7, 9), 0.5, np.float32)
    for seed in range(20):
        view = augmented(full, shift, np.random.default_rng(seed))[0]
        assert set(np.unique(view)) <= {-1, 0.5}
        assert (view == 0.5).sum() >= 5 * 7


def test_four_views_are_image_mirror_contrast_and_both():
    original = image(8, 9)
    views = augmented(original, FOUR, np.random.default_rng(0))
    assert views.shape == (4, 8, 9)
    np.testing.assert_array_equal(views[0], original)
    np.testing.assert_array_equal(views[1], original[:, ::-1])
    assert np.abs(views[2] - original).max() > 0.01
    order = original.ravel().argsort()
    assert (np.diff(views[2].ravel()[order]) >= 0).all()
    np.testing.assert_array_equal(views[3], views[2][:, ::-1])
