"""Reads NIfTI volumes in RAS+ orientation, and writes volumes with the geometry of a source."""

import contextlib
import gzip
import io
import math
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.loadsave import load
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats.orientation import Volume, affine_spacing, to_canonical
from cyclegan_jax.data.intensity import check_values
from cyclegan_jax.system.files import written_beside

SUFFIXES = (".nii", ".nii.gz")
_GZIP = b"\x1f\x8b"
_NIFTI_1 = (b"\x5c\1\0\0", b"\0\0\1\x5c")  # a header's length, 348, in either byte order
_RAS = axcodes2ornt(("R", "A", "S"))
_SPACES = {1: "scanner", 2: "aligned to another scan", 3: "Talairach", 4: "MNI", 5: "template"}


def read_nifti(path: Path, frame: int | None = None) -> Volume:
    """Reads a ``.nii`` or ``.nii.gz`` file, applies its scaling and drops axes of 1.

    Its content says whether it is compressed, whatever its name. Leading axes of 1 before three
    others, as programs write that put channels first, are dropped; the affine is that of the other
    axes. Where sform and qform lead to different spaces, the sform is used, with a note.
    ``frame`` (from 0) picks one of a file of several; the source is then that frame's 3-D image.
    Raises InputError for a file that is unreadable or truncated; that has several frames while
    ``frame`` is None, or no such frame; that is RGB or complex, constant, or has NaN or infinite
    voxels; that has no affine (neither sform nor qform), an affine without orientation, or two that
    disagree about one space; that declares frames of more than ``limits.MOST_VOXELS``, or less than
    it inflates to.
    """
    with _reading(path):
        source = _open(path)
        _check_length(path, source)
        return _volume(path, source, frame)


def as_volume(name: Path, image: SpatialImage, frame: int | None = None) -> Volume:
    """Returns a nibabel image as the volume that ``read_nifti`` reads from its file.

    ``name`` stands for it in messages. Raises InputError as ``read_nifti`` does.
    """
    with _reading(name):
        source = _nifti(name, image)
        limits.check_declared(name, _axes(source.shape)[0], limits.MOST_VOXELS)
        return _volume(name, source, frame)


def _volume(path: Path, source: Nifti1Image, frame: int | None) -> Volume:
    spatial, frames = _axes(source.shape)
    index = _frame_index(path, source.shape, frames, frame)
    if math.prod(frames) > 1:
        source = source.slicer[(..., *index)]
    with np.errstate(over="ignore"):  # too large becomes inf, reported below
        data = np.asanyarray(source.dataobj).astype(np.float32)
    check_values(path, data)
    affine = np.asarray(source.affine)
    notes = _affine_notes(source.header)
    return Volume(to_canonical(data.reshape(spatial), affine), source, notes)


def read_nifti_spacing(path: Path) -> tuple[float, float, float]:
    """Returns the voxel size in mm along X, Y and Z of RAS+, from the header alone.

    Raises InputError as ``read_nifti`` does about headers.
    """
    with _reading(path):
        return affine_spacing(np.asarray(_open(path).affine))


def _reading(path: Path) -> contextlib.AbstractContextManager[None]:
    return limits.reading(path, "volume", "export it again")


