"""Reads and writes 2-D images."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.system.files import written_beside

LOSSLESS, JPEG = (".png", ".tif", ".tiff"), (".jpg", ".jpeg")  # suffixes
# These are not all that Pillow knows: for PostScript it would run another program.
_FORMATS = ("PNG", "JPEG", "TIFF")
_TILE_SIDES, _PHOTOMETRIC = (322, 323), 262  # TIFF's tags
_WHITE_IS_ZERO = 0
_JPEG_GREY_TOLERANCE = 2  # grey levels by which rounding of the chroma lets channels differ


def read_image(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Reads one grey image as uint8 or uint16 ``[H, W]``, turned upright by its EXIF orientation.

    A TIFF in which 0 is white is inverted, so that its background is dark. Palette and RGB(A) files
    are accepted if all their pixels are grey and opaque; 32-bit and float files are accepted if
    every value is a whole number in 0..65535 (returned as uint16).
    Raises InputError for a file that is unreadable, truncated, multi-page, coloured or transparent,
    that does not fit 16 bits, or that declares more pixels than ``limits.MOST_PIXELS``.
    """
    with (
        limits.reading(path, "image", "export it again"),
        path.open("rb") as stream,  # by path, Pillow maps raw TIFFs to memory and garbles some
        _open(stream) as opened,
    ):
        limits.check_declared(path, opened.size, limits.MOST_PIXELS)
        tags = getattr(opened, "tag_v2", {})
        if tile := [tags[side] for side in _TILE_SIDES if side in tags]:
            limits.check_declared(
                path, tile, limits.MOST_PIXELS
            )  # decoded whole, whatever part of it lies in the image
        kind = opened.format
        pages = getattr(opened, "n_frames", 1)
        white_is_zero = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        raw_mode = str([tile[3] for tile in opened.tile])
        opened.load()  # decodes everything, so that truncation shows here
        image = ImageOps.exif_transpose(opened)
    if pages > 1:
        raise InputError(f"{path}: has {pages} pages; save volumes as NIfTI, images one per file")
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if white_is_zero and ";16" not in image.mode:
            raise InputError(f"{path}: 32 bits in which 0 is white; export it again, 0 as black")
        # Compared before the cast, which is undefined for NaN and for values outside 16 bits.
        if not np.all((values >= 0) & (values <= 65535) & (values == np.round(values))):
            raise InputError(
                f"{path}: not all values are whole numbers in 0..65535; export it again as "
                "16-bit grey"
            )
        # Pillow inverts such files of up to 8 bits only.
        return (65535 - values if white_is_zero else values).astype(np.uint16)
    if ";16" in raw_mode:  # Pillow has silently halved the depth
        raise InputError(f"{path}: 16-bit colour or alpha; export it again as 16-bit grey")
    if image.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(f"{path}: pixel type {image.mode}; export it again as 8- or 16-bit grey")
    channels = np.asarray(image.convert("RGBA"))
    if channels[..., 3].min() < 255:
        raise InputError(f"{path}: is partly transparent; export it again without alpha")
    spread = np.ptp(channels[..., :3], axis=-1).max()
    if spread > (_JPEG_GREY_TOLERANCE if kind == "JPEG" else 0):
        raise InputError(f"{path}: coloured (channels differ by {spread}); export it again as grey")
    return np.asarray(Image.fromarray(channels).convert("L"))


def _open(stream: BinaryIO) -> ImageFile.ImageFile:
    try:
        return Image.open(stream, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"none of {', '.join(_FORMATS)}, or damaged") from None


def write_image(path: Path, array: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Writes uint8 or uint16 ``[H, W]`` as PNG, TIFF or JPEG, chosen by the suffix.

    The file is replaced whole or not at all. Raises InputError for an unsupported suffix, 16-bit
    JPEG, or a file that cannot be written; raises ValueError for another array.
    """
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"need uint8 or uint16 [H, W], got {array.dtype} {array.shape}")
    if array.dtype == np.uint16 and path.name.lower().endswith(JPEG):
        raise InputError(f"{path}: JPEG cannot hold 16 bits; write .png or .tif")
    with written_beside(path, LOSSLESS + JPEG) as beside:
        Image.fromarray(np.ascontiguousarray(array)).save(beside)
