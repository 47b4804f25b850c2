"""Tests of DICOM series folders, written by SimpleITK."""

import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.affines import apply_affine
from nibabel.loadsave import load
from nibabel.quaternions import quat2mat

from cyclegan_jax.data.formats import dicom, nifti

SLICES = np.random.default_rng(0).integers(0, 900, (4, 6, 5)).astype(np.int16)
OBLIQUE = quat2mat([0.9, 0.1, -0.15, 0.3])
SAGITTAL = np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]])  # P, I, R: rows go down, slices right


@pytest.mark.parametrize("axes", [np.eye(3), OBLIQUE, SAGITTAL], ids=["axial", "oblique", "sag"])
def test_every_voxel_is_where_the_scanner_says(tmp_path, save_series, axes):
    save_series(tmp_path / "s", SLICES, axes=axes)
    volume = dicom.read_series(tmp_path / "s")
    affine = np.asarray(volume.source.affine)
    voxels = np.asarray(volume.source.dataobj)
    for i, j, k in np.ndindex(voxels.shape):
        lps = axes @ [5 + 1.0 * i, -6 + 1.5 * j, 7 + 2.0 * k]
        found = np.linalg.solve(affine[:3, :3], [-lps[0], -lps[1], lps[2]] - affine[:3, 3])
        np.testing.assert_allclose(found, found.round(), atol=1e-4)
        assert voxels[tuple(found.round().astype(int))] == SLICES[k, j, i]
    header = volume.source.header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), affine, atol=1e-5)
    assert header.get_xyzt_units()[0] == "mm"
    canonical = nib.as_closest_canonical(volume.source)
    assert np.array_equal(volume.data, canonical.get_fdata())
    expected = tuple(float(s) for s in canonical.header.get_zooms())
    assert volume.spacing == pytest.approx(expected)
    assert dicom.read_series_spacing(tmp_path / "s") == pytest.approx(volume.spacing)


def test_what_itk_reads_as_a_series_is_the_same(tmp_path, save_series):
    save_series(tmp_path / "s", SLICES, axes=OBLIQUE)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "s"))
    itk = sitk.ReadImage(names)
    volume = dicom.read_series(tmp_path / "s")
    voxels, affine = np.asarray(volume.source.dataobj), np.asarray(volume.source.affine)
    assert np.array_equal(voxels, sitk.GetArrayFromImage(itk).T)
    for index in ((0, 0, 0), (4, 5, 3)):
        lps = np.array(itk.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(apply_affine(affine, index), lps * [-1, -1, 1], atol=1e-3)


def test_written_translation_overlays_the_series(tmp_path, save_series):
    save_series(tmp_path / "s", SLICES, axes=OBLIQUE)
    volume = dicom.read_series(tmp_path / "s")
    nifti.write_volume(tmp_path / "a.nii.gz", volume.data + 1, volume, "words")
    back = nifti.read_nifti(tmp_path / "a.nii.gz")
    assert np.array_equal(back.data, volume.data + 1)
    np.testing.assert_allclose(back.source.affine, volume.source.affine, atol=1e-5)
    header = load(tmp_path / "a.nii.gz").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)


def test_rescaling_and_names_without_suffix(tmp_path, save_series):
    tags = {"0028|1052": "-100", "0028|1053": "2"}  # stored are half the values and 50
    for k, path in enumerate(save_series(tmp_path / "s", SLICES * 2, **tags)):
        path.rename(path.with_name(f"IM{9 - k}"))
    (tmp_path / "s" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "s" / "notes.txt").write_text("no slice")
    (tmp_path / "s" / ".hidden.dcm").touch()
    (tmp_path / "s" / "folder.dcm").mkdir()
    assert dicom.is_series(tmp_path / "s")
    voxels = np.asarray(dicom.read_series(tmp_path / "s").source.dataobj)
    assert np.array_equal(voxels, SLICES.transpose(2, 1, 0) * 2)


@pytest.mark.parametrize("value", ["-2000", "30000", "0", None])
def test_the_header_declares_the_padding_value(tmp_path, save_series, value):
    slices = SLICES.astype(np.uint16 if value == "30000" else np.int16)
    save_series(tmp_path / "s", slices, **({"0028|0120": value} if value else {}))
    volume = dicom.read_series(tmp_path / "s")
    assert volume.padding == (float(value) if value else None)
    assert np.array_equal(np.asarray(volume.source.dataobj), SLICES.transpose(2, 1, 0))