def _axes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the lengths of the axes of space, and of those of frames, which come after them."""
    first = next((axis for axis, n in enumerate(shape) if n > 1), 0)
    if len(shape) < first + 3 or min(shape[first : first + 3]) == 1:  # a slice, not channels
        first = 0
    return shape[first : first + 3], shape[first + 3 :]


def _frame_index(
    path: Path, shape: tuple[int, ...], axes: tuple[int, ...], frame: int | None
) -> tuple[Any, ...]:
    """Returns where `frame` lies on the `axes` of frames."""
    frames = math.prod(axes)
    if frame is None and frames > 1:
        raise InputError(
            f"{path}: shape {shape} has {frames} frames; pick one with --frame, or save one "
            "as a 3-D file"
        )
    if frame is not None and not 0 <= frame < frames:
        what_to_do = (
            f"give --frame=0 to --frame={frames - 1}" if frames > 1 else "it is 3-D, omit --frame"
        )
        raise InputError(f"{path}: has no frame {frame}; {what_to_do}")
    return np.unravel_index(frame or 0, axes, "F")


def _open(path: Path) -> Nifti1Image:
    if not path.name.lower().endswith(SUFFIXES):
        raise InputError(f"{path}: not a volume; supported are {', '.join(SUFFIXES)}")
    kind, most = _check_declared(path)
    if _is_gzip(path) == path.name.lower().endswith(".gz"):
        source = load(path)
    else:  # nibabel goes by the name
        source = _load_misnamed(path, kind, most)
    return _nifti(path, source)


def _nifti(path: Path, source: Any) -> Nifti1Image:
    if not isinstance(source, Nifti1Image):  # NIfTI-2 is a subclass
        raise InputError(f"{path}: is {type(source).__name__}; convert it to NIfTI")
    _check_header(path, source)
    return source


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


def _stream(path: Path) -> BinaryIO:
    """Opens a file for its inflated content."""
    return cast(BinaryIO, gzip.open(path)) if _is_gzip(path) else path.open("rb")


def _load_misnamed(path: Path, kind: type[Nifti1Image], declared: int) -> Any:
    """Reads a file of `declared` bytes whose name says wrongly whether it is compressed."""
    most = limits.MOST_HEADER + 8 * limits.MOST_VOXELS
    if declared > most:
        wanted, unwanted = (".nii.gz", ".nii") if _is_gzip(path) else (".nii", ".nii.gz")
        raise InputError(f"{path}: is a {wanted} file named {unwanted}; rename it")
    with _stream(path) as stream:
        return kind.from_bytes(stream.read(declared))


def _check_declared(path: Path) -> tuple[type[Nifti1Image], int]:
    """Refuses a header that would take too much memory; nibabel reads any declared extension.

    Returns the kind of the image, and the bytes that its header declares.
    """
    with _stream(path) as stream:
        kind = Nifti1Image if stream.read(4) in _NIFTI_1 else Nifti2Image
        stream.seek(0)
        header = kind.header_class(
            stream.read(kind.header_class.template_dtype.itemsize), check=False
        )
        shape = header.get_data_shape()
        limits.check_declared(path, _axes(shape)[0], limits.MOST_VOXELS)
        end = float(header["vox_offset"])
        declared = end + math.prod(shape) * header.get_data_dtype().itemsize
        extended = stream.read(4)[:1] not in (b"", b"\0")
        if not stream.tell() <= end <= limits.MOST_HEADER:
            raise InputError(f"{path}: its voxels begin at byte {end:g}; export it again")
        order = "little" if header.endianness == "<" else "big"
        while extended and end - stream.tell() >= 16:
            room, begin = end - stream.tell(), stream.read(8)
            size = int.from_bytes(begin[:4], order, signed=True)
            if not 8 < size <= room:
                raise InputError(f"{path}: has a header extension of {size} bytes; export it again")
            stream.seek(size - len(begin), io.SEEK_CUR)
    return kind, int(declared)


def _check_length(path: Path, source: Nifti1Image) -> None:
    """Refuses a file that is shorter than declared, before nibabel makes room for the voxels.

    A compressed file is read to its end, or until it is too long, since nibabel stops before the
    checksum at its end.
    """
    voxels: Any = source.dataobj
    declared = voxels.offset + math.prod(source.shape) * voxels.dtype.itemsize
    if not _is_gzip(path):
        if (length := path.stat().st_size) < declared:
            raise ValueError(f"has {length} bytes, but its header declares {declared}")
        return
    inflated = 0
    with gzip.open(path) as stream:
        while (piece := stream.read(limits.PIECE)) and inflated <= declared + limits.PIECE:
            inflated += len(piece)
    if not declared <= inflated <= declared + limits.PIECE:  # some programs pad
        raise InputError(
            f"{path}: inflates to {inflated} or more bytes, but its header declares {declared}; "
            "export it again"
        )


def _check_header(path: Path, source: Nifti1Image) -> None:
    shape, kind = source.shape, np.dtype(source.get_data_dtype())
    if len(shape) < 3 or 0 in shape:
        raise InputError(f"{path}: shape {shape} is not a volume; give a 3-D file")
    if kind.fields is not None or kind.kind == "c":
        raise InputError(f"{path}: voxel type {kind} is not a real number; convert it to grey")
    header = source.header
    if not header["sform_code"] and not header["qform_code"]:
        raise InputError(
            f"{path}: neither sform nor qform is set, so left and right are unknown; convert it "
            "again from DICOM, or set the true affine with nibabel's set_sform(affine, code=1)"
        )
    affine = np.asarray(source.affine)
    if not np.isfinite(affine).all() or np.isnan(io_orientation(affine)).any():
        raise InputError(f"{path}: its affine gives no orientation; fix its sform or qform")
    if header["sform_code"] and header["qform_code"]:
        try:
            qform = np.asarray(header.get_qform())
        except ValueError:  # a quaternion longer than 1
            qform = np.full((4, 4), np.nan)
        if not np.isfinite(qform).all():
            raise InputError(f"{path}: its qform is damaged; set it right, or its code to 0")
        if header["sform_code"] == header["qform_code"]:
            _check_agreement(path, affine, qform, int(header["sform_code"]))


def _agree(sform: np.ndarray, qform: np.ndarray) -> bool:
    """Returns whether two affines agree about orientation and voxel size.

    A shift or a small rotation between them is no disagreement.
    """
    # Axes of one in terms of the other: two oblique affines just either side of 45 degrees agree,
    # though their axis codes differ.
    turn = io_orientation(np.linalg.solve(sform, qform))
    sizes = voxel_sizes(sform), voxel_sizes(qform)
    return (turn == [[0, 1], [1, 1], [2, 1]]).all() and np.allclose(*sizes, rtol=0.01, atol=0)


def _affine_notes(header: Nifti1Header) -> list[str]:
    """Says which affine is used where both are set, disagree, and lead to different spaces."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    sform, qform = np.asarray(header.get_sform()), np.asarray(header.get_qform())
    if not all(codes) or _agree(sform, qform):
        return []
    mirrored = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0
    names = [_SPACES.get(code, f"code {code}") for code in codes]
    return [
        f"sform ({names[0]}) and qform ({names[1]}) differ in voxel size or orientation, as they "
        "may, since they lead to different spaces; the sform is used"
        + (". One is the mirror image of the other: check left and right" if mirrored else "")
    ]


