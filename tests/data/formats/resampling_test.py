"""Tests of resampling on functions that are known everywhere."""

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.resampling import resample


def places(count: int, spacing: float) -> np.ndarray:
    """Voxel centres in mm from the middle of the volume."""
    return (np.arange(count) - (count - 1) / 2) * spacing


def wave(shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """A smooth function of the place in mm that is no mirror image of itself along any axis."""
    x, y, z = np.meshgrid(*map(places, shape, spacing), indexing="ij")
    return 3 * np.sin(x / 14 + 0.3) + 2 * np.sin(y / 17 - 0.5) + np.cos(z / 15 + 1)


@pytest.mark.parametrize(
    ("spacing", "wanted", "shape"),
    [
        ((2, 2, 2), 1, (48, 40, 44)),
        ((2, 2, 2), 1.5, (32, 27, 29)),
        ((1, 1.5, 3), (1.5, 1, 2), (16, 30, 33)),
        ((2, 2, 2), 2.7, (18, 15, 16)),
    ],
)
def test_a_smooth_function_stays_in_its_place(spacing, wanted, shape):
    made = resample(wave((24, 20, 22), spacing), spacing, wanted)
    assert made.dtype == np.float32
    assert made.shape == shape
    new = np.broadcast_to(wanted, 3)
    expected = wave(shape, tuple(new))
    inner = (slice(4, -4),) * 3  # the spline and the smoothing mirror what lies beyond the edge
    # smoothing weakens the waves of 14 mm by up to 1 %; a shift by half a voxel would give 0.2
    assert np.abs(made - expected)[inner].max() < 0.03


def test_equal_spacing_changes_nothing():
    data = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    made = resample(data, (1, 2, 3), (1, 2, 3.0000001))
    assert np.array_equal(made, data)
    assert not np.shares_memory(made, data)


def test_coarser_voxels_are_smoothed_to_their_point_spread():
    """A Gaussian of variance v weakens a wave of k radians/mm by exp(-k² v / 2)."""
    k = 2 * np.pi / 12
    data = np.broadcast_to(np.sin(k * places(96, 1))[:, None, None], (96, 6, 6))
    made = resample(data, (1, 1, 1), (2, 1, 1))[8:-8, 3, 3]
    (amplitude,), *_ = np.linalg.lstsq(np.sin(k * places(48, 2))[8:-8, None], made)
    variance = (2**2 - 1**2) / (2 * np.sqrt(2 * np.log(2))) ** 2
    assert amplitude == pytest.approx(np.exp(-(k**2) * variance / 2), abs=0.01)


def test_stripes_finer_than_the_new_voxels_become_their_mean():
    data = np.tile(np.array([0, 100], np.float32), 20)[:, None, None] * np.ones((40, 8, 8))
    made = resample(data, (1, 1, 1), (2.9, 1, 1))
    assert made.shape == (14, 8, 8)
    assert np.abs(made[2:-2] - 50).max() < 5  # unsmoothed, they would beat between 0 and 100


def test_sharp_edges_do_not_overshoot():
    data = np.zeros((12, 12, 12))
    data[4:8, 4:8, 4:8] = 1000
    made = resample(data, (2, 2, 2), 1)
    assert made.min() == 0
    assert made.max() == 1000


@pytest.mark.parametrize("wanted", [0, -1.0, (1, 0, 1), np.nan, np.inf])
def test_impossible_spacing(wanted):
    with pytest.raises(InputError, match="must be above 0 mm"):
        resample(np.ones((4, 4, 4)), (1, 1, 1), wanted)


def test_a_volume_comes_back_to_its_own_grid():
    shape, spacing, wanted = (24, 21, 22), (2.0, 2.3, 4.1), (3.1, 2.0, 3.0)
    data = wave(shape, spacing).astype(np.float32)
    made = resample(resample(data, spacing, wanted), wanted, spacing, shape)
    assert made.shape == shape
    inner = (slice(4, -4),) * 3
    assert np.abs(made - data)[inner].max() < 0.06
    # the edge is not filled with zeros
    flat = resample(np.full((5, 5, 5), 7, np.float32), (2, 2, 2), (3, 3, 3), (9, 9, 9))
    np.testing.assert_allclose(flat, 7)