def test_padding_is_one_value_though_slices_differ_in_their_scaling(tmp_path, save_series):
    (tmp_path / "s").mkdir()
    for k, slope in enumerate((1, 2, 1, 3)):
        pixels = SLICES[k : k + 1].astype(np.uint16) * slope  # SimpleITK stores a slope-th of it
        pixels[0, 0] = 20000 * slope
        tags = {"0028|0120": "20000", "0028|1052": "0", "0028|1053": str(slope)}
        place = {"0020|0032": f"5\\-6\\{7 + 2 * k}"}
        (path,) = save_series(tmp_path / "t", pixels, **tags, **place)
        path.rename(tmp_path / "s" / f"{k}.dcm")
    volume = dicom.read_series(tmp_path / "s")
    assert volume.padding == 20000
    voxels = np.asarray(volume.source.dataobj)
    assert (voxels[:, 0] == 20000).all()
    wanted = SLICES.transpose(2, 1, 0)[:, 1:] * [1, 2, 1, 3]
    assert np.array_equal(voxels[:, 1:], wanted)


def test_compressed_files_are_read(tmp_path, save_series):
    big = SLICES.repeat(8, 1).repeat(8, 2)
    plain = save_series(tmp_path / "p", big)
    paths = save_series(tmp_path / "s", big, compressor="JPEG2000")
    assert paths[0].stat().st_size < plain[0].stat().st_size / 2
    voxels = np.asarray(dicom.read_series(tmp_path / "s").source.dataobj)
    assert np.array_equal(voxels[::8, ::8], SLICES.transpose(2, 1, 0))


def without_mark(path, keep_meta: bool) -> bytes:
    """A file of SimpleITK, whose data set is implicit, without preamble, mark and meta elements."""
    whole = path.read_bytes()
    return whole[132:] if keep_meta else whole[whole.index(b"\x08\0\x16\0") :]


@pytest.mark.parametrize("keep_meta", [False, True])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_series_without_preamble_are_read(tmp_path, save_series, suffix, keep_meta):
    for path in save_series(tmp_path / "s", SLICES, axes=OBLIQUE):
        bare = without_mark(path, keep_meta)
        path.unlink()
        path.with_suffix(suffix).write_bytes(bare)
    (tmp_path / "s" / "README").write_text("no slice")
    assert dicom.is_series(tmp_path / "s")
    save_series(tmp_path / "t", SLICES, axes=OBLIQUE)
    marked, bare = (dicom.read_series(tmp_path / name) for name in "ts")
    assert np.array_equal(bare.data, marked.data)
    assert np.array_equal(np.asarray(bare.source.affine), np.asarray(marked.source.affine))


def test_damaged_files_without_preamble(tmp_path, save_series, fails):
    paths = save_series(tmp_path / "s", SLICES)
    bare = without_mark(paths[2], keep_meta=False)
    for content in (bare[:-2], bare[:20], bare[1:], bytes(range(256)) * 20, b"text " * 99):
        paths[2].write_bytes(content)
        with fails(paths[2], "cannot be read as DICOM"):
            dicom.read_series(tmp_path / "s")


def test_slices_that_are_not_fetched_yet(tmp_path, save_series, fails):
    paths = save_series(tmp_path / "s", SLICES)
    paths[2].write_text("/annex/objects/MD5E-s11371238--0123.dcm\n")
    with fails(paths[2], "not fetched yet", "datalad get"):
        dicom.read_series(tmp_path / "s")
    paths[2].unlink()
    paths[2].symlink_to("../.git/annex/objects/Zx/MD5E-s11371238--0123.dcm")
    with fails(paths[2], "not fetched yet", "datalad get"):
        dicom.read_series(tmp_path / "s")


def test_what_is_no_series(tmp_path):
    (tmp_path / "notes.txt").write_text("no slice")
    (tmp_path / "s").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert not dicom.is_series(tmp_path)
    assert not dicom.is_series(tmp_path / "notes.txt")
    assert not dicom.is_series(tmp_path / "gone")
    assert not dicom.is_dicom(tmp_path / "gone")


def test_several_series_are_listed(tmp_path, save_series, fails):
    save_series(tmp_path / "s", SLICES)
    save_series(tmp_path / "s", SLICES[:3], **{"0020|000e": "5.6", "0008|103e": "T2 tse"})
    said = ["2 series", "'T1 head', 4 files, UID 1.2.3.4", "'T2 tse', 3 files, UID 5.6", "own"]
    for read in (dicom.read_series, dicom.read_series_spacing):
        with fails(tmp_path / "s", *said):
            read(tmp_path / "s")


