"""Tests of one direction of a checkpoint with generators made by hand: sizes, ranges, notes."""

import numpy as np
import pytest

from cyclegan_jax import __version__
from cyclegan_jax.data import intensity
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.translation.translator import load_translator

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
    translated, _ = translator(source=domain, target=domain).image(pixels)
    assert translated.dtype == dtype
    np.testing.assert_array_equal(translated, pixels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["pad", "resize"])
def test_padding_never_shows(shape, mode, translator):
    def light_up_padding(images: np.ndarray) -> np.ndarray:
        return np.where(images == -1, 1, images)

    pixels = np.full(shape, 100, np.uint8)
    pixels[0, 0] = 101  # an image, not a constant
    translated, _ = translator(light_up_padding, mode=mode).image(pixels)
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
    translated, _ = translator(spy, mode="resize").image(pixels)
    assert translated.dtype == np.uint8
    assert translated.shape == pixels.shape
    inner = np.abs(translated.astype(int) - pixels)[3:-3, 3:-3]
    assert inner.max() <= 2  # a slope survives scaling, but for the edges


def test_result_is_in_the_range_of_the_target_domain(translator):
    target = {"dtype": "uint16", "range": [0.0, 1000.0]}
    pixels = np.array([[0, 2000, 4000, 60000]], np.uint16)  # the last is clipped
    translated, _ = translator(source=UINT16, target=target).image(pixels)
    assert translated.tolist() == [[0, 500, 1000, 1000]]
    translated, _ = translator(negation, source=UINT16, target=target).image(pixels)
    assert translated.tolist() == [[1000, 500, 0, 0]]


def test_values_beyond_the_type_are_clipped_not_wrapped(translator):
    pixels = grey(np.uint8, 8, 8)
    assert (translator(lambda images: images * 0 + 1.01).image(pixels)[0] == 255).all()
    assert (translator(lambda images: images * 0 - 1.01).image(pixels)[0] == 0).all()


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

    made = translator(spy, axis=axis)
    data = head(9, 20, 14)
    assert made.volume(data, made.view(data)).shape == (9, 20, 14)


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
    made = translator(spy)
    made.volume(data, made.view(data))


def test_volume_after_training_on_images_is_in_their_range(translator, head):
    made = translator(source=UINT16, target=UINT16)
    data = head(9, 20, 14)
    result = made.volume(data, made.view(data))
    assert result.min() == pytest.approx(0, abs=1e-3)
    assert result.max() == pytest.approx(4000)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_cycle_error_compares_the_way_back_with_the_source(direction, translator, head):
    data = head(9, 20, 14)
    way = {"direction": direction, "source": UINT16, "target": VOLUME}
    perfect = translator(negation, generate_back=negation, **way)
    view = perfect.view(data)
    made = perfect.volume(data, view)
    np.testing.assert_allclose(perfect.cycle_error(data, view, made), 0, atol=1e-5)
    wrong = translator(negation, generate_back=lambda images: -images * 0.5, **way)
    error = wrong.cycle_error(data, view, wrong.volume(data, view))
    assert error.dtype == np.float32
    expected = 0.5 * np.abs(intensity.normalise(data, view.range))
    expected[:, :, [0, 1, -1]] = 0  # slices of air
    np.testing.assert_allclose(error, expected, atol=1e-5, rtol=0)


# ---------------------------------------------------------------- air


def minus_mean(images: np.ndarray) -> np.ndarray:
    """Depends on how much air there is, as instance norm does."""
    return images - images.mean(axis=(1, 2, 3), keepdims=True)


