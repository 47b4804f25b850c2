"""Tests of reading and writing 2-D images."""

import os
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from cyclegan_jax.data.formats import images

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY8[0, :3] = 0, 1, 255
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
GREY16[0, :3] = 0, 1, 65535


@pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8", "16"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_image_round_trip(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix}"
    images.write_image(path, array.T)  # transposed: not contiguous
    back = images.read_image(path)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array.T)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg(tmp_path, suffix, fails):
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    path = tmp_path / f"a{suffix}"
    images.write_image(path, smooth)
    assert np.abs(images.read_image(path).astype(int) - smooth).max() <= 4
    Image.fromarray(smooth).convert("RGB").save(path, quality=95)
    assert np.abs(images.read_image(path).astype(int) - smooth).max() <= 4
    with fails(path, "16 bits", ".png"):
        images.write_image(path, GREY16)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "P"])
def test_grey_in_other_modes(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.fromarray(GREY8).convert(mode)
    assert image.mode == mode
    image.save(path)
    assert np.array_equal(images.read_image(path), GREY8)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_image(tmp_path, dtype, fails):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY16.astype(dtype)).save(path)
    back = images.read_image(path)
    assert back.dtype == np.uint16
    assert np.array_equal(back, GREY16)
    bad_values = [-1, 65536] + [0.5, np.nan, np.inf] * (dtype == np.float32)
    for bad in bad_values:
        values = GREY16.astype(dtype)
        values[1, 1] = bad
        Image.fromarray(values).save(path)
        with fails(path, "0..65535", "export it again"):
            images.read_image(path)


@pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8", "16"])
def test_tiff_in_which_0_is_white(tmp_path, array):
    path = tmp_path / "a.tif"
    # Pillow inverts 8 bits itself when it writes, and not 16
    stored = array if array.dtype == np.uint8 else 65535 - array
    Image.fromarray(stored).save(path, tiffinfo={262: 0})
    with Image.open(path) as opened:
        assert isinstance(opened, TiffImageFile)
        assert opened.tag_v2[262] == 0
    back = images.read_image(path)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    Image.fromarray(array).save(path, tiffinfo={262: 1})
    assert np.array_equal(images.read_image(path), array)


def test_floats_in_which_0_is_white(tmp_path, fails):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY16.astype(np.float32)).save(path, tiffinfo={262: 0})
    with fails(path, "0 is white", "export it again"):
        images.read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_exif_orientation(tmp_path, name):
    array = np.zeros((16, 32), np.uint8)
    array[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; to be shown turned clockwise by 90 degrees
    Image.fromarray(array).save(tmp_path / name, exif=exif)
    back = images.read_image(tmp_path / name)
    assert np.array_equal(back > 127, np.rot90(array, -1) > 127)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_coloured(tmp_path, mode, fails):
    rgb = np.repeat(GREY8[..., None], 3, axis=2)
    rgb[2, 2] = 10, 10, 11
    path = tmp_path / "a.png"
    Image.fromarray(rgb).convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    with fails(path, "coloured", "export it again as grey"):
        images.read_image(path)


def test_coloured_jpeg(tmp_path, fails):
    path = tmp_path / "a.jpg"
    for blue, spread in ((100, 2), (102, 5)):  # 2 is what chroma rounding may leave of grey
        Image.new("RGB", (16, 16), (98, 98, blue)).save(path, quality=95)
        decoded = np.asarray(Image.open(path).convert("RGB"))
        assert np.ptp(decoded, axis=-1).max() == spread
        if spread == 2:
            assert (images.read_image(path) == 98).all()
        else:
            with fails(path, "coloured", "differ by 5"):
                images.read_image(path)


def test_transparent(tmp_path, fails):
    path = tmp_path / "a.png"
    alpha = Image.fromarray(GREY8).convert("LA")
    alpha.putpixel((1, 1), (9, 254))
    alpha.save(path)
    with fails(path, "transparent", "without alpha"):
        images.read_image(path)
    Image.fromarray(GREY8).save(path, transparency=255)  # the grey level 255 is see-through
    with fails(path, "transparent"):
        images.read_image(path)


def test_unusable_images(tmp_path, fails):
    path = tmp_path / "a.tif"
    frame = Image.fromarray(GREY8)
    frame.save(path, save_all=True, append_images=[frame])
    with fails(path, "2 pages", "NIfTI"):
        images.read_image(path)
    frame.convert("CMYK").save(path)
    with fails(path, "CMYK", "grey"):
        images.read_image(path)
    frame.save(path, format="BMP")
    with fails(
        path, "cannot read the image (none of PNG, JPEG, TIFF, or damaged); export it again"
    ):
        images.read_image(path)
    with fails(tmp_path / "gone.png", "cannot read", "No such file"):
        images.read_image(tmp_path / "gone.png")


def test_16_bit_colour(tmp_path, fails):
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
        images.read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated_image(tmp_path, suffix, fails):
    path = tmp_path / f"a{suffix}"
    images.write_image(path, RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    whole = path.read_bytes()
    for share in (0.01, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with fails(path, "cannot read", "export it again"):
            images.read_image(path)


def test_write_image_errors(tmp_path, fails):
    with fails(tmp_path / "a.bmp", ".png"):
        images.write_image(tmp_path / "a.bmp", GREY8)
    wrong: Any  # what the type checker would not let pass
    for wrong in (GREY8.astype(np.float32), GREY8.astype(np.int64), GREY8[None]):
        with pytest.raises(ValueError, match="uint8 or uint16"):
            images.write_image(tmp_path / "a.png", wrong)
    assert not list(tmp_path.iterdir())
