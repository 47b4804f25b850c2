"""Tests of head mask, ranges and the stored 16 bits."""

import numpy as np
import pytest

from cyclegan_jax.data import intensity

SHAPE = (4, 5, 6)


def head(noise: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ball of 500..1000 in air of |noise|, and its mask."""
    grid = np.indices((24, 24, 24)) - 11.5
    mask = np.square(grid).sum(axis=0) < 81
    rng = np.random.default_rng(1)
    tissue = rng.uniform(500, 1000, mask.shape)
    return np.where(mask, tissue, np.abs(rng.normal(0, noise, mask.shape))), mask


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.001, 0), (3, -1024)])
def test_foreground_and_range(scale, shift):
    data, mask = head(noise=15)
    data = data * scale + shift
    assert np.array_equal(intensity.foreground(data), mask)
    low, high = intensity.volume_range(data)
    assert low == pytest.approx(shift, abs=5 * scale)
    assert high == pytest.approx(997.5 * scale + shift, abs=5 * scale)


def test_range_ignores_few_outliers_and_finds_a_small_head():
    data, mask = head()
    data[mask.nonzero()[0][0], 12, 12] = 1e6
    assert intensity.volume_range(data).high < 1001
    small = np.zeros((40, 40, 40))
    small[:4, :4, :4] = 5
    assert intensity.volume_range(small) == (0, 5)
    assert intensity.foreground(small).sum() == 64


def test_no_foreground():
    assert not intensity.foreground(np.full(SHAPE, 3.0)).any()
    for data in (np.full(SHAPE, 3.0), np.full(SHAPE, np.nan)):
        with pytest.raises(ValueError, match="no foreground"):
            intensity.volume_range(data)


def test_a_few_bright_voxels_are_no_head():
    few = np.zeros((40, 40, 40))
    few[0, 0, :5] = 9
    with pytest.raises(ValueError, match="no foreground"):
        intensity.volume_range(few)


def test_the_range_of_a_head_does_not_depend_on_added_air():
    data, mask = head(noise=15)
    trained, wanted = intensity.volume_range(data), intensity.head_range(data, 5)
    assert wanted == pytest.approx(trained, abs=0.001 * trained.high)
    box = (slice(3, 21),) * 3
    air = np.percentile(data[box][~mask[box]], 1.67)
    assert wanted == (air, np.percentile(data[mask], 99.5))
    more = np.pad(data, ((30, 0), (0, 24), (9, 9)))
    assert intensity.head_range(more, 5) == wanted
    more[0, 0, 0] = more[2, 40, 3] = 800  # specks, too small for a head
    assert intensity.head_range(more, 5) == wanted
    noise = np.abs(np.random.default_rng(2).normal(0, 15, more.shape))
    noise[30:, :24, 9:-9] = data
    assert intensity.head_range(noise, 5) == wanted
    assert intensity.volume_range(noise) != trained


def test_the_range_of_a_head_does_not_depend_on_dim_parts_around_it():
    """With more air around them they pass the first threshold."""
    data, mask = head(noise=15)
    around = np.square(np.indices(data.shape) - 11.5).sum(axis=0) < 121
    data[around & ~mask] = 80
    more = np.pad(data, 20)
    assert intensity.foreground(more).sum() > intensity.foreground(data).sum()
    assert intensity.head_range(more, 5) == intensity.head_range(data, 5)


def test_a_box_without_air_has_the_range_of_its_whole_volume():
    cuboid = np.zeros((20, 20, 20))
    cuboid[5:15, 5:15, 5:15] = np.random.default_rng(0).uniform(50, 100, (10, 10, 10))
    assert intensity.head_range(cuboid, 5) == intensity.volume_range(cuboid)
    specks = np.zeros((20, 20, 20))
    specks[::4, ::4, ::4] = 7
    assert intensity.head_range(specks, 5) == intensity.volume_range(specks)
    with pytest.raises(ValueError, match="no foreground"):
        intensity.head_range(np.ones(SHAPE), 1)


def test_saturated():
    data, mask = head(noise=15)
    assert intensity.saturated(data) == 1 / mask.sum()  # its brightest voxel
    clipped = np.minimum(data, np.quantile(data[mask], 0.9))
    assert intensity.saturated(clipped) == pytest.approx(0.1, abs=0.01)
    assert intensity.saturated(data) < intensity.SATURATED < intensity.saturated(clipped)
    assert intensity.saturated(np.full(SHAPE, 3.0)) == 0


def test_full_range():
    assert intensity.full_range(np.uint8) == (0, 255)
    assert intensity.full_range(np.dtype(np.uint16)) == (0, 65535)
    with pytest.raises(ValueError, match="float32"):
        intensity.full_range(np.float32)


def test_normalise_and_denormalise():
    range_ = intensity.IntensityRange(-20, 180)
    x = intensity.normalise(np.array([-300, -20, 80, 180, 999]), range_)
    assert x.dtype == np.float32
    assert x.tolist() == [-1, -1, 0, 1, 1]
    inside = np.linspace(-20, 180, 101, dtype=np.float64)
    back = intensity.denormalise(intensity.normalise(inside, range_), range_)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, inside, atol=2e-5)
    # Computed ranges arrive as NumPy scalars, which would promote float32 to float64.
    wide = intensity.IntensityRange(np.float64(-20), np.float64(180))
    assert intensity.normalise(x, wide).dtype == intensity.denormalise(x, wide).dtype == np.float32


def test_storage_is_exact():
    eight = np.arange(256, dtype=np.uint8)
    assert np.array_equal(
        intensity.to_storage(intensity.normalise(eight, intensity.full_range(np.uint8))),
        eight * np.uint16(257),
    )
    sixteen = np.arange(65536, dtype=np.uint16)
    x = intensity.from_storage(sixteen)
    assert x.dtype == np.float32
    assert x.min() == -1
    assert x.max() == 1
    assert np.array_equal(intensity.to_storage(x), sixteen)
    assert intensity.to_storage(np.array([-7.0, 7.0])).tolist() == [0, 65535]
    with pytest.raises(ValueError, match="NaN"):
        intensity.to_storage(np.array([np.nan]))


def test_the_head_mask_is_common_to_the_images_and_has_no_holes():
    one, two = np.full((2, 1, 9, 9, 1), -1, np.float32)
    one[0, 1:8, 1:8], two[0, 2:9, 2:9] = 0.5, -0.7
    one[0, 4, 4] = -1  # bone
    wanted = np.zeros((1, 9, 9, 1), bool)
    wanted[0, 2:8, 2:8] = True
    np.testing.assert_array_equal(intensity.head_mask(one, two), wanted)


# ---------------------------------------------------------------- ranges of other scans


def test_images_use_the_range_of_8_bits_or_the_brightest_of_16():
    assert intensity.images_range(np.uint8, 40) == (0, 255)
    assert intensity.images_range("uint16", 3000) == (0, 3000)


def test_stacks_go_from_0_to_their_maximum():
    assert intensity.stack_range(np.array([[[-3.0, 0.5], [2.0, 1.0]]])) == (0, 2)
    with pytest.raises(ValueError, match="no value is above 0"):
        intensity.stack_range(np.zeros((1, 2, 2)))


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [
        (np.array([[7]], np.uint16), (0, 3000)),  # as the training images
        (np.array([[7]], np.uint8), (0, 255)),
        (np.array([[0]], np.uint8), (0, 255)),
    ],
)
def test_an_image_of_the_trained_type_uses_the_trained_range(pixels, wanted):
    trained = {"dtype": "uint16", "range": [0.0, 3000.0]}
    assert intensity.own_image_range(pixels, trained) == wanted


def test_an_image_of_16_bits_uses_its_own_maximum_after_training_on_8():
    trained = {"dtype": "uint8", "range": [0.0, 255.0]}
    assert intensity.own_image_range(np.array([[7, 900]], np.uint16), trained) == (0, 900)
    assert intensity.own_image_range(np.array([[0]], np.uint16), trained) == (0, 1)


def test_the_reference_range_is_not_moved_by_one_odd_scan():
    ranges = [intensity.IntensityRange(low, high) for low, high in ((0, 100), (3, 900), (1, 300))]
    assert intensity.reference_range(ranges) == (1, 300)