def _check_agreement(path: Path, sform: np.ndarray, qform: np.ndarray, code: int) -> None:
    """Refuses two affines to one space if one must be wrong about orientation or voxel size."""
    if _agree(sform, qform):
        return
    sizes = voxel_sizes(sform), voxel_sizes(qform)
    affines = (
        f"{name} ({''.join(aff2axcodes(affine))}, {' x '.join(f'{n:.4g}' for n in size)} mm)"
        for name, affine, size in zip(("sform", "qform"), (sform, qform), sizes, strict=True)
    )
    raise InputError(
        f"{path}: {' and '.join(affines)} disagree, though both have code "
        f"{code}; remove the wrong one or set it right"
    )


def write_volume(path: Path, data: NDArray[np.float32], like: Volume, descrip: str = "") -> None:
    """Writes RAS+ ``[X, Y, Z]`` as float32 NIfTI with the geometry of ``like``'s file.

    The file is replaced whole or not at all; see ``to_image`` for its content. Raises InputError
    for another suffix or a file that cannot be written, and ValueError as ``to_image`` does.
    """
    image = to_image(data, like, descrip)
    with written_beside(path, SUFFIXES) as beside:
        image.to_filename(beside)


def to_image(data: NDArray[np.float32], like: Volume, descrip: str = "") -> Nifti1Image:
    """Returns RAS+ ``[X, Y, Z]`` as a float32 NIfTI image with the geometry of ``like``'s source.

    Orientation, shape, affine, qform, sform, their codes,
    zooms and units are the source's, bit for bit. Scaling is 1 and 0, cal_min and cal_max are 0,
    and ``descrip`` (at most 79 bytes of UTF-8) replaces the source's description.
    Raises ValueError for data that are not finite or have another shape than ``like.data``, or too
    long a ``descrip``.
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
    return type(like.source)(voxels, like.source.affine, header)
