"""Tests of reading, writing and normalising images and volumes."""

import gzip
import itertools
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.quaternions import quat2mat
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data import volumes as v

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY8[0, :3] = 0, 1, 255
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
GREY16[0, :3] = 0, 1, 65535
SHAPE = (4, 5, 6)
DATA = RNG.normal(100, 30, SHAPE).astype(np.float32)
# Header fields a written volume shares with its source, bit for bit.
GEOMETRY = ["dim_info", "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "intent_code"]
GEOMETRY += ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]
GEOMETRY += ["srow_x", "srow_y", "srow_z", "toffset"]


def fails(path: Path, *words: str):
    """Expect an InputError that names ``path`` and says ``words``."""
    pattern = ".*".join(re.escape(word) for word in (str(path), *words))
    return pytest.raises(InputError, match=pattern)


def save_nifti(path: Path, data: np.ndarray, affine=None, kind=Nifti1Image) -> Path:
    kind(data, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def load_nifti(path: Path) -> Nifti1Image:
    image = load(path)
    assert isinstance(image, Nifti1Image)
    return image


def assert_same_geometry(a: Nifti1Image, b: Nifti1Image):
    for field in GEOMETRY:
        assert a.header[field].tobytes() == b.header[field].tobytes(), field
    assert a.shape == b.shape
    assert np.asarray(a.affine).tobytes() == np.asarray(b.affine).tobytes()


# ---------------------------------------------------------------- files


def test_names():
    assert v.stem(Path("d/a.b.nii.gz")) == "a.b"
    assert v.stem(Path("A.NII")) == "A"
    assert v.stem(Path("s.jpeg")) == "s"
    assert v.stem(Path("plain")) == "plain"
    assert v.is_volume(Path("a.NII.GZ"))
    assert not v.is_volume(Path("a.gz"))
    assert not v.is_volume(Path("a.nii.png"))


def test_list_files(tmp_path):
    for name in ("b.PNG", "a.tif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert v.list_files(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.PNG"]
    assert v.list_files(tmp_path / "a.tif") == [tmp_path / "a.tif"]
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    assert tmp_path / "dangling.png" in v.list_files(tmp_path)


def test_list_files_errors(tmp_path):
    with fails(tmp_path / "gone", "No such file"):
        v.list_files(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with fails(path, "no supported file", ".png", ".nii.gz"):
            v.list_files(path)
    (tmp_path / "a.png").touch()
    (tmp_path / "b.nii").touch()
    with fails(tmp_path, "separate folders"):
        v.list_files(tmp_path)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8", "16"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_image_round_trip(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix}"
    v.write_image(path, array.T)  # transposed: not contiguous
    back = v.read_image(path)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array.T)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg(tmp_path, suffix):
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    path = tmp_path / f"a{suffix}"
    v.write_image(path, smooth)
    assert np.abs(v.read_image(path).astype(int) - smooth).max() <= 4
    Image.fromarray(smooth).convert("RGB").save(path, quality=95)
    assert np.abs(v.read_image(path).astype(int) - smooth).max() <= 4
    with fails(path, "16 bits", ".png"):
        v.write_image(path, GREY16)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "P"])
