"""Tests of volumes that are translated at the voxel size of training."""

import dataclasses
import math

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.intensity import highest_slice
from cyclegan_jax.data.intervals import GROUPS, LEVELS
from cyclegan_jax.data.slicing import to_slices
from cyclegan_jax.translation.ensemble import Ensemble, check_level
from cyclegan_jax.translation.volumes import translate_volume

VOLUME = {"dtype": "float32", "range": [0.0, 100.0], "pixel_mm": [4.0, 4.0]}


def ball(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> Volume:
    """A ball of 25 mm around the middle, brightest there."""
    places = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    radius = np.sqrt(sum(p**2 for p in np.meshgrid(*places, indexing="ij")))
    data = np.clip(100 - 4 * radius, 0, None).astype(np.float32)
    return Volume(data, Nifti1Image(data, np.diag([*spacing, 1])))


@pytest.mark.parametrize("mode", ["pad", "resize"])
@pytest.mark.parametrize(
    ("spacing", "shape"), [((1, 1, 3), (61, 64, 30)), ((1.7, 1.2, 4), (40, 57, 20))]
)
def test_the_networks_see_the_pixels_of_training_and_the_result_is_on_the_grid_of_the_source(
    mode, spacing, shape, translator
):
    seen = []

    def spy(images):
        seen.append(images)
        return images

    made = translator(spy, mode=mode, image_size=32, source=VOLUME, target=VOLUME)
    volume = ball(spacing, shape)
    result = translate_volume(made, volume, resample=True, cycle_error=True)
    (images, _) = seen
    assert images.shape[1:] == (32, 32, 1)
    widest = (images > -0.8).sum(axis=(1, 2, 3)).max()
    assert widest == pytest.approx(np.pi * 22.5**2 / 16, rel=0.2)  # 45 mm are above a tenth
    assert result.data.shape == result.cycle_error.shape == shape
    inside = volume.data > 20
    scale = 100 / result.source_range.high
    error = np.abs(result.data - volume.data * scale)[inside]
    assert error.mean() < 4
    top = np.argwhere(result.data > 0.85 * result.data.max()).mean(axis=0)
    np.testing.assert_allclose(top, (np.array(shape) - 1) / 2, atol=0.3)
    assert "to 4 x 4 x" in result.notes[-1]
    assert not any("than the networks know" in note for note in result.notes)


def test_slices_are_brought_to_the_distance_of_training(translator):
    seen = []
    known = VOLUME | {"slice_mm": 6.0}
    made = translator(lambda images: seen.append(len(images)) or images, source=known)
    translate_volume(made, ball((2, 2, 3), (32, 32, 32)))
    assert seen[0] <= 9
    translate_volume(made, ball((2, 2, 3), (32, 32, 32)), resample=False)
    assert seen[1] > 14


def test_a_volume_with_the_voxels_of_training_is_not_resampled(translator):
    volume = ball((4, 4.1, 2), (16, 16, 40))
    for known in (VOLUME, {key: VOLUME[key] for key in VOLUME if key != "pixel_mm"}):
        made = translator(source=known, target=VOLUME)
        one, two = (translate_volume(made, volume, resample=resample) for resample in (True, False))
        np.testing.assert_array_equal(one.data, two.data)
        assert one.notes == two.notes == []


def test_too_many_voxels_are_refused(translator, monkeypatch):
    monkeypatch.setattr(limits, "MOST_VOXELS", 10_000)
    made = translator(source=VOLUME | {"pixel_mm": [0.5, 0.5]})
    with pytest.raises(ValueError, match=r"too many voxels if 1 x 1 x 2 mm become 0\.5 x 0\.5 x"):
        translate_volume(made, ball((1, 1, 2), (30, 30, 5)), resample=True, cycle_error=False)


def test_another_pixel_size_is_noted(translator):
    made = translator(source=VOLUME)
    result = translate_volume(
        made, ball((2, 2, 2), (50, 50, 50)), resample=False, cycle_error=False
    )
    assert "pixels are 2 x 2 mm but were 4 x 4 mm in training" in result.notes[-1]


@pytest.mark.parametrize("resample", [False, True])
def test_a_whole_head_is_noted_where_training_had_brains_alone(translator, resample):
    volume = ball((4, 4, 4), (16, 16, 16))  # 22.5 mm of it are above a tenth, 48 ml
    for most, is_noted in ((45.0, False), (25.0, True), (None, False)):
        known = VOLUME if most is None else VOLUME | {"most_head_ml": most}
        made = translator(source=known, target=VOLUME)
        notes = translate_volume(made, volume, resample=resample, cycle_error=False).notes
        found = [note for note in notes if "cut the brain out" in note]
        assert bool(found) is is_noted
        assert not found or "of at most 25 ml" in found[0]


def test_slices_below_those_of_training_are_noted(translator):
    volume = ball((2, 2, 2), (32, 32, 32))
    highest = highest_slice(to_slices(volume.data, "axial"))
    assert highest == 24
    for reach, is_noted in ((4.0, True), (1000.0, False), (None, False)):
        known = VOLUME if reach is None else VOLUME | {"below_vertex_mm": reach}
        made = translator(source=known, target=VOLUME)
        notes = translate_volume(made, volume, resample=False, cycle_error=False).notes
        found = [note for note in notes if "below the top of the head" in note]
        assert bool(found) is is_noted
        assert not found or found[0].startswith("the lowest 22 of 32 axial slices lie")


def test_a_head_whose_top_is_cut_off_is_noted(translator):
    volume = ball((4, 4, 4), (16, 16, 16))
    made = translator(source=VOLUME | {"below_vertex_mm": 150}, target=VOLUME)
    for top, is_noted in ((16, False), (13, False), (9, True)):
        data = volume.data[:, :, :top]
        cut = Volume(data, Nifti1Image(data, volume.source.affine))
        notes = translate_volume(made, cut).notes
        assert any("the top of the head is not in the scan" in note for note in notes) is is_noted


@pytest.mark.parametrize(("slice_mm", "is_smoothed"), [(4.0, True), (9.0, False), (None, False)])
def test_a_translation_is_smoothed_across_slices_that_lie_as_in_training(
    slice_mm, is_smoothed, translator
):
    def striped(images):
        made = images.copy()
        made[::2] = np.where(made[::2] > -0.8, made[::2] * 0.8, made[::2])
        return made

    known = VOLUME | ({"slice_mm": slice_mm} if slice_mm else {})
    made = translator(striped, source=known, target=VOLUME, image_size=32)
    plain = translate_volume(made, ball((4, 4, 4), (32, 32, 30)), resample=False)
    wanted = dataclasses.replace(made, slice_jump=0.5)
    result = translate_volume(wanted, ball((4, 4, 4), (32, 32, 30)), resample=False)
    assert np.array_equal(plain.data, result.data) != is_smoothed
    before, after = (_second_difference(found.data) for found in (plain, result))
    assert (after < 0.9 * before) == is_smoothed


def _second_difference(data: np.ndarray) -> float:
    return float(np.abs(np.diff(data, 2, axis=2)).mean())


def intervals() -> dict:
    """Intervals from 0.2 below to 0.1 above a translation, whatever its groups."""
    edges = {name: list(range(n - 1)) for name, n in GROUPS.items()}

    def tables(value: str) -> dict[str, str]:
        return {str(level): " ".join([value] * math.prod(GROUPS.values())) for level in LEVELS}

    return {"edges": edges, "low": tables("-0.2"), "high": tables("0.1")}


@pytest.mark.parametrize(
    ("spacing", "shape"), [((4, 4, 4), (20, 20, 16)), ((2, 2, 4), (40, 40, 16))]
)
def test_intervals_lie_around_the_translation_on_the_grid_of_the_scan(translator, spacing, shape):
    volume = ball(spacing, shape)
    facts = {"source": VOLUME, "target": VOLUME, "image_size": 32}
    made_of = translator(intervals=intervals(), **facts)
    plain = translate_volume(made_of, volume)
    made = translate_volume(made_of, volume, level=0.9)
    assert plain.interval is None
    assert made.interval is not None
    np.testing.assert_array_equal(made.data, plain.data)
    lower, upper = made.interval
    assert lower.shape == upper.shape == volume.data.shape
    assert (lower <= upper).all()  # resampling overshoots at edges
    core = (made.data > 40) & (made.data < 80)
    assert core.any()
    np.testing.assert_allclose(np.median((made.data - lower)[core]), 10, rtol=0.05)
    np.testing.assert_allclose(np.median((upper - made.data)[core]), 5, rtol=0.05)


def test_intervals_that_cannot_be_had_are_one_line(translator):
    made_of = translator(intervals=intervals())
    check_level(made_of, 0.9)
    check_level(translator(), None)
    for given, level, words in (
        (translator(), 0.9, "run has no calibrated intervals; make them with"),
        (made_of, 0.7, "--interval=0.7: give one of 0.5, 0.8, 0.9, 0.95"),
        (Ensemble((made_of, made_of)), 0.9, "each model has its own; give one --model"),
    ):
        with pytest.raises(InputError, match=words):
            check_level(given, level)