def noisy(shape: tuple[int, int, int], radius: float, noise: float) -> np.ndarray:
    """A ball of tissue in air with the noise of a magnitude image."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij"))
    inside = np.linalg.norm(places, axis=0) < radius
    clean = np.where(inside, rng.uniform(300, 1000, shape), 0)
    return np.hypot(clean + rng.normal(0, noise, shape), rng.normal(0, noise, shape))


@pytest.mark.parametrize("noise", [0, 20])
@pytest.mark.parametrize("axis", ["axial", "sagittal"])
@pytest.mark.parametrize(
    "more", [((0, 0), (8, 8), (0, 0)), ((16, 16),) * 3, ((0, 20), (13, 0), (6, 0)), ((9, 3),) * 3]
)
def test_a_translation_does_not_depend_on_the_air_around_the_head(more, axis, noise, translator):
    made = translator(minus_mean, axis=axis, image_size=32, target=VOLUME)
    data = noisy((32, 32, 32), 13, noise)
    wanted = made.volume(data, made.view(data))
    padded = np.pad(data, more)
    found = made.volume(padded, made.view(padded))
    inside = tuple(slice(a, a + 32) for a, _ in more)
    # of the range of 200
    np.testing.assert_allclose(found[inside], wanted, atol=1e-3 * 200)


@pytest.mark.parametrize(
    "more", [((5, 5), (0, 0), (0, 0)), ((0, 0), (0, 0), (9, 20)), ((16, 16), (8, 8), (30, 1))]
)
def test_a_translation_does_not_depend_on_added_air_of_noise(more, translator):
    """More slices on any side, and as many rows and columns on both sides."""
    made = translator(minus_mean, image_size=32, target=VOLUME)
    data = noisy((32, 32, 32), 13, 20)
    wanted = made.volume(data, made.view(data))
    rng = np.random.default_rng(1)
    inside = tuple(slice(a, a + 32) for a, _ in more)
    padded = np.hypot(*rng.normal(0, 20, (2, *np.pad(data, more).shape)))
    padded[inside] = data
    found = made.volume(padded, made.view(padded))
    np.testing.assert_allclose(found[inside], wanted, atol=1e-3 * 200)
    found[inside] = 10
    assert (found[:, :, [0, -1]] == 10).all()


def test_whatever_its_air_a_volume_has_nearly_the_range_of_training(translator):
    data = noisy((32, 32, 32), 13, 20)
    (low, high), trained = translator(image_size=32).view(data).range, intensity.volume_range(data)
    assert (low, high) == pytest.approx(trained, abs=1e-3 * (trained.high - trained.low))


def test_an_image_does_not_depend_on_its_air(translator):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[3:13, 4:12] = grey(np.uint8, 10, 8)
    made = translator(minus_mean)
    wanted, notes = made.image(pixels)
    assert notes == []
    found, notes = made.image(np.pad(pixels, ((16, 2), (1, 30))))
    assert notes == []
    np.testing.assert_array_equal(found[16:32, 1:17], wanted)
    found[16:32, 1:17] = 0
    assert not found.any()


def test_a_head_that_does_not_fit_is_noted_with_the_sizes(translator):
    data = noisy((30, 40, 40), 11, 0)
    view = translator().view(data)
    assert view.placement.frame == (24, 24)
    (note,) = view.notes
    assert "22x22 pixels, more than the 16x16 of training" in note
    assert "a frame of 24x24" in note


@pytest.mark.parametrize("noise", [30, 50])
def test_noise_is_not_painted(noise, translator):
    """The phantom's default noise is 3 % of the signal."""
    data = noisy((64, 64, 30), 9, noise)
    air = [*range(6), *range(24, 30)]
    # single pixels are brighter than a tenth of the range
    assert (intensity.normalise(data, intensity.volume_range(data))[:, :, air] > -0.8).any()
    made = translator(lambda images: images * 0 + 1, image_size=64, target=VOLUME)
    found = made.volume(data, made.view(data))
    assert (found[:, :, air] == 10).all()
    assert (found[:, :, 7:-7] == 210).all()


def test_slices_with_less_head_than_in_training_are_noted(translator):
    data = noisy((64, 64, 30), 14, 0)
    known = VOLUME | {"least_head": {"pixels": 200, "share": 0.05}}
    view = translator(image_size=64, source=known).view(data)
    (note,) = view.notes
    assert note.startswith("4 of 30 axial slices have less head than any slice of training")
    assert "wrong: 1 to 2, 27 to 28, counted" in note
    few = known | {"least_head": {"pixels": 5, "share": 0.001}}
    view = translator(image_size=64, source=few).view(data)
    assert view.notes == []
    assert view.chosen.sum() == 28


