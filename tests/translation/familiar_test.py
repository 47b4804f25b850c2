"""Scans are compared with those of training before they are translated; --strict refuses."""

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data import slicing
from cyclegan_jax.data.familiarity import limits_of
from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.data.scan_measures import measure, measure_volume
from cyclegan_jax.translation import translate_files as t
from cyclegan_jax.translation.ensemble import Ensemble

VOXEL = (8.0, 7.0, 7.0)
VOLUME = {"dtype": "float32", "range": [0.0, 400.0]}


def head(number: int, domain: str = "x") -> np.ndarray:
    made = make_phantom(number, size=32, slices=10, lesions=False, noise=0.02, bias=0.1)
    return made.t1 if domain == "x" else made.t2


@pytest.fixture(scope="module")
def trained():
    return {
        domain: limits_of(
            [measure_volume(head(n, domain), VOXEL) for n in range(12)], "volume", VOXEL, VOXEL
        )
        for domain in "xy"
    }


@pytest.fixture
def made_of(translator, trained):
    def make(**changed):
        facts = {"source": VOLUME, "target": VOLUME, "image_size": 32, "training_scans": trained}
        return translator(**{**facts, **changed})

    return make


def save(path, slices: np.ndarray, descrip: str = "", voxel=VOXEL):
    affine = np.diag([voxel[2], voxel[1], voxel[0], 1.0])
    image = Nifti1Image(slicing.from_slices(slices, "axial").astype(np.float32), affine)
    image.header["descrip"] = descrip.encode()
    image.set_sform(affine, 1)
    image.to_filename(path)
    return path


def test_a_scan_like_those_of_training_gets_no_note(made_of, tmp_path):
    scan = save(tmp_path / "scan.nii", head(40))
    assert t.translate_file(made_of(), scan, tmp_path / "a_T2.nii.gz", strict=True) == []


@pytest.mark.parametrize("voxel", [VOXEL, (8.0, 3.5, 3.5)])
def test_another_contrast_is_a_note_and_strict_refuses_it(made_of, tmp_path, fails, voxel):
    fine = head(40, "y").repeat(round(7 / voxel[1]), axis=1).repeat(round(7 / voxel[2]), axis=2)
    scan, target = save(tmp_path / "scan.nii", fine, voxel=voxel), tmp_path / "a_T2.nii.gz"
    with fails(scan, "is not like the training scans", "more like a T2 scan", "omit --strict"):
        t.translate_file(made_of(), scan, target, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii"]
    notes = t.translate_file(made_of(), scan, target)
    assert "more like a T2 scan than a T1 scan" in notes[0]
    assert target.exists()


def test_a_model_that_does_not_know_its_training_scans_says_nothing(made_of, tmp_path):
    scan = save(tmp_path / "scan.nii", head(40, "y"))
    for known in ({}, {"x": {}, "y": {}}):
        unknown = made_of(training_scans=known)
        assert t.translate_file(unknown, scan, tmp_path / "a_T2.nii.gz", strict=True) == []


def test_what_this_program_made_is_called_a_translation(made_of, tmp_path, fails):
    scan = save(tmp_path / "scan.nii", head(40), "cyclegan_jax 0.1.0 run t2_to_t1 step 7")
    with fails(scan, "this program made it"):
        t.translate_file(made_of(), scan, tmp_path / "a_T2.nii.gz", strict=True)


def test_each_model_of_several_speaks_for_itself(made_of, tmp_path):
    scan = save(tmp_path / "scan.nii", head(40, "y"))
    other = made_of(model="other", training_scans={})
    notes = t.translate_file(Ensemble((made_of(), other)), scan, tmp_path / "a_T2.nii.gz")
    assert notes[0].startswith("run: intensities in the head more like a T2 scan")
    alike = Ensemble((made_of(), made_of(model="other")))
    notes = t.translate_file(alike, scan, tmp_path / "a_T2.nii.gz")
    assert notes[0].startswith("intensities in the head more like a T2 scan")


def test_images_are_compared_with_images_and_volumes_are_not(translator, made_of, tmp_path):
    def image(number, domain):
        data = head(number, domain)[5]
        return (255 * data / data.max()).astype(np.uint8)

    images = {
        d: limits_of(
            [measure(2 / 255 * image(n, d)[None].astype(np.float32) - 1) for n in range(12)],
            "image",
            None,
            None,
        )
        for d in "xy"
    }
    of_images = translator(image_size=32, training_scans=images)
    for domain, strange in (("x", False), ("y", True)):
        t.images.write_image(tmp_path / "a.png", image(40, domain))
        notes = t.translate_file(of_images, tmp_path / "a.png", tmp_path / "out.png")
        assert any("more like a T2" in note for note in notes) is strange
    with pytest.raises(InputError, match=r"a\.png: is not like"):
        t.translate_file(of_images, tmp_path / "a.png", tmp_path / "out.png", strict=True)
    scan = save(tmp_path / "scan.nii", head(40, "y"))
    of_volumes = made_of(training_scans=images)
    assert t.translate_file(of_volumes, scan, tmp_path / "a_T2.nii.gz", strict=True) == []