def test_grey_in_other_modes(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.fromarray(GREY8).convert(mode)
    assert image.mode == mode
    image.save(path)
    assert np.array_equal(v.read_image(path), GREY8)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_image(tmp_path, dtype):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY16.astype(dtype)).save(path)
    back = v.read_image(path)
    assert back.dtype == np.uint16
    assert np.array_equal(back, GREY16)
    bad_values = [-1, 65536] + [0.5, np.nan, np.inf] * (dtype == np.float32)
    for bad in bad_values:
        values = GREY16.astype(dtype)
        values[1, 1] = bad
        Image.fromarray(values).save(path)
        with fails(path, "0..65535", "re-export"):
            v.read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_exif_orientation(tmp_path, name):
    array = np.zeros((16, 32), np.uint8)
    array[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; to be shown turned clockwise by 90 degrees
    Image.fromarray(array).save(tmp_path / name, exif=exif)
    back = v.read_image(tmp_path / name)
    assert np.array_equal(back > 127, np.rot90(array, -1) > 127)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_coloured(tmp_path, mode):
    rgb = np.repeat(GREY8[..., None], 3, axis=2)
    rgb[2, 2] = 10, 10, 11
    path = tmp_path / "a.png"
    Image.fromarray(rgb).convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    with fails(path, "coloured", "re-export it as grey"):
        v.read_image(path)


def test_coloured_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    for blue, spread in ((100, 2), (102, 5)):  # 2 is what chroma rounding may leave of grey
        Image.new("RGB", (16, 16), (98, 98, blue)).save(path, quality=95)
        decoded = np.asarray(Image.open(path).convert("RGB"))
        assert np.ptp(decoded, axis=-1).max() == spread
        if spread == 2:
            assert (v.read_image(path) == 98).all()
        else:
            with fails(path, "coloured", "differ by 5"):
                v.read_image(path)


def test_transparent(tmp_path):
    path = tmp_path / "a.png"
    alpha = Image.fromarray(GREY8).convert("LA")
    alpha.putpixel((1, 1), (9, 254))
    alpha.save(path)
    with fails(path, "transparent", "without alpha"):
        v.read_image(path)
    Image.fromarray(GREY8).save(path, transparency=255)  # the grey level 255 is see-through
    with fails(path, "transparent"):
        v.read_image(path)


def test_unusable_images(tmp_path):
    path = tmp_path / "a.tif"
    frame = Image.fromarray(GREY8)
    frame.save(path, save_all=True, append_images=[frame])
    with fails(path, "2 pages", "NIfTI"):
        v.read_image(path)
    frame.convert("CMYK").save(path)
    with fails(path, "CMYK", "grey"):
        v.read_image(path)
    path.write_text("not an image")
    with fails(path, "cannot read", "re-export"):
        v.read_image(path)
    with fails(tmp_path / "gone.png", "cannot read", "No such file"):
        v.read_image(tmp_path / "gone.png")


def test_16_bit_colour(tmp_path):
    # Pillow cannot write it: a 16-bit RGB PNG by hand.
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(12))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with fails(path, "16-bit colour"):
        v.read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated_image(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    v.write_image(path, RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    whole = path.read_bytes()
    for share in (0.01, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with fails(path, "cannot read", "re-export"):
            v.read_image(path)


def test_write_image_errors(tmp_path):
    with fails(tmp_path / "a.bmp", ".png"):
        v.write_image(tmp_path / "a.bmp", GREY8)
    wrong: Any  # what the type checker would not let pass
    for wrong in (GREY8.astype(np.float32), GREY8.astype(np.int64), GREY8[None]):
        with pytest.raises(ValueError, match="uint8 or uint16"):
            v.write_image(tmp_path / "a.png", wrong)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- volumes

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

    volume = v.read_volume(path)
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
@pytest.mark.parametrize(("qcode", "scode"), [(0, 0), (1, 0), (0, 2), (1, 2), (3, 4)])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1)], ids=str)
def test_oblique_codes_and_singleton(tmp_path, kind, qcode, scode, shape):
    path, out = tmp_path / "a.nii.gz", tmp_path / "b.nii"
    image = kind(DATA.reshape(shape), OBLIQUE)
    other = OBLIQUE.copy()
    other[:3, 3] += 100
    image.set_qform(other, code=qcode)
    image.set_sform(OBLIQUE, code=scode)
    image.to_filename(path)
    volume = v.read_volume(path)
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
    volume = v.read_volume(path)
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
    volume = v.read_volume(path)
    v.write_volume(path, volume.data * 2, volume)
    assert np.array_equal(v.read_volume(path).data, DATA * 2)
    assert np.array_equal(volume.data, DATA)


def test_big_endian(tmp_path):
    header = Nifti1Image.header_class(endianness=">")
    Nifti1Image(DATA, np.eye(4), header).to_filename(tmp_path / "a.nii")
    volume = v.read_volume(tmp_path / "a.nii")
    assert volume.source.header.endianness == ">"
    assert volume.data.dtype.isnative
    v.write_volume(tmp_path / "b.nii", volume.data, volume)
    assert np.array_equal(v.read_volume(tmp_path / "b.nii").data, DATA)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.stack([DATA, DATA], axis=-1), ["(4, 5, 6, 2)", "extract one frame"]),
        (DATA.reshape(*SHAPE, 1, 1).repeat(3, 4), ["(4, 5, 6, 1, 3)", "extract one frame"]),
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
def test_unusable_volumes(tmp_path, data, words):
    path = save_nifti(tmp_path / "a.nii.gz", data)
    with fails(path, *words):
        v.read_volume(path)


