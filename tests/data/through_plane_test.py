"""The change from slice to slice: its measure, and smoothing down to it."""

import numpy as np
import pytest

from cyclegan_jax.data.through_plane import jump, links_of, smoothed, typical_jump


@pytest.fixture
def volume():
    """A head of 9 slices that change as much as their pixels do, between slices of air."""
    z, y, x = np.meshgrid(np.arange(11), np.arange(24), np.arange(24), indexing="ij")
    head = 0.3 + 0.3 * np.sin(z / 2) + 0.2 * np.sin(y / 2) + 0.2 * np.cos(x / 2)
    head[[0, -1]] = -1
    head[:, :3] = -1
    return head.astype(np.float32)


def striped(volume: np.ndarray) -> np.ndarray:
    result = volume.copy()
    result[1:-1:2, 3:] += 0.15
    return result


ALL = links_of(np.ones(11, bool))
HEAD = links_of(np.array([0, *[1] * 9, 0], bool))


def test_stripes_are_smoothed_to_the_jump_that_is_wanted(volume):
    inside = volume > -0.8
    wanted, before = jump(volume, inside, HEAD), jump(striped(volume), inside, HEAD)
    assert before > 1.5 * wanted
    made = smoothed(striped(volume), wanted, HEAD)
    assert jump(made, inside, HEAD) == pytest.approx(wanted, rel=5e-3)
    stripes = (np.abs(np.diff(v[1:-1, 4:], 2, axis=0)).mean() for v in (made, striped(volume)))
    assert next(stripes) < 0.6 * next(stripes)


def test_slices_that_are_not_chosen_and_what_changes_little_stay(volume):
    made = smoothed(striped(volume), 0.1, HEAD)
    np.testing.assert_array_equal(made[[0, -1]], -1)
    np.testing.assert_array_equal(made[:, :3], -1)
    assert smoothed(volume, 100.0, HEAD) is volume
    for none in (np.full_like(volume, -1), volume[:1]):
        chosen = links_of(np.ones(len(none), bool))
        assert smoothed(none, 0.1, chosen) is none


def test_no_slice_counts_less_than_its_neighbours(volume):
    made = smoothed(volume, 1e-9, HEAD)
    mean = (volume[3] + volume[4] + volume[5]) / 3
    np.testing.assert_allclose(made[4], mean, atol=1e-3)
    np.testing.assert_allclose(made[1], (2 * volume[1] + volume[2]) / 3, atol=1e-3)


def test_the_typical_jump_is_the_median_of_the_volumes_that_have_one(volume):
    air = np.full_like(volume, -1)
    one = typical_jump([volume])
    assert one == pytest.approx(jump(volume, volume > -0.8, ALL))
    assert typical_jump([volume, air, striped(volume), volume, volume[:1]]) == pytest.approx(one)
    assert np.isnan(typical_jump([air]))