def test_slices_with_as_much_head_as_in_training_are_translated(translator):
    data = np.zeros((64, 64, 12), np.float32)
    data[20:40, 20:40, 2:10] = grey(np.uint8, 20, 20, 8)
    data[20:23, 20:22, 0] = 200
    assert not translator(image_size=64).view(data).chosen[0]
    known = VOLUME | {"least_head": {"pixels": 6, "share": 6 / 64**2}}
    chosen = translator(image_size=64, source=known).view(data).chosen
    assert chosen.tolist() == [True, False, *[True] * 8, False, False]


def test_in_resize_the_least_head_is_a_share_of_the_slice(translator):
    data = noisy((32, 32, 20), 9, 0)
    known = VOLUME | {"least_head": {"pixels": 13, "share": 0.05}}
    (_, note) = translator(mode="resize", source=known).view(data).notes
    pixels = np.count_nonzero(data, axis=(0, 1))
    few = np.count_nonzero((pixels > 0) & (pixels < 0.05 * 32**2))
    assert few > np.count_nonzero((pixels > 0) & (pixels < 13))
    assert note.startswith(f"{few} of 20 axial slices have less head")


def test_specks_are_no_head_and_that_is_noted(translator):
    data = np.zeros((16, 16, 16), np.float32)
    data[::4, ::4, ::4] = 7
    view = translator(source=VOLUME).view(data)
    assert not view.chosen.any()
    assert view.notes == ["no head was found, so nothing is translated; the result is air"]


def test_an_image_with_hardly_any_head_is_translated_if_training_is_not_known(translator):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[3, 3] = 255
    found, _ = translator(negation).image(pixels)
    np.testing.assert_array_equal(found, 255 - pixels)


# ---------------------------------------------------------------- errors and notes


def test_pixels_of_another_size_than_in_training_are_noted(translator):
    trained = translator(source=VOLUME | {"pixel_mm": [3.0, 2.0]})
    shape = (10, 10, 10)
    assert trained.pixel_note(shape, (2.0, 3.1, 9.0)) == ""
    note = trained.pixel_note(shape, (2.0, 2.0, 9.0))
    assert "2 x 2 mm but were 3 x 2 mm in training" in note
    assert translator(source=VOLUME).pixel_note(shape, (1.0, 1.0, 1.0)) == ""


def test_pixels_of_scaled_slices_are_those_that_the_networks_see(translator):
    trained = translator(source=VOLUME | {"pixel_mm": [4.0, 4.0]}, mode="resize")
    assert trained.pixel_note((32, 24, 9), (2.0, 2.0, 9.0)) == ""
    note = trained.pixel_note((64, 24, 9), (2.0, 2.0, 9.0))
    assert "8 x 8 mm once slices are scaled to 16 but were 4 x 4 mm" in note


def test_scaled_slices_are_noted_with_the_sizes(translator):
    made = translator(mode="resize")
    (note,) = made.image(grey(np.uint8, 30, 40))[1]
    assert "slices of 40x30 pixels are scaled to 16x12" in note
    assert made.image(grey(np.uint8, 16, 12))[1] == []
    assert translator().image(grey(np.uint8, 16, 12))[1] == []


def test_the_voxels_of_training_lie_along_the_axes_of_the_volume(translator):
    known = VOLUME | {"pixel_mm": [3.0, 2.0]}
    assert translator(source=known).spacing_wanted((1, 1, 5)) == (2, 3, 5)
    sagittal = translator(source=known | {"slice_mm": 4.0}, axis="sagittal")
    assert sagittal.spacing_wanted((1, 1, 5)) == (4, 2, 3)
    assert translator(source=VOLUME).spacing_wanted((1, 1, 5)) is None


def test_descrip_names_what_made_the_file(translator):
    made = translator(model="ixi_small")
    assert made.descrip == f"cyclegan_jax {__version__} ixi_small t1_to_t2 step 7"
    long = translator(model="é" * 60).descrip
    assert long.endswith("é t1_to_t2 step 7")
    assert 78 <= len(long.encode()) <= 79


def test_a_checkpoint_knows_the_least_head_of_its_training(tiny_run):
    for direction in DIRECTIONS:
        least = load_translator(Run(tiny_run, "latest"), direction).source["least_head"]
        assert 0 < least["pixels"] <= 256
        assert least["share"] == pytest.approx(least["pixels"] / 256)
