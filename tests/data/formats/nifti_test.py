"""Tests of reading and writing NIfTI volumes."""

import gzip
import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.quaternions import quat2mat

from cyclegan_jax.data.formats import nifti as v

RNG = np.random.default_rng(0)
SHAPE = (4, 5, 6)
DATA = RNG.normal(100, 30, SHAPE).astype(np.float32)
# All that may differ between the headers of a scan and its translation; other bytes are equal.
NEW = {"datatype", "bitpix", "scl_slope", "scl_inter", "cal_max", "cal_min", "descrip"}


def save_nifti(path: Path, data: np.ndarray, affine=None, kind=Nifti1Image) -> Path:
    kind(data, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def load_nifti(path: Path) -> Nifti1Image:
    image = load(path)
    assert isinstance(image, Nifti1Image)
    return image


def assert_same_geometry(a: Nifti1Image, b: Nifti1Image):
    for field in set(a.header.keys()) - NEW:
        assert a.header[field].tobytes() == b.header[field].tobytes(), field
    assert a.shape == b.shape
    assert np.asarray(a.affine).tobytes() == np.asarray(b.affine).tobytes()


AXIS_ORDERS = [
    [letters[flip] for letters, flip in zip(order, flips, strict=True)]
    for order in itertools.permutations(("RL", "AP", "SI"))
    for flips in itertools.product((0, 1), repeat=3)
]


@pytest.mark.parametrize("codes", AXIS_ORDERS, ids="".join)
def test_geometry_kept_for_every_axis_order(tmp_path, codes):
    path, out = tmp_path / "a.nii", tmp_path / "b.nii.gz"
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), SHAPE)
    affine = np.diag([0.9, 1.1, 2.3, 1]) @ np.linalg.inv(turn)
    affine[:3, 3] += 3.3, -7.7, 0.1
    image = Nifti1Image(DATA, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=2)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_dim_info(0, 2, 1)
    image.to_filename(path)
    assert nib.aff2axcodes(affine) == tuple(codes)

    volume = v.read_nifti(path)
    canonical = nib.as_closest_canonical(image)
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.data, canonical.get_fdata(dtype=np.float32))
    v.write_volume(out, volume.data + 1, volume)
    written = load_nifti(out)
    assert_same_geometry(written, load_nifti(path))
    assert np.array_equal(np.asarray(written.dataobj), DATA + 1)


# Turned about all three axes.
OBLIQUE = from_matvec(quat2mat([0.9, 0.1, -0.15, 0.3]) @ np.diag([-1.0, 2, 3]), [5, 6, 7])


@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize(("qcode", "scode"), [(1, 0), (0, 2), (1, 2), (3, 4)])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1)], ids=str)
def test_oblique_codes_and_singleton(tmp_path, kind, qcode, scode, shape):
    path, out = tmp_path / "a.nii.gz", tmp_path / "b.nii"
    image = kind(DATA.reshape(shape), OBLIQUE)
    other = OBLIQUE.copy()
    other[:3, 3] += 100
    image.set_qform(other, code=qcode)
    image.set_sform(OBLIQUE, code=scode)
    image.to_filename(path)
    volume = v.read_nifti(path)
    assert volume.data.shape == nib.as_closest_canonical(load_nifti(path)).shape[:3]
    v.write_volume(out, volume.data, volume)
    written = load_nifti(out)
    assert type(written) is kind
    assert_same_geometry(written, load_nifti(path))
    assert np.array_equal(np.asarray(written.dataobj), DATA.reshape(shape))


def test_scaling_and_other_fields(tmp_path):
    path, out = tmp_path / "a.nii", tmp_path / "b.nii"
    stored = RNG.integers(-500, 500, SHAPE, dtype=np.int16)
    image = Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.header["cal_max"], image.header["cal_min"] = 900, 100
    image.header["descrip"] = b"the scanner's words"
    image.to_filename(path)  # keeps the stored numbers when slope and intercept are set
    volume = v.read_nifti(path)
    assert np.array_equal(volume.data, stored.astype(np.float32) * 0.5 + 10)
    v.write_volume(out, volume.data, volume, "é" * 39 + "x")
    header = load_nifti(out).header
    raw = Nifti1Image.header_class(out.read_bytes()[:348])  # nibabel hides what it has applied
    assert (float(raw["scl_slope"]), float(raw["scl_inter"])) == (1, 0)
    assert (float(header["cal_max"]), float(header["cal_min"])) == (0, 0)
    assert header.get_data_dtype() == np.float32
    assert bytes(header["descrip"].item()).decode() == "é" * 39 + "x"
    v.write_volume(out, volume.data, volume)
    assert load_nifti(out).header["descrip"].item() == b""


