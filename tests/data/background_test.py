"""Tests of backgrounds that are not the low end of a volume: treated, refused, or left alone."""

from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax.data import background
from cyclegan_jax.data.formats import nifti, readers
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.intensity import normalise, volume_range
from cyclegan_jax.data.phantom.head import make_phantom

SHAPE = (32, 36, 20)
GRID = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
RADIUS = np.sqrt(np.square(GRID / np.array([12, 14, 9]).reshape(3, 1, 1, 1)).sum(axis=0))
HEAD = RADIUS < 1
OUTSIDE = np.hypot(GRID[0], GRID[1]) > 17  # of a round field of view
RNG = np.random.default_rng(0)


def scan(noise: float = 15) -> np.ndarray:
    """A head of three tissues, 250 to 1000, in air of Rician noise."""
    tissue = np.select([RADIUS < 0.4, RADIUS < 0.8], [250.0, 700.0], 1000.0) * HEAD
    real, imaginary = RNG.normal(0, noise, (2, *SHAPE))
    return np.hypot(tissue + real, imaginary).astype(np.float32)


def skull_stripped() -> np.ndarray:
    return np.where(HEAD, scan(), 0).astype(np.float32)


def z_scored(background: float = 0) -> np.ndarray:
    data = scan()
    return np.where(HEAD, (data - data[HEAD].mean()) / data[HEAD].std(), background).astype("f4")


def uni(fill: float | None = None) -> np.ndarray:
    """The ratio of two noisy images, as MP2RAGE UNI has it; `fill` is outside of a cylinder."""
    shape = (2, *SHAPE)
    one, two = (
        RNG.normal(0, 15, shape) + 1j * RNG.normal(0, 15, shape) + scan(0) * [[[[1]]], [[[-1]]]]
    )
    ratio = np.real(np.conj(one) * two) / (np.abs(one) ** 2 + np.abs(two) ** 2)
    ratio = 4095 * (ratio + 0.5)
    return (ratio if fill is None else np.where(OUTSIDE, fill, ratio)).astype(np.float32)


def volume(data: np.ndarray, padding: float | None = None) -> Volume:
    return Volume(data.astype(np.float32), Nifti1Image(data, np.eye(4)), padding=padding)


def dark(data: np.ndarray, padding: float | None = None) -> Volume:
    return background.with_dark_air(Path("a.nii"), volume(data, padding))


ORDINARY = {
    "scan": scan(),
    "low signal": scan(100),
    "skull-stripped": skull_stripped(),
    "z-scored whole": (scan() - 300) / 250,
    "z-scored, air low": z_scored(background=-3.5),
    "8 bits": np.round(scan() / 4),
    "shifted": scan() - 1024,
    "ringing": skull_stripped() + np.where(HEAD, 0, RNG.normal(0, 8, SHAPE) * (RADIUS < 1.3)),
    "rotated": np.where(OUTSIDE, 0, scan()),
    "labels": np.select([RADIUS < 0.4, RADIUS < 0.8], [3.0, 2.0], 1.0) * HEAD,
    "tight": scan()[10:22, 10:26, 6:14],
    "tight, one side of air": scan()[:22, 10:26, 6:14],
    "one odd voxel": np.where(GRID[0] ** 2 + GRID[1] ** 2 + GRID[2] ** 2 < 1, -9e3, scan()),
    "tiny": RNG.normal(100, 30, (4, 5, 6)),
}


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("padding", [None, 0.0])
def test_ordinary_volumes_are_left_as_they_are(kind, padding):
    given = volume(ORDINARY[kind], padding)
    assert background.with_dark_air(Path("a.nii"), given) is given


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
def test_phantoms_are_left_as_they_are(noise):
    for seed in range(3):
        made = make_phantom(seed, size=48, slices=12, noise=noise)
        for slices in (made.t1, made.t2):
            given = volume(slices)
            assert background.with_dark_air(Path("a.nii"), given) is given


def assert_as_if_air_were_dark(found: Volume, ordinary: np.ndarray, mask: np.ndarray):
    """The voxels of `mask` are air, and the others are as in the ordinary scan."""
    range_ = volume_range(found.data)
    normalised = normalise(found.data, range_)
    wanted = normalise(ordinary, volume_range(ordinary))
    assert (normalised[mask] == -1).all()
    np.testing.assert_allclose(normalised[HEAD], wanted[HEAD], atol=0.02)


