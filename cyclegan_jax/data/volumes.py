"""Reading and writing of 2-D images and NIfTI volumes, and intensity normalisation.

An ``InputError`` raised about a file starts with its path and ends with the mend.
"""

import contextlib
import gzip
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Image
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import DTypeLike, NDArray
from PIL import Image, ImageOps

from cyclegan_jax import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii", ".nii.gz")
# RAS+ axes that become (slice, row, column). Rows and columns are both reversed afterwards.
_AXIS_ORDER = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
AXES = tuple(_AXIS_ORDER)
_RAS = axcodes2ornt(("R", "A", "S"))
_JPEG_GREY_TOLERANCE = 2  # grey levels by which chroma rounding can part the channels


class IntensityRange(NamedTuple):
    """Source intensities that are mapped to -1 (``low``) and +1 (``high``)."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as float32 ``[X, Y, Z]`` in RAS+ orientation, and the file it came from."""

    data: NDArray[np.float32]
    source: Nifti1Image


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((s for s in IMAGE_SUFFIXES + VOLUME_SUFFIXES if name.endswith(s)), "")


def is_volume(path: Path) -> bool:
    """Whether the name of ``path`` (which need not exist) ends like a NIfTI volume's."""
    return _suffix(path) in VOLUME_SUFFIXES


def stem(path: Path) -> str:
    """File name without its image or volume suffix: ``a.nii.gz`` gives ``a``."""
    return path.name[: len(path.name) - len(_suffix(path))]


def list_files(folder: Path) -> list[Path]:
    """Supported files directly in ``folder``, sorted by name; of a file, the file itself.

    Hidden files and sub-folders are left out. Raises InputError when the path is missing or
    unreadable, holds no supported file, or holds both images and volumes.
    """
    try:
        entries = [folder] if folder.is_file() else list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give an existing folder or file") from error
    # Not is_file(): a dangling link must fail when it is read, not vanish from the data set.
    visible = [p for p in entries if p == folder or not (p.name.startswith(".") or p.is_dir())]
    files = sorted(p for p in visible if _suffix(p))
    if not files:
        supported = ", ".join(IMAGE_SUFFIXES + VOLUME_SUFFIXES)
        raise InputError(f"{folder}: no supported file (sub-folders not searched); use {supported}")
    if len({is_volume(p) for p in files}) > 1:
        raise InputError(f"{folder}: holds images and volumes; put them into separate folders")
    return files


@contextlib.contextmanager
def _written_beside(path: Path, allowed: tuple[str, ...]) -> Iterator[Path]:
    """Yield a hidden path beside ``path``, renamed to ``path`` only if the block succeeds."""
    if (suffix := _suffix(path)) not in allowed:
        raise InputError(f"{path}: cannot write this kind of file; name it {' or '.join(allowed)}")
    # Same suffix, which decides the format. Not tempfile: its 0600 mode would survive the renaming.
    beside = path.with_name(f".{uuid.uuid4().hex[:12]}{suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot write ({error}); check folder and free space") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def read_image(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read one grey image as uint8 or uint16 ``[H, W]``, turned upright by its EXIF orientation.

    Palette and RGB(A) files are accepted when all their pixels are grey and opaque; 32-bit and
    float files when every value is a whole number in 0..65535 (returned as uint16).
    Raises InputError for a file that is unreadable, truncated, multi-page, coloured or transparent,
    or does not fit 16 bits.
    """
    try:
        # As a stream: by path, Pillow maps raw TIFFs to memory and garbles those to be turned.
        with path.open("rb") as stream, Image.open(stream) as opened:
            kind = opened.format
            pages = getattr(opened, "n_frames", 1)
            raw_mode = str([tile[3] for tile in opened.tile])
            opened.load()  # decodes everything, so that truncation shows here
            image = ImageOps.exif_transpose(opened)
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise InputError(f"{path}: cannot read the image ({error}); re-export it") from error
    if pages > 1:
        raise InputError(f"{path}: has {pages} pages; save volumes as NIfTI, images one per file")
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        # Compared before the cast, which is undefined for NaN and for values outside 16 bits.
        if not np.all((values >= 0) & (values <= 65535) & (values == np.round(values))):
            raise InputError(f"{path}: not all whole numbers in 0..65535; re-export as 16-bit grey")
        return values.astype(np.uint16)
    if ";16" in raw_mode:  # Pillow has silently halved the depth
        raise InputError(f"{path}: 16-bit colour or alpha; re-export it as 16-bit grey")
    if image.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA"):
        raise InputError(f"{path}: pixel type {image.mode}; re-export it as 8- or 16-bit grey")
    channels = np.asarray(image.convert("RGBA"))
    if channels[..., 3].min() < 255:
        raise InputError(f"{path}: is partly transparent; re-export it without alpha")
    spread = np.ptp(channels[..., :3], axis=-1).max()
    if spread > (_JPEG_GREY_TOLERANCE if kind == "JPEG" else 0):
        raise InputError(f"{path}: coloured (channels differ by {spread}); re-export it as grey")
    return np.asarray(Image.fromarray(channels).convert("L"))


def write_image(path: Path, array: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write uint8 or uint16 ``[H, W]`` as PNG, TIFF or JPEG, chosen by the suffix; atomic.

    Raises InputError for an unsupported suffix, 16-bit JPEG, or when the file cannot be written;
    ValueError for another array.
    """
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"need uint8 or uint16 [H, W], got {array.dtype} {array.shape}")
    if array.dtype == np.uint16 and _suffix(path) in (".jpg", ".jpeg"):
        raise InputError(f"{path}: JPEG cannot hold 16 bits; write .png or .tif")
    with _written_beside(path, IMAGE_SUFFIXES) as beside:
        Image.fromarray(np.ascontiguousarray(array)).save(beside)


