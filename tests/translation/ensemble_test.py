"""The mean of several models' translations, and where they differ."""

import subprocess

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.translation.ensemble import (
    MOVES,
    Ensemble,
    check_level,
    ensemble_of,
    translated,
)
from cyclegan_jax.translation.translate_files import translate_file
from cyclegan_jax.translation.volumes import translate_volume

RANGE = {"dtype": "float32", "range": [0.0, 100.0]}


def ball() -> Volume:
    places = np.meshgrid(*[np.arange(16) - 7.5] * 3, indexing="ij")
    radius = np.sqrt(sum(p**2 for p in places))
    data = np.clip(100 - 12 * radius, 0, None).astype(np.float32)
    return Volume(data, Nifti1Image(data, np.eye(4)))


@pytest.fixture
def three(translator):
    """Models that scale their input, along two axes and with two ranges."""

    def scaled(factor):
        return lambda images: ((images + 1) * factor - 1).astype(np.float32)

    other = RANGE | {"range": [0.0, 1000.0]}
    return (
        translator(scaled(0.2), source=RANGE, target=RANGE),
        translator(scaled(0.4), source=RANGE, target=other, axis="coronal"),
        translator(scaled(0.9), source=RANGE, target=RANGE),
    )


def test_the_result_is_the_mean_and_where_models_differ(three):
    volume = ball()
    options = {"resample": True, "cycle_error": True}
    alone = [translate_volume(member, volume, **options) for member in three]
    made = translated(ensemble_of(three), volume, **options)
    ours = np.stack([alone[0].data, alone[1].data / 10, alone[2].data])  # in the range of the first
    np.testing.assert_allclose(made.data, ours.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(made.sd, ours.std(axis=0, ddof=1), atol=1e-4)
    assert made.sd.max() > 10
    errors = np.stack([one.cycle_error for one in alone])
    np.testing.assert_allclose(made.cycle_error, errors.mean(axis=0), atol=1e-6)
    assert made.source_range == alone[0].source_range
    for note in {note for one in alone for note in one.notes}:
        givers = [m.model for m, one in zip(three, alone, strict=True) if note in one.notes]
        wanted = note if len(givers) == 3 else f"{', '.join(givers)}: {note}"
        assert wanted in made.notes
    assert len(made.notes) == len(set(made.notes))


def test_one_model_is_itself(three):
    assert ensemble_of(three[:1]) is three[0]
    made = translated(three[0], ball(), resample=True, cycle_error=False)
    assert made.sd is None


def test_what_is_said_of_the_models(three):
    ensemble = ensemble_of(three)
    assert isinstance(ensemble, Ensemble)
    assert ensemble.model == " + ".join(member.model for member in three)
    assert ensemble.step.count("+") == 2
    assert ensemble.target_range == IntensityRange(0, 100)
    assert "mean of 3 models t1_to_t2" in ensemble.descrip
    assert len(ensemble.descrip) < 80


def test_images_are_averaged(translator):
    pixels = np.random.default_rng(0).integers(1, 255, (12, 14)).astype(np.uint8)
    ensemble = ensemble_of([translator(lambda i: i), translator(lambda i: -i)])
    made, _ = ensemble.image(pixels)
    assert made.dtype == np.uint8
    members = [member.image(pixels)[0].astype(float) for member in ensemble.members]
    np.testing.assert_array_equal(made, np.mean(members, axis=0).round())


def test_files_get_the_standard_deviation_beside_them(three, tmp_path):
    volume = ball()
    volume.source.to_filename(tmp_path / "a_T1.nii.gz")
    translate_file(ensemble_of(three), tmp_path / "a_T1.nii.gz", tmp_path / "a_T2.nii.gz")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a_T1.nii.gz", "a_T2.nii.gz", "a_T2_preview.png", "a_T2_sd.nii.gz"}
    made, sd = (nib.load(tmp_path / f"a_T2{end}.nii.gz") for end in ("", "_sd"))
    np.testing.assert_array_equal(made.affine, sd.affine)
    assert (sd.get_fdata() >= 0).all()
    assert sd.get_fdata().max() > 10


def test_moved_copies_say_where_a_model_minds_the_place(translator):
    """A model that works on each pixel alone does not; one that paints by place does."""
    volume, options = ball(), {"resample": True, "cycle_error": True}
    plain = translator(lambda images: images * 0.5 - 0.5, source=RANGE, target=RANGE)
    moved = ensemble_of([plain], moved=True)
    assert (moved.model, moved.step, moved.descrip) == (plain.model, str(plain.step), plain.descrip)
    made = translated(moved, volume, **options)
    alone = translate_volume(plain, volume, **options)
    np.testing.assert_allclose(made.data, alone.data, atol=1e-4)
    np.testing.assert_allclose(made.cycle_error, alone.cycle_error, atol=1e-6)
    assert made.notes == alone.notes
    assert made.sd.max() < 1e-4

    def by_place(images):
        rows = np.linspace(0, 1, images.shape[1], dtype=np.float32)[:, None, None]
        return (images + 1) * (0.5 + 0.5 * rows) - 1

    made = translated(
        ensemble_of([translator(by_place, source=RANGE, target=RANGE)], moved=True),
        volume,
        **options,
    )
    copies = []
    for down, right in MOVES:
        at_place = translator(
            lambda images, d=down, r=right: np.roll(
                by_place(np.roll(images, (d, r), (1, 2))), (-d, -r), (1, 2)
            ),
            source=RANGE,
            target=RANGE,
        )
        copies.append(translate_volume(at_place, volume, **options).data)
    np.testing.assert_allclose(made.data, np.mean(copies, axis=0), atol=1e-4)
    np.testing.assert_allclose(made.sd, np.std(copies, axis=0, ddof=1), atol=1e-4)
    assert made.sd.max() > 1


def test_moved_copies_are_of_one_plain_model(three):
    with pytest.raises(InputError, match="several models say where they differ already"):
        ensemble_of(three, moved=True)
    with pytest.raises(InputError, match="omit --moved_copies"):
        check_level(ensemble_of(three[:1], moved=True), 0.9)


def test_the_flag_takes_several_models(tmp_path, script):
    data = np.zeros((64, 64, 3), np.int16)
    data[12:52, 8:56] = np.random.default_rng(0).integers(200, 900, (40, 48, 3))
    nib.save(Nifti1Image(data, np.diag([3.6, 3.6, 12, 1])), tmp_path / "a_T1.nii.gz")
    one = ("translate", "--direction=t1_to_t2", "--model=phantom", "a_T1.nii.gz")
    result: subprocess.CompletedProcess[str] = script(tmp_path, *one, "--model=brainweb")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "translated" / "a_T2_sd.nii.gz").exists()
    again = script(tmp_path, *one, "--model=phantom", "--out=once")  # the same twice is one
    assert again.returncode == 0, again.stderr
    assert not (tmp_path / "once" / "a_T2_sd.nii.gz").exists()