@pytest.mark.parametrize("value", [-2000.0, -32768.0, -700.0])
def test_a_padding_value_far_below_is_the_lowest_real_value(value):
    ordinary = scan()
    found = dark(np.where(OUTSIDE, value, ordinary))
    assert (found.data[OUTSIDE] == ordinary[~OUTSIDE].min()).all()
    assert np.array_equal(found.data[~OUTSIDE], ordinary[~OUTSIDE])
    assert found.notes == (f"the padding value {value:g}, which no tissue has, is read as air",)
    assert_as_if_air_were_dark(found, ordinary, OUTSIDE)


def test_padding_that_resampling_smeared():
    ordinary = scan()
    edge = np.roll(OUTSIDE, 1, axis=0) & ~OUTSIDE & ~HEAD
    padded = np.where(OUTSIDE, -2000, np.where(edge, RNG.uniform(-2000, 0, SHAPE), ordinary))
    found = dark(padded)
    assert found.data.min() >= 0
    assert_as_if_air_were_dark(found, ordinary, OUTSIDE)


@pytest.mark.parametrize("value", [63536.0, 4095.0, -1.0])
def test_a_padding_value_that_the_header_declares(value):
    ordinary = scan()
    found = dark(np.where(OUTSIDE, value, ordinary), padding=value)
    assert_as_if_air_were_dark(found, ordinary, OUTSIDE)
    assert np.array_equal(found.data[~OUTSIDE], ordinary[~OUTSIDE])
    assert len(found.notes) == 1
    unused = volume(ordinary, padding=value)
    assert background.with_dark_air(Path("a.nii"), unused) is unused


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_masked_background_amid_the_tissue_is_its_low_end(value):
    stripped = z_scored(value)
    found = dark(stripped)
    assert np.array_equal(found.data[HEAD], stripped[HEAD])
    (note,) = found.notes
    assert f"the background has the value {value:g}" in note
    # the same scan as it would be with dark air; the darkest tissue is air in the one, not here
    normalised = normalise(found.data, volume_range(found.data))
    assert (normalised[~HEAD] == -1).all()
    low, high = np.percentile(stripped[HEAD], (0.1, 99))
    wanted = np.clip(2 * (stripped[HEAD] - low) / (high - low) - 1, -1, 1)
    np.testing.assert_allclose(normalised[HEAD], wanted, atol=0.05)


def test_padding_around_a_masked_background():
    found = dark(np.where(OUTSIDE, -2000, z_scored()))
    assert len(found.notes) == 2
    normalised = normalise(found.data, volume_range(found.data))
    assert (normalised[~HEAD] == -1).all()


@pytest.mark.parametrize("made", [uni(), uni(0), uni(-5000), uni() / 4095 - 0.5])
def test_noise_as_background_is_refused(made, fails):
    with fails(Path("a.nii"), "noise as bright as the head", "UNI", "denoised", "lowest value"):
        dark(made)


def test_noise_that_was_masked_is_ordinary():
    masked = np.where(HEAD, uni(), 0)
    given = volume(masked)
    assert background.with_dark_air(Path("a.nii"), given) is given


@pytest.mark.parametrize("data", [1200 - skull_stripped(), np.where(HEAD, scan(), 5000)])
def test_a_background_brighter_than_the_head_is_refused(data, fails):
    with fails(Path("a.nii"), "background has the value", "brighter than the head", "invert"):
        dark(data)


def test_notes_of_reading_are_kept(tmp_path):
    image = Nifti1Image(z_scored(), np.eye(4))
    image.set_sform(np.eye(4), code=4)
    image.set_qform(np.diag([2.0, 2, 2, 1]), code=1)
    image.to_filename(tmp_path / "a.nii.gz")
    read = readers.read_volume(tmp_path / "a.nii.gz")
    found = background.with_dark_air(tmp_path / "a.nii.gz", read)
    assert [note.split()[0] for note in found.notes] == ["sform", "the"]
    nifti.write_volume(tmp_path / "b.nii.gz", found.data, found)
    assert np.array_equal(nifti.read_nifti(tmp_path / "b.nii.gz").data, found.data)