def read_volume(path: Path) -> Volume:
    """Read a ``.nii`` or ``.nii.gz`` file; its scaling is applied, trailing axes of 1 dropped.

    Raises InputError for a file that is unreadable or truncated, is not 3-D, is RGB or complex, has
    NaN or infinite voxels, is constant, or has an affine without orientation.
    """
    if not is_volume(path):
        raise InputError(f"{path}: not a volume; supported are {', '.join(VOLUME_SUFFIXES)}")
    try:
        if _suffix(path) == ".nii.gz":
            with gzip.open(path) as stream:
                while stream.read(1 << 24):  # nibabel would stop short of the checksum at the end
                    pass
        source = load(path)
        if not isinstance(source, Nifti1Image):  # NIfTI-2 is a subclass
            raise InputError(f"{path}: is {type(source).__name__}; convert it to NIfTI")
        _check_header(path, source)
        with np.errstate(over="ignore"):  # becomes inf, reported below
            data = np.asanyarray(source.dataobj).astype(np.float32)
    except InputError:
        raise
    except Exception as error:  # nibabel and zlib raise nearly anything on damaged files
        cause = " ".join(str(error).split())  # on one line
        raise InputError(f"{path}: cannot read the volume ({cause}); re-export it") from error
    if bad := data.size - np.count_nonzero(np.isfinite(data)):
        raise InputError(f"{path}: {bad} voxels are NaN or infinite; set them to the air value")
    if data.min() == data.max():
        raise InputError(f"{path}: every voxel is {data.flat[0]:g}; give a volume with contrast")
    data = apply_orientation(data.reshape(data.shape[:3]), io_orientation(source.affine))
    return Volume(np.ascontiguousarray(data), source)


def _check_header(path: Path, source: Nifti1Image) -> None:
    shape, kind = source.shape, np.dtype(source.get_data_dtype())
    if len(shape) < 3 or 0 in shape:
        raise InputError(f"{path}: shape {shape} is not a volume; give a 3-D file")
    if any(n != 1 for n in shape[3:]):
        raise InputError(f"{path}: shape {shape} has several frames; extract one frame")
    if kind.fields is not None or kind.kind == "c":
        raise InputError(f"{path}: voxel type {kind} is not a real number; convert it to grey")
    affine = np.asarray(source.affine)
    if not np.isfinite(affine).all() or np.isnan(io_orientation(affine)).any():
        raise InputError(f"{path}: its affine gives no orientation; mend its sform or qform")