def test_reading_what_was_read_can_be_overwritten(tmp_path):
    path = save_nifti(tmp_path / "a.nii", DATA)
    volume = v.read_nifti(path)
    v.write_volume(path, volume.data * 2, volume)
    assert np.array_equal(v.read_nifti(path).data, DATA * 2)
    assert np.array_equal(volume.data, DATA)


def test_big_endian(tmp_path):
    header = Nifti1Image.header_class(endianness=">")
    Nifti1Image(DATA, np.eye(4), header).to_filename(tmp_path / "a.nii")
    volume = v.read_nifti(tmp_path / "a.nii")
    assert volume.source.header.endianness == ">"
    assert volume.data.dtype.isnative
    v.write_volume(tmp_path / "b.nii", volume.data, volume)
    assert np.array_equal(v.read_nifti(tmp_path / "b.nii").data, DATA)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.stack([DATA, DATA], axis=-1), ["(4, 5, 6, 2)", "2 frames", "--frame"]),
        (DATA.reshape(*SHAPE, 1, 1).repeat(3, 4), ["(4, 5, 6, 1, 3)", "3 frames", "--frame"]),
        (DATA[0], ["(5, 6)", "3-D"]),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), ["not a real number"]),
        (DATA.astype(np.complex64), ["complex64", "not a real number"]),
        (np.full(SHAPE, 7, np.int16), ["every voxel is 7", "contrast"]),
        (np.where(np.arange(6) < 2, np.nan, DATA), ["40 voxels", "NaN", "air"]),
        (np.where(np.arange(6) < 1, -np.inf, DATA), ["20 voxels", "infinite"]),
        (np.where(np.arange(6) < 1, 1e300, DATA.astype(float)), ["20 voxels", "infinite"]),
    ],
    ids=["frames", "frames5", "2d", "rgb", "complex", "constant", "nan", "inf", "overflow"],
)
def test_unusable_volumes(tmp_path, data, words, fails):
    path = save_nifti(tmp_path / "a.nii.gz", data)
    with fails(path, *words):
        v.read_nifti(path)


def test_volume_without_orientation(tmp_path, fails):
    path = save_nifti(tmp_path / "a.nii", DATA)
    image = load_nifti(path)
    image.header["srow_x"] = 0
    Nifti1Image(DATA, None, image.header).to_filename(path)
    with fails(path, "no orientation", "sform"):
        v.read_nifti(path)


def test_volume_without_affine(tmp_path, fails):
    image = Nifti1Image(DATA, np.eye(4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    image.to_filename(tmp_path / "a.nii")
    for read in (v.read_nifti, v.read_nifti_spacing):
        with fails(tmp_path / "a.nii", "neither sform nor qform", "set_sform(affine, code=1)"):
            read(tmp_path / "a.nii")


def save_two_affines(path: Path, qform: np.ndarray, sform_code: int = 4) -> Path:
    """A file whose sform is ``OBLIQUE``."""
    image = Nifti1Image(DATA, OBLIQUE)
    image.set_qform(qform, code=1)
    image.set_sform(OBLIQUE, code=sform_code)
    image.to_filename(path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.diag([-1, -1, 1, 1]), "qform (RPS, 1 x 2 x 3 mm)"),
        (np.diag([-1, 1, 1, 1]), "qform (RAS, 1 x 2 x 3 mm)"),
        (np.diag([1, 1.02, 1, 1]), "qform (LAS, 1 x 2.04 x 3 mm)"),
        (from_matvec(quat2mat([np.cos(0.5), 0, 0, np.sin(0.5)])), "qform ("),  # by 57 degrees
    ],
    ids=["flipped", "mirrored", "voxels", "turned"],
)
def test_affines_that_disagree(tmp_path, fails, change, said):
    scale = np.diag([1, 2, 3, 1])  # the change is one of the voxels' own axes, in mm
    qform = OBLIQUE @ np.linalg.inv(scale) @ change @ scale
    path = save_two_affines(tmp_path / "a.nii", qform, sform_code=1)
    with fails(path, "sform (LAS, 1 x 2 x 3 mm)", said, "disagree, though both have code 1"):
        v.read_nifti(path)
    path = save_two_affines(tmp_path / "b.nii", qform, sform_code=4)
    volume = v.read_nifti(path)
    (note,) = volume.notes
    assert "sform (MNI) and qform (scanner) differ" in note
    assert "the sform is used" in note
    assert ("left and right" in note) == (np.linalg.det(change) < 0)
    assert np.array_equal(np.asarray(volume.source.affine), np.asarray(load_nifti(path).affine))
    assert volume.spacing == pytest.approx((1, 2, 3), rel=1e-5)
    v.write_volume(tmp_path / "c.nii", volume.data, volume)
    assert_same_geometry(load_nifti(tmp_path / "c.nii"), load_nifti(path))