def test_missing_slices(tmp_path, save_series, fails):
    paths = save_series(tmp_path / "s", np.concatenate([SLICES, SLICES]))
    for path in paths[3:5]:
        path.unlink()
    said = ["006.dcm and 003.dcm are 6 mm apart, others 2 mm (about 2 missing, 11.00 mm"]
    with fails(tmp_path / "s", *said, "whole series"):
        dicom.read_series(tmp_path / "s")


def test_uneven_and_repeated_positions(tmp_path, save_series, fails):
    paths = save_series(tmp_path / "s", SLICES)
    extra = save_series(tmp_path / "t", SLICES[:1], step=0.0)[0]
    extra.rename(tmp_path / "s" / "extra.dcm")
    with fails(tmp_path / "s", "004.dcm and extra.dcm lie at one position (7.00 mm", "time point"):
        dicom.read_series(tmp_path / "s")
    (tmp_path / "s" / "extra.dcm").unlink()
    (moved,) = save_series(tmp_path / "u", SLICES[:1], **{"0020|0032": "5\\-6\\9.5"})
    moved.replace(paths[1])
    with fails(tmp_path / "s", "are 2.5 mm apart", "uneven", "whole series"):
        dicom.read_series(tmp_path / "s")


def test_tilted_gantry(tmp_path, save_series, fails):
    for k in range(4):
        place = {"0020|0032": f"5\\{-6 + 0.4 * k}\\{7 + 2 * k}"}
        (path,) = save_series(tmp_path / "t", SLICES[k : k + 1], **place)
        (tmp_path / "s").mkdir(exist_ok=True)
        path.rename(tmp_path / "s" / f"{k}.dcm")
    with fails(tmp_path / "s", "sideways by up to 1.2 mm"):
        dicom.read_series(tmp_path / "s")


@pytest.mark.parametrize(
    ("slices", "options", "words"),
    [
        (SLICES[:1, :5], {}, ["has 5x5 pixels of 1x1.5 mm but", "5x6 pixels"]),
        (SLICES[:1], {"spacing": (1.0, 2.0)}, ["1x2 mm but", "1x1.5 mm"]),
        (SLICES[:1], {"axes": SAGITTAL}, ["another plane", "localiser?"]),
        (SLICES[:1], {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}, ["is a localiser"]),
        (SLICES[:1], {"0008|0060": "CR"}, ["no PixelSpacing"]),
        (np.zeros((1, 6, 5, 3), np.uint8), {}, ["is in colour"]),
    ],
    ids=["size", "spacing", "orientation", "localiser", "no_spacing", "colour"],
)
def test_one_slice_that_does_not_belong(tmp_path, save_series, fails, slices, options, words):
    save_series(tmp_path / "s", SLICES)
    (odd,) = save_series(tmp_path / "t", slices, **options)
    odd = odd.rename(tmp_path / "s" / "odd.dcm")
    with fails(odd, *words):
        dicom.read_series(tmp_path / "s")


def test_single_slice_and_several_frames(tmp_path, save_series, fails):
    save_series(tmp_path / "s", SLICES[:1])
    with fails(tmp_path / "s", "single slice, 001.dcm"):
        dicom.read_series(tmp_path / "s")
    (tmp_path / "m").mkdir()
    image = sitk.GetImageFromArray(SLICES)
    image.SetMetaData("0008|0060", "MR")
    sitk.WriteImage(image, str(tmp_path / "m" / "many.dcm"))
    with fails(tmp_path / "m" / "many.dcm", "multi-frame", "4 frames", "dcm2niix"):
        dicom.read_series(tmp_path / "m")


def test_damaged_files(tmp_path, save_series, fails, capfd):
    paths = save_series(tmp_path / "s", SLICES)
    whole = paths[2].read_bytes()
    for length in (0, 140, len(whole) // 2, len(whole) - 2):
        paths[2].write_bytes(whole[:length])
        with fails(paths[2], "cannot be read as DICOM"):
            dicom.read_series(tmp_path / "s")
    assert capfd.readouterr().err == ""  # the libraries' own warnings would say it twice


def test_constant_series_and_no_series(tmp_path, save_series, fails):
    save_series(tmp_path / "s", np.full((3, 4, 4), 7, np.int16))
    with fails(tmp_path / "s", "every voxel is 7"):
        dicom.read_series(tmp_path / "s")
    (tmp_path / "t").mkdir()
    with fails(tmp_path / "t", "no DICOM file"):
        dicom.read_series(tmp_path / "t")
