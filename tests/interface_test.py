"""The Python interface returns what the command writes, bit for bit."""

import re
import subprocess
import sys
import warnings

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from PIL import Image

import cyclegan_jax
from cyclegan_jax import InputError
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.calibration import calibrate_model
from cyclegan_jax.export.model import export_model
from cyclegan_jax.trained import shipped
from cyclegan_jax.trained.origin import ModelFolder, Run
from cyclegan_jax.training import train
from cyclegan_jax.translation import translate_files

ZOOMS = (9.0, 14.1, 20.0)


@pytest.fixture(scope="module")
def model(tiny_run):
    return cyclegan_jax.load_model(tiny_run)


@pytest.fixture
def command(tiny_run, tmp_path):
    """Translates files as the command does, and returns the folder of the results."""

    def run(*sources, **options):
        out = tmp_path / "out"
        assert (
            translate_files.translate([Run(tiny_run)], Direction.T1_TO_T2, sources, out, **options)
            == 0
        )
        return out

    return run


@pytest.fixture
def quiet():
    """What a user must know is another test's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def save(path, data, axes):
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(axes)), (1, 1, 1))
    image = nib.Nifti1Image(data, from_matvec(turn[:3, :3] @ np.diag(ZOOMS), [-7, 11, 13]))
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(image.affine, 1)
    image.header["descrip"] = b"a scanner"
    image.to_filename(path)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("axes", ["RAS", "PSL"])
def test_volumes(model, command, tmp_path, head, axes, resample):
    path = tmp_path / "a_T1.nii"
    save(path, head(18, 15, 7).astype(np.int16), axes)
    wanted = (command(path, resample=resample) / "a_T2.nii").read_bytes()
    of_path = model.translate(path, "t1_to_t2", resample=resample)
    assert of_path.to_bytes() == wanted
    image = nib.load(path)
    of_image = model.translate(image, direction="t1_to_t2", resample=resample)
    assert of_image.to_bytes() == wanted
    assert of_image.shape == image.shape
    np.testing.assert_array_equal(of_image.affine, image.affine)
    made = np.asarray(of_image.dataobj)
    assert made.std() > 0
    if axes == "RAS":
        given = np.asarray(image.dataobj)
        for array in (given, given.astype(np.float64)):
            found = model.translate(array, "t1_to_t2", spacing=ZOOMS, resample=resample)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, made)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images(model, command, tmp_path, dtype):
    pixels = np.random.default_rng(0).integers(1, 250, (13, 22)).astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with Image.open(command(tmp_path / "a.png") / "a_T2.png") as written:
        wanted = np.asarray(written)
    for scan in (pixels, str(tmp_path / "a.png")):
        found = model.translate(scan, "t1_to_t2")
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, wanted)


def test_a_scan_unlike_those_of_training_is_a_warning_and_strict_refuses_it(
    tiny_run, tmp_path, head
):
    model = cyclegan_jax.load_model(tiny_run)
    path = tmp_path / "a_T1.nii"
    save(path, head(18, 15, 7).astype(np.int16), "RAS")
    image = nib.load(path)
    for scan, options in (
        (path, {}),
        (image, {}),
        (np.asarray(image.dataobj), {"spacing": ZOOMS}),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.translate(scan, "t1_to_t2", **options)
        assert any("than any training scan" in str(w.message) for w in said)
        with pytest.raises(InputError, match="is not like the training scans"):
            model.translate(scan, "t1_to_t2", strict=True, **options)


@pytest.mark.usefixtures("quiet")
def test_a_model_is_loaded_by_folder_by_name_and_by_run(model, tiny_run, tmp_path, monkeypatch):
    export_model(tiny_run, "best", tmp_path / "shipped" / "tiny")
    pixels = np.random.default_rng(1).integers(1, 250, (16, 16)).astype(np.uint8)
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path / "shipped")
    assert cyclegan_jax.models() == ["tiny"]
    for name in ("tiny", tmp_path / "shipped" / "tiny"):
        for direction in ("t1_to_t2", "t2_to_t1"):
            wanted = model.translate(pixels, direction)
            loaded = cyclegan_jax.load_model(name)
            np.testing.assert_array_equal(loaded.translate(pixels, direction), wanted)
    assert (model.name, model.step) == ("run", loaded.step)
    assert cyclegan_jax.load_model(tiny_run, checkpoint=2).step == 2
    with pytest.raises(InputError, match=r"checkpoint=2: .*is no run; omit it"):
        cyclegan_jax.load_model("tiny", checkpoint=2)
    with pytest.raises(InputError, match="there is no such folder"):
        cyclegan_jax.load_model("gone")


def test_what_a_user_must_know_is_a_warning(model, head):
    for resample, words in (
        (True, "the scan was resampled from 5 x 5 x 9 mm"),
        (False, "pixels are 5 x 5 mm but were .* in training"),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model.translate(head(18, 15, 7), "t1_to_t2", spacing=(5, 5, 9), resample=resample)
        assert [w for w in found if re.match(words, str(w.message))]


@pytest.mark.usefixtures("quiet")
def test_intervals_are_those_that_the_command_writes(tiny, tmp_path, head):
    tiny.data.phantom.held_out = 3
    train.train(tiny, tmp_path / "run")
    folder = tmp_path / "tiny"
    export_model(tmp_path / "run", "latest", folder)
    path = tmp_path / "a_T1.nii"
    save(path, head(18, 15, 7).astype(np.int16), "PSL")
    with pytest.raises(InputError, match="has no calibrated intervals"):
        cyclegan_jax.load_model(folder).interval(path, "t1_to_t2")
    calibrate_model(folder)
    way, out = Direction.T1_TO_T2, tmp_path / "out"
    assert translate_files.translate([ModelFolder(folder)], way, [path], out, level=0.8) == 0
    model = cyclegan_jax.load_model(folder)
    for scan in (path, nib.load(path)):
        for end, name in zip(
            model.interval(scan, "t1_to_t2", 0.8), ("lower", "upper"), strict=True
        ):
            written = nib.load(out / f"a_T2_{name}.nii.gz")
            assert end.to_bytes() == written.to_bytes()
    array = head(18, 15, 7)
    lower, upper = model.interval(array, "t1_to_t2", spacing=ZOOMS)
    assert lower.shape == upper.shape == array.shape
    assert (lower <= upper).all()
    assert (lower < upper).any()
    with pytest.raises(InputError, match=r"give one of 0\.5, 0\.8"):
        model.interval(array, "t1_to_t2", 0.7, spacing=ZOOMS)
    with pytest.raises(InputError, match="only volumes have intervals"):
        model.interval(np.ones((16, 16), np.uint8), "t1_to_t2")


CUBE = np.arange(8000, dtype=np.float32).reshape(20, 20, 20)
ERRORS = {
    "direction": (CUBE, {"direction": "T1"}, "direction='T1': give 't1_to_t2' or 't2_to_t1'"),
    "no spacing": (CUBE, {}, r"give spacing=\(x, y, z\), its voxel size in mm"),
    "spacing": (CUBE, {"spacing": (1, 0, 1)}, "give three sizes in mm, above 0"),
    "one spacing": (CUBE, {"spacing": (2,)}, "give three sizes in mm"),
    "frame": (CUBE, {"spacing": (1, 1, 1), "frame": 0}, "frame=0 does not fit the array"),
    "four axes": (CUBE[None], {"spacing": (1, 1, 1)}, r"shape \(1, 20, 20, 20\); give a volume"),
    "complex": (CUBE * 1j, {"spacing": (1, 1, 1)}, "has type complex"),
    "empty": (CUBE[:0], {"spacing": (1, 1, 1)}, r"shape \(0, 20, 20\)"),
    "not finite": (CUBE * np.nan, {"spacing": (1, 1, 1)}, "the array: 8000 voxels are NaN"),
    "constant": (CUBE * 0, {"spacing": (1, 1, 1)}, "the array: every voxel is 0"),
    "float image": (CUBE[0], {}, "give an image as uint8 or uint16"),
    "image with spacing": (CUBE[0].astype(np.uint8), {"spacing": (1, 1, 1)}, "omit it"),
    "other kind": (
        nib.MGHImage(CUBE, np.eye(4)),
        {},
        "the image: is MGHImage; convert it to NIfTI",
    ),
    "no affine": (nib.Nifti1Image(CUBE, None), {}, "neither sform nor qform is set"),
    "other contrast": ("a_T2.nii.gz", {}, "its name says T2, but --direction=t1_to_t2"),
    "list": (["a_T1.nii.gz"], {}, "a list is no scan; give one path, image or array"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_translated_is_one_line(model, case):
    scan, options, words = ERRORS[case]
    with pytest.raises(InputError, match=words) as refused:
        model.translate(scan, **{"direction": "t1_to_t2"} | options)
    assert str(refused.value).isprintable()


def test_listing_models_imports_no_jax():
    code = (
        "import sys, cyclegan_jax; found = cyclegan_jax.models(); assert isinstance(found, list)\n"
        "print('jax' in sys.modules, hasattr(cyclegan_jax, 'no_such_name'))\n"
        "import cyclegan_jax.models.networks as networks\n"
        "assert cyclegan_jax.models() == found and networks.Networks\n"
        "assert callable(cyclegan_jax.load_model)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["False", "False"]