@pytest.mark.parametrize("quaternion", [(np.nan, 0, 0), (2, 2, 0)], ids=["nan", "long"])
def test_damaged_qform(tmp_path, fails, quaternion):
    path = save_two_affines(tmp_path / "a.nii", OBLIQUE)
    image = load_nifti(path)
    names = "quatern_b", "quatern_c", "quatern_d", "vox_offset"  # which nibabel forgets
    for name, value in zip(names, (*quaternion, 352), strict=True):
        image.header[name] = value
    header = image.header.binaryblock
    path.write_bytes(header + path.read_bytes()[len(header) :])
    with fails(path, "qform is damaged", "its code to 0"):
        v.read_nifti(path)


@pytest.mark.parametrize("codes", ["RAS", "PSR", "LIP"])
def test_corners_do_not_depend_on_the_files_axes(tmp_path, codes):
    image = Nifti1Image(DATA, from_matvec(np.diag([2.0, 3, 4]), [-3, 5, 7]))
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(codes)))
    turned = image.as_reoriented(turn)
    turned.set_sform(turned.affine, code=1)
    turned.to_filename(tmp_path / "a.nii")
    corners = v.read_nifti(tmp_path / "a.nii").corners
    np.testing.assert_allclose(corners[0], [-3, 5, 7])
    np.testing.assert_allclose(corners[-1], [-3 + 2 * 3, 5 + 3 * 4, 7 + 4 * 5])


def test_affines_may_differ_by_a_shift_and_a_turn(tmp_path):
    turn = from_matvec(quat2mat([np.cos(0.2), np.sin(0.2), 0, 0]), [30, -20, 10])
    path = save_two_affines(tmp_path / "a.nii", turn @ OBLIQUE)
    volume = v.read_nifti(path)
    assert not volume.notes
    v.write_volume(tmp_path / "b.nii", volume.data, volume)
    assert_same_geometry(load_nifti(tmp_path / "b.nii"), load_nifti(path))


@pytest.mark.parametrize("shape", [(1, *SHAPE), (1, *SHAPE, 1), (1, 1, *SHAPE)], ids=str)
@pytest.mark.parametrize("frame", [None, 0])
def test_a_leading_axis_of_1_is_dropped(tmp_path, shape, frame):
    affine = from_matvec([[0, 0, -4.0], [2, 0, 0], [0, -3, 0]], [1, 2, 3])  # axes A, I, L
    plain = v.read_nifti(save_nifti(tmp_path / "a.nii", DATA, affine))
    path = save_nifti(tmp_path / "b.nii", DATA.reshape(shape), affine)
    volume = v.read_nifti(path, frame)
    assert np.array_equal(volume.data, plain.data)
    assert volume.spacing == plain.spacing == v.read_nifti_spacing(path)
    np.testing.assert_array_equal(volume.corners, plain.corners)
    v.write_volume(tmp_path / "c.nii", volume.data + 1, volume)
    written = load_nifti(tmp_path / "c.nii")
    assert_same_geometry(written, load_nifti(path))
    assert np.array_equal(np.asarray(written.dataobj), DATA.reshape(shape) + 1)


def test_frames_behind_a_leading_axis_of_1(tmp_path, fails):
    frames = np.stack([DATA, DATA + 1], axis=-1)[None]
    path = save_nifti(tmp_path / "a.nii", frames)
    assert np.array_equal(v.read_nifti(path, 1).data, DATA + 1)
    with fails(path, "2 frames", "--frame"):
        v.read_nifti(path)
    single = save_nifti(tmp_path / "b.nii", DATA[None])
    with fails(single, "no frame 1", "omit --frame"):
        v.read_nifti(single, 1)
    assert v.read_nifti(save_nifti(tmp_path / "c.nii", DATA[:1])).data.shape == (1, 5, 6)


