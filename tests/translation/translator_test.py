"""Tests of one direction of a checkpoint with generators made by hand: sizes, ranges, notes."""

import numpy as np
import pytest

from cyclegan_jax import __version__
from cyclegan_jax.data import intensity
from cyclegan_jax.domains import DIRECTIONS

UINT8 = {"dtype": "uint8", "range": [0.0, 255.0]}
UINT16 = {"dtype": "uint16", "range": [0.0, 4000.0]}
VOLUME = {"dtype": "float32", "range": [10.0, 210.0]}


def negation(images: np.ndarray) -> np.ndarray:
    return -images


def grey(dtype: type, *shape: int, highest: int = 255) -> np.ndarray:
    return np.random.default_rng(0).integers(1, highest, shape, endpoint=True).astype(dtype)


# ---------------------------------------------------------------- images

SHAPES = [(16, 16), (15, 17), (7, 9), (33, 16), (1, 40), (41, 47)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "domain", "highest"),
    [
        (np.uint8, UINT8, 255),
        (np.uint8, UINT16, 255),
        (np.uint8, VOLUME, 255),
        (np.uint16, UINT16, 4000),
        (np.uint16, UINT8, 65535),
        (np.uint16, VOLUME, 65535),
    ],
)
def test_identity_returns_images_of_any_size_exactly(shape, dtype, domain, highest, translator):
    pixels = grey(dtype, *shape, highest=highest)
    translated = translator(source=domain, target=domain).image(pixels)
    assert translated.dtype == dtype
    np.testing.assert_array_equal(translated, pixels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["pad", "resize"])
def test_padding_never_shows(shape, mode, translator):
    def light_up_padding(images: np.ndarray) -> np.ndarray:
        return np.where(images == -1, 1, images)

    pixels = np.full(shape, 100, np.uint8)
    pixels[0, 0] = 101  # an image, not a constant
    translated = translator(light_up_padding, mode=mode).image(pixels)
    assert translated.shape == shape
    assert np.abs(translated.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("shape", [(10, 13), (40, 19)])
def test_images_stand_in_the_middle_of_at_least_the_training_frame(shape, translator):
    seen: list[np.ndarray] = []

    def spy(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images

    translator(spy).image(np.full(shape, 255, np.uint8))
    (frames,) = seen
    assert frames.shape == ((1, 16, 16, 1) if shape == (10, 13) else (1, 40, 24, 1))
    inside = np.argwhere(frames[0, ..., 0] == 1)
    margins = inside.min(axis=0), np.array(frames.shape[1:3]) - 1 - inside.max(axis=0)
    assert np.abs(margins[0] - margins[1]).max() <= 1
    assert len(inside) == shape[0] * shape[1]


def test_resize_translates_at_the_training_size(translator):
    def spy(images: np.ndarray) -> np.ndarray:
        assert images.shape == (1, 16, 16, 1)
        return images

    rows, columns = np.mgrid[:40, :31]
    pixels = (rows * 4 + columns).astype(np.uint8)
    translated = translator(spy, mode="resize").image(pixels)
    assert translated.dtype == np.uint8
    assert translated.shape == pixels.shape
    inner = np.abs(translated.astype(int) - pixels)[3:-3, 3:-3]
    assert inner.max() <= 2  # a slope survives scaling, but for the edges


def test_result_is_in_the_range_of_the_target_domain(translator):
    target = {"dtype": "uint16", "range": [0.0, 1000.0]}
    pixels = np.array([[0, 2000, 4000, 60000]], np.uint16)  # the last is clipped
    translated = translator(source=UINT16, target=target).image(pixels)
    assert translated.tolist() == [[0, 500, 1000, 1000]]
    translated = translator(negation, source=UINT16, target=target).image(pixels)
    assert translated.tolist() == [[1000, 500, 0, 0]]


def test_values_beyond_the_type_are_clipped_not_wrapped(translator):
    pixels = grey(np.uint8, 8, 8)
    assert (translator(lambda images: images * 0 + 1.01).image(pixels) == 255).all()
    assert (translator(lambda images: images * 0 - 1.01).image(pixels) == 0).all()


# ---------------------------------------------------------------- volumes


@pytest.mark.parametrize(
    ("axis", "frames"),
    [("axial", (11, 24, 16)), ("coronal", (17, 16, 16)), ("sagittal", (6, 16, 24))],
)
def test_volumes_are_sliced_along_the_axis_of_training(axis, frames, translator, head):
    """Of 14, 20 and 9 slices, 3 of each hold nothing but air and never reach the network."""

    def spy(images: np.ndarray) -> np.ndarray:
        assert images.shape == (*frames, 1)
        return images

    assert translator(spy, axis=axis).volume(
        head(9, 20, 14), intensity.volume_range(head(9, 20, 14))
    ).shape == (9, 20, 14)


def test_volumes_are_normalised_as_a_whole(translator, head):
    def spy(images: np.ndarray) -> np.ndarray:
        highest = images.max(axis=(1, 2, 3))
        assert highest[3] == pytest.approx(-0.5, abs=0.01)  # 200 of 100 to 500
        assert highest[2] == pytest.approx(1)
        return images

    data = head(20, 20, 20)
    # the first two slices are air and never reach the network
    data[:, :, 4] = np.where(data[:, :, 4] > 100, 500, 100)
    data[:, :, 5] = np.where(data[:, :, 5] > 100, 200, 100)
    translator(spy).volume(data, intensity.volume_range(data))


def test_volume_after_training_on_images_is_in_their_range(translator, head):
    result = translator(source=UINT16, target=UINT16).volume(
        head(9, 20, 14), intensity.volume_range(head(9, 20, 14))
    )
    assert result.min() == pytest.approx(0, abs=1e-3)
    assert result.max() == pytest.approx(4000)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_cycle_error_compares_the_way_back_with_the_source(direction, translator, head):
    data = head(9, 20, 14)
    range_ = intensity.volume_range(data)
    way = {"direction": direction, "source": UINT16, "target": VOLUME}
    perfect = translator(negation, generate_back=negation, **way)
    made = perfect.volume(data, range_)
    np.testing.assert_allclose(perfect.cycle_error(data, range_, made), 0, atol=1e-5)
    wrong = translator(negation, generate_back=lambda images: -images * 0.5, **way)
    error = wrong.cycle_error(data, range_, wrong.volume(data, range_))
    assert error.dtype == np.float32
    expected = 0.5 * np.abs(intensity.normalise(data, range_))
    expected[:, :, [0, 1, -1]] = 0  # slices of air
    np.testing.assert_allclose(error, expected, atol=1e-5, rtol=0)


# ---------------------------------------------------------------- errors and notes


def test_pixels_of_another_size_than_in_training_are_noted(translator):
    trained = translator(source=VOLUME | {"pixel_mm": [3.0, 2.0]})
    assert trained.pixel_note((2.0, 3.1, 9.0)) == ""
    assert "2 x 2 mm but were 3 x 2 mm in training" in trained.pixel_note((2.0, 2.0, 9.0))
    assert translator(source=VOLUME).pixel_note((1.0, 1.0, 1.0)) == ""


def test_descrip_names_what_made_the_file(translator):
    made = translator(model="ixi_small")
    assert made.descrip == f"cyclegan_jax {__version__} ixi_small t1_to_t2 step 7"
    long = translator(model="é" * 60).descrip
    assert long.endswith("é t1_to_t2 step 7")
    assert 78 <= len(long.encode()) <= 79