def write_volume(path: Path, data: NDArray[np.float32], like: Volume, descrip: str = "") -> None:
    """Write RAS+ ``[X, Y, Z]`` as float32 NIfTI with the geometry of ``like``'s file; atomic.

    Orientation, shape, affine, qform, sform, their codes, zooms and units are the source's, bit for
    bit. Scaling is 1 and 0, cal_min and cal_max are 0, and ``descrip`` (at most 79 bytes of UTF-8)
    replaces the source's description.
    Raises InputError for another suffix or when the file cannot be written; ValueError for data of
    another shape than ``like.data``, non-finite data, or too long a ``descrip``.
    """
    if data.shape != like.data.shape or not np.isfinite(data).all():
        raise ValueError(f"need finite data of shape {like.data.shape}, got {data.shape}")
    if len(descrip.encode()) > 79:
        raise ValueError(f"descrip is over 79 bytes: {descrip!r}")
    header = like.source.header.copy()
    header.set_data_dtype(np.float32)
    header["cal_max"] = header["cal_min"] = 0
    header["descrip"] = descrip.encode()
    to_source = ornt_transform(_RAS, io_orientation(like.source.affine))
    voxels = apply_orientation(data.astype(np.float32), to_source).reshape(like.source.shape)
    # Given the affine that the header already has, nibabel leaves qform and sform untouched. It
    # forgets the source's scaling.
    image = type(like.source)(voxels, like.source.affine, header)
    with _written_beside(path, VOLUME_SUFFIXES) as beside:
        image.to_filename(beside)


def foreground(data: np.ndarray) -> NDArray[np.bool_]:
    """Head mask: voxels more than a tenth of the way from air (1st) to the 99th percentile.

    ``data`` is a whole volume of any shape and units, air darker than tissue. The mask is a plain
    threshold: dark bone and air cavities inside the head are not in it. All False for a constant.
    """
    air, bright = np.percentile(data, (1, 99))
    return data > air + 0.1 * (bright - air)


def volume_range(data: np.ndarray) -> IntensityRange:
    """Robust range of a volume: its 1st percentile (air), the 99.5th of its ``foreground``.

    Raises ValueError when there is no foreground (constant or non-finite data).
    """
    if not (mask := foreground(data)).any():
        raise ValueError("no foreground, the volume has no contrast; give a head on dark air")
    return IntensityRange(float(np.percentile(data, 1)), float(np.percentile(data[mask], 99.5)))


def full_range(dtype: DTypeLike) -> IntensityRange:
    """(0, 255) for uint8, (0, 65535) for uint16; ValueError for another type."""
    high = {"uint8": 255.0, "uint16": 65535.0}.get(np.dtype(dtype).name)
    if high is None:
        raise ValueError(f"no full range for {dtype}")
    return IntensityRange(0.0, high)


def normalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Map source intensities to float32 [-1, 1], clipping what lies outside ``range_``."""
    low, high = map(float, range_)
    return np.clip((array.astype(np.float32) - low) * (2 / (high - low)) - 1, -1, 1)


def denormalise(array: np.ndarray, range_: IntensityRange) -> NDArray[np.float32]:
    """Map [-1, 1] back to float32 source intensities; inverse of ``normalise`` where unclipped."""
    low, high = map(float, range_)
    return (array.astype(np.float32) + 1) * ((high - low) / 2) + low


def to_storage(x: np.ndarray) -> NDArray[np.uint16]:
    """[-1, 1] (clipped) to 0..65535, rounded; an 8-bit value v becomes exactly 257 v.

    Raises ValueError for NaN or infinity, which have no integer.
    """
    if not np.isfinite(x).all():
        raise ValueError("cannot store NaN or infinity")
    return np.round((np.clip(x, -1, 1) + 1) * (65535 / 2)).astype(np.uint16)


def from_storage(u: NDArray[np.uint16]) -> NDArray[np.float32]:
    """0..65535 to float32 [-1, 1]; inverse of ``to_storage``."""
    return normalise(u, full_range(np.uint16))


def to_slices(data: np.ndarray, axis: str) -> np.ndarray:
    """RAS+ ``[X, Y, Z]`` to ``[N, H, W]`` in display orientation, by increasing RAS coordinate.

    axial: anterior at the top, patient right on the left (radiological); coronal: superior at top,
    right on the left; sagittal: superior at top, anterior on the left. InputError: other ``axis``.
    """
    return np.ascontiguousarray(data.transpose(_order(axis))[:, ::-1, ::-1])


def from_slices(slices: np.ndarray, axis: str) -> np.ndarray:
    """Exact inverse of ``to_slices``: ``[N, H, W]`` to RAS+ ``[X, Y, Z]``."""
    return np.ascontiguousarray(slices[:, ::-1, ::-1].transpose(np.argsort(_order(axis))))


def _order(axis: str) -> tuple[int, int, int]:
    if axis not in _AXIS_ORDER:
        raise InputError(f"axis {axis!r}: use one of {', '.join(AXES)}")
    return _AXIS_ORDER[axis]