def test_volume_without_orientation(tmp_path):
    path = save_nifti(tmp_path / "a.nii", DATA)
    image = load_nifti(path)
    image.header["srow_x"] = 0
    Nifti1Image(DATA, None, image.header).to_filename(path)
    with fails(path, "no orientation", "sform"):
        v.read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_volume(tmp_path, suffix):
    path = save_nifti(tmp_path / f"a{suffix}", DATA)
    whole = path.read_bytes()
    for length in (0, 100, 349, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with fails(path, "cannot read", "re-export"):
            v.read_volume(path)


def test_damaged_volumes(tmp_path):
    path = save_nifti(tmp_path / "a.nii.gz", DATA)
    # Large, so that reading the voxels alone does not come to the checksum at the end.
    whole = bytearray(save_nifti(path, RNG.normal(size=(64, 64, 64))).read_bytes())
    whole[-6] ^= 1
    path.write_bytes(whole)
    with fails(path, "cannot read"):
        v.read_volume(path)
    path.write_bytes(gzip.decompress(save_nifti(tmp_path / "b.nii.gz", DATA).read_bytes()))
    with fails(path, "cannot read"):  # not compressed, whatever its name says
        v.read_volume(path)
    with fails(tmp_path / "gone.nii", "cannot read"):
        v.read_volume(tmp_path / "gone.nii")
    with fails(tmp_path / "a.png", ".nii.gz"):
        v.read_volume(tmp_path / "a.png")


def test_write_volume_errors(tmp_path):
    volume = v.read_volume(save_nifti(tmp_path / "a.nii", DATA))
    with fails(tmp_path / "b.mgz", ".nii.gz"):
        v.write_volume(tmp_path / "b.mgz", DATA, volume)
    bad = DATA.copy()
    bad[0, 0, 0] = np.nan
    for data, descrip in ((bad, ""), (DATA[1:], ""), (DATA, "é" * 40)):
        with pytest.raises(ValueError):  # noqa: PT011 - three messages
            v.write_volume(tmp_path / "b.nii", data, volume, descrip)
    assert os.listdir(tmp_path) == ["a.nii"]


# ---------------------------------------------------------------- atomic writing


def writers(folder: Path):
    volume = v.read_volume(save_nifti(folder / "like.nii", DATA))
    yield "x.png", lambda path: v.write_image(path, GREY8)
    yield "x.jpg", lambda path: v.write_image(path, GREY8)
    yield "x.tif", lambda path: v.write_image(path, GREY16)
    yield "x.nii", lambda path: v.write_volume(path, DATA, volume)
    yield "x.nii.gz", lambda path: v.write_volume(path, DATA, volume)


def test_failed_write_leaves_nothing_new_and_keeps_the_old(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    writer_list = list(writers(tmp_path))
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(os, "replace", full)
    for name, write in writer_list:
        (folder / name).write_text("old")
        with fails(folder / name, "No space left", "free space"):
            write(folder / name)
        assert (folder / name).read_text() == "old"
        (folder / name).unlink()
        with fails(folder / name, "No space left"):
            write(folder / name)
        assert not list(folder.iterdir())


def test_write_stopped_half_way_leaves_nothing(tmp_path, monkeypatch):
    def half(self, path, *args):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    writer_list = list(writers(tmp_path))
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(Image.Image, "save", half)
    monkeypatch.setattr(Nifti1Image, "to_filename", half)
    for name, write in writer_list:
        with pytest.raises(KeyboardInterrupt):
            write(folder / name)
        assert not list(folder.iterdir())


def test_write_where_no_folder_is(tmp_path):
    for name, write in writers(tmp_path):
        for folder in (tmp_path / "like.nii", tmp_path / "gone"):
            with fails(folder / name, "cannot write"):
                write(folder / name)


def test_written_file_is_readable_like_any_other(tmp_path):
    (tmp_path / "plain").touch()
    v.write_image(tmp_path / "a.png", GREY8)
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


# ---------------------------------------------------------------- intensities


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
    assert np.array_equal(v.foreground(data), mask)
    low, high = v.volume_range(data)
    assert low == pytest.approx(shift, abs=5 * scale)
    assert high == pytest.approx(997.5 * scale + shift, abs=5 * scale)


def test_range_ignores_few_outliers_and_finds_a_small_head():
    data, mask = head()
    data[mask.nonzero()[0][0], 12, 12] = 1e6
    assert v.volume_range(data).high < 1001
    small = np.zeros((40, 40, 40))
    small[:4, :4, :4] = 5
    assert v.volume_range(small) == (0, 5)
    assert v.foreground(small).sum() == 64


def test_no_foreground():
    assert not v.foreground(np.full(SHAPE, 3.0)).any()
    for data in (np.full(SHAPE, 3.0), np.full(SHAPE, np.nan)):
        with pytest.raises(ValueError, match="no foreground"):
            v.volume_range(data)


def test_full_range():
    assert v.full_range(np.uint8) == (0, 255)
    assert v.full_range(GREY16.dtype) == (0, 65535)
    with pytest.raises(ValueError, match="float32"):
        v.full_range(np.float32)


def test_normalise_and_denormalise():
    range_ = v.IntensityRange(-20, 180)
    x = v.normalise(np.array([-300, -20, 80, 180, 999]), range_)
    assert x.dtype == np.float32
    assert x.tolist() == [-1, -1, 0, 1, 1]
    inside = np.linspace(-20, 180, 101, dtype=np.float64)
    back = v.denormalise(v.normalise(inside, range_), range_)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, inside, atol=2e-5)
    # Computed ranges arrive as NumPy scalars, which would promote float32 to float64.
    wide = v.IntensityRange(np.float64(-20), np.float64(180))
    assert v.normalise(x, wide).dtype == v.denormalise(x, wide).dtype == np.float32


def test_storage_is_exact():
    eight = np.arange(256, dtype=np.uint8)
    assert np.array_equal(
        v.to_storage(v.normalise(eight, v.full_range(np.uint8))), eight * np.uint16(257)
    )
    sixteen = np.arange(65536, dtype=np.uint16)
    x = v.from_storage(sixteen)
    assert x.dtype == np.float32
    assert x.min() == -1
    assert x.max() == 1
    assert np.array_equal(v.to_storage(x), sixteen)
    assert v.to_storage(np.array([-7.0, 7.0])).tolist() == [0, 65535]
    with pytest.raises(ValueError, match="NaN"):
        v.to_storage(np.array([np.nan]))


# ---------------------------------------------------------------- slices


@pytest.mark.parametrize(("axis", "shape"), [("axial", (6, 5, 4)), ("coronal", (5, 6, 4))])
def test_slices_right_is_on_the_left(axis, shape):
    corner = np.zeros(SHAPE)
    corner[-1, -1, -1] = 1  # right, anterior, superior
    slices = v.to_slices(corner, axis)
    assert slices.shape == shape
    assert np.argwhere(slices).tolist() == [[shape[0] - 1, 0, 0]]


def test_sagittal_slices_anterior_is_on_the_left():
    corner = np.zeros(SHAPE)
    corner[1, -1, -1] = 1
    slices = v.to_slices(corner, "sagittal")
    assert slices.shape == (4, 6, 5)
    assert np.argwhere(slices).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("axis", v.AXES)
def test_slices_show_every_voxel_where_it_belongs(axis):
    x, y, z = np.indices(SHAPE)
    slice_, row, column = {"axial": (z, y, x), "coronal": (y, z, x), "sagittal": (x, z, y)}[axis]
    n = np.arange(v.to_slices(x, axis).shape[0])
    assert np.array_equal(v.to_slices(slice_, axis)[:, 0, 0], n)
    assert (np.diff(v.to_slices(row, axis), axis=1) == -1).all()
    assert (np.diff(v.to_slices(column, axis), axis=2) == -1).all()
    assert np.array_equal(v.from_slices(v.to_slices(DATA, axis), axis), DATA)


def test_unknown_axis():
    for function in (v.to_slices, v.from_slices):
        with pytest.raises(InputError, match=r"'oblique'.*axial, coronal, sagittal"):
            function(DATA, "oblique")