@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_content_says_whether_it_is_compressed(tmp_path, kind, name):
    other = "b.nii.gz" if name == "a.nii" else "b.nii"
    right = save_nifti(tmp_path / other, np.stack([DATA, DATA + 1], axis=-1), OBLIQUE, kind)
    path = right.rename(tmp_path / name)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".nii")
    volume = v.read_nifti(path, 1)
    assert type(volume.source) is kind
    canonical = nib.as_closest_canonical(kind(DATA + 1, OBLIQUE))
    assert np.array_equal(volume.data, canonical.get_fdata())
    assert v.read_nifti_spacing(path) == volume.spacing
    v.write_volume(tmp_path / f"c{name}", volume.data, volume)
    assert np.array_equal(v.read_nifti(tmp_path / f"c{name}").data, volume.data)


def test_misnamed_volumes_are_checked_as_others(tmp_path, fails, monkeypatch):
    path = save_nifti(tmp_path / "b.nii.gz", DATA).rename(tmp_path / "a.nii")
    whole = path.read_bytes()
    for length in (2, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with fails(path, "cannot read", "export it again"):
            v.read_nifti(path)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with fails(path, "inflates to"):
        v.read_nifti(path)
    path.write_bytes(whole)
    monkeypatch.setattr(v.limits, "MOST_HEADER", 352)
    monkeypatch.setattr(v.limits, "MOST_VOXELS", DATA.size // 4)
    monkeypatch.setattr(v.limits, "check_declared", lambda *_: None)
    with fails(path, "is a .nii.gz file named .nii; rename it"):
        v.read_nifti(path)


@pytest.mark.parametrize("shape", [(*SHAPE, 3), (*SHAPE, 1, 3)], ids=str)
def test_one_of_several_frames(tmp_path, fails, shape):
    frames = [DATA, DATA + 1, DATA + 2]
    image = Nifti1Image(np.stack(frames, axis=-1).reshape(shape), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "a.nii.gz")
    volume = v.read_nifti(tmp_path / "a.nii.gz", frame=1)
    v.write_volume(tmp_path / "b.nii", volume.data, volume)
    single = Nifti1Image(frames[1], OBLIQUE)
    single.set_qform(OBLIQUE, code=1)
    single.header.set_xyzt_units("mm", "sec")
    single.to_filename(tmp_path / "c.nii")
    written = load_nifti(tmp_path / "b.nii")
    assert_same_geometry(written, load_nifti(tmp_path / "c.nii"))
    assert np.array_equal(np.asarray(written.dataobj), frames[1])
    for wrong in (3, -1):
        with fails(tmp_path / "a.nii.gz", f"no frame {wrong}", "--frame=0 to --frame=2"):
            v.read_nifti(tmp_path / "a.nii.gz", frame=wrong)
    assert np.array_equal(v.read_nifti(tmp_path / "c.nii", frame=0).data, volume.data)


def test_spacing_is_along_ras(tmp_path):
    affine = from_matvec([[0, 0, -4.0], [2, 0, 0], [0, -3, 0]], [1, 2, 3])  # axes A, I, L
    path = save_nifti(tmp_path / "a.nii.gz", DATA, affine)
    assert v.read_nifti_spacing(path) == v.read_nifti(path).spacing == (4, 2, 3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_volume(tmp_path, suffix, fails):
    path = save_nifti(tmp_path / f"a{suffix}", DATA)
    whole = path.read_bytes()
    for length in (0, 100, 349, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with fails(path, "cannot read", "export it again"):
            v.read_nifti(path)


def test_damaged_volumes(tmp_path, fails):
    path = save_nifti(tmp_path / "a.nii.gz", DATA)
    # Large, so that reading the voxels alone does not come to the checksum at the end.
    whole = bytearray(save_nifti(path, RNG.normal(size=(64, 64, 64))).read_bytes())
    whole[-6] ^= 1
    path.write_bytes(whole)
    with fails(path, "cannot read"):
        v.read_nifti(path)
    for name, said in (("gone.nii", "cannot read"), ("a.png", ".nii.gz")):
        with fails(tmp_path / name, said):
            v.read_nifti(tmp_path / name)


def test_write_volume_errors(tmp_path, fails):
    volume = v.read_nifti(save_nifti(tmp_path / "a.nii", DATA))
    with fails(tmp_path / "b.mgz", ".nii.gz"):
        v.write_volume(tmp_path / "b.mgz", DATA, volume)
    bad = np.where(DATA > 100, np.nan, DATA)
    for data, descrip in ((bad, ""), (DATA[1:], ""), (DATA, "é" * 40)):
        with pytest.raises(ValueError):  # noqa: PT011 - three messages
            v.write_volume(tmp_path / "b.nii", data, volume, descrip)
    assert os.listdir(tmp_path) == ["a.nii"]
