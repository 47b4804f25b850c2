"""Finds scans in files and folders, of whatever format, and reads them.

`FORMATS` is the one table: a new format is a new file in this folder and a row here. The modules of
the formats do not know the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import dicom, images, nifti, stacks
from cyclegan_jax.data.formats.orientation import Volume

Kind = Literal["image", "volume", "stack"]


@dataclass(frozen=True)
class Format:
    """One format of scans: a row of the table.

    Attributes:
      name: what messages call it.
      kind: "image" (2-D), "volume" (3-D, with a place in space) or "stack" (slices of any origin).
      read: an image's reader takes a path and returns uint8 or uint16 `[H, W]`; a stack's takes a
        path and returns float32 `[N, H, W]`; a volume's takes a path and the frame, from 0 or None,
        and returns a `Volume`. Each raises InputError for a file that cannot be used.
      suffixes: of its files, in lower case. It has none if a scan is a folder.
      is_scan: returns whether a folder is a scan of this format; None if a scan is a file.
      read_spacing: returns the voxel size of a volume in mm along X, Y and Z of RAS+ from its
        header alone; None if the format has no voxel size.
      translated: the suffix of a translation; "" keeps the suffix of the scan, None says that scans
        of this format are not translated.
    """

    name: str
    kind: Kind
    read: Callable[..., Any]
    suffixes: tuple[str, ...] = ()
    is_scan: Callable[[Path], bool] | None = None
    read_spacing: Callable[[Path], tuple[float, float, float]] | None = None
    translated: str | None = ""


FORMATS = (
    Format("PNG or TIFF", "image", images.read_image, images.LOSSLESS),
    Format("JPEG", "image", images.read_image, images.JPEG, translated=".png"),
    Format(
        "NIfTI", "volume", nifti.read_nifti, nifti.SUFFIXES, read_spacing=nifti.read_nifti_spacing
    ),
    Format(
        "DICOM",
        "volume",
        dicom.read_series,
        is_scan=dicom.is_series,
        read_spacing=dicom.read_series_spacing,
        translated=".nii.gz",
    ),
    Format("MATLAB or NumPy", "stack", stacks.read_stack, stacks.SUFFIXES, translated=None),
)
_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}
_FOLDERS = [row for row in FORMATS if row.is_scan]
_SUPPORTED = f"{', '.join(_BY_SUFFIX)}, or folders of one DICOM series each"


def format_of(path: Path) -> Format:
    """Returns the row of a file, which need not exist, by its name, or of a folder by its content.

    Raises InputError for a file or folder that is no scan.
    """
    row = _folder_format(path) if path.is_dir() else _BY_SUFFIX.get(_suffix(path))
    if row is not None:
        return row
    if dicom.is_dicom(path):
        raise InputError(f"{path}: is one file of a DICOM series; give the series' folder")
    raise InputError(f"{path}: no supported scan; use {_SUPPORTED}")


def stem(path: Path) -> str:
    """Returns a name without the suffix of a scan: ``a.nii.gz`` gives ``a``, a folder its name."""
    return path.name[: len(path.name) - len(_suffix(path))]


def list_scans(folder: Path) -> list[Path]:
    """Returns the scans directly in ``folder``, sorted by name: files, and folders that are scans.

    If ``folder`` is itself a scan, a file or the folder of a DICOM series, it is the only one.
    Hidden files and other folders are left out. Raises InputError if the path is missing or
    unreadable, or if it holds no scan, or scans of more than one kind.
    """
    try:
        entries = [folder] if folder.is_file() else list(folder.iterdir())
        # Not is_file(): a dangling link must fail when it is read, not vanish from the data set.
        found = sorted(p for p in entries if p == folder or not p.name.startswith("."))
        scans = [p for p in found if (_folder_format(p) if p.is_dir() else _suffix(p))]
        itself = _folder_format(folder)
    except OSError as error:
        raise InputError(
            limits.unfetched(folder)
            or f"{folder}: {error.strerror}; give an existing folder or file"
        ) from error
    if itself and scans:
        raise InputError(
            f"{folder}: holds {itself.name} files beside {scans[0].name}; put them into separate "
            "folders"
        )
    if itself:
        return [folder]
    if not scans:
        if folder.is_file():
            format_of(folder)
        raise InputError(f"{folder}: no supported scan directly in it; use {_SUPPORTED}")
    if len(kinds := sorted({format_of(p).kind for p in scans})) > 1:
        raise InputError(f"{folder}: holds {'s and '.join(kinds)}s; put them into separate folders")
    return scans


def read_volume(path: Path, frame: int | None = None) -> Volume:
    """Reads a volume of any format, in RAS+ orientation.

    ``frame`` (from 0) picks one of a file of several. Raises InputError for a path that is no
    volume or a volume that cannot be used; see the reader of its format.
    """
    return _volume_format(path).read(path, frame)


def read_spacing(path: Path) -> tuple[float, float, float]:
    """Returns the voxel size of a volume in mm along X, Y and Z of RAS+, without its voxels.

    Raises InputError as ``read_volume`` does about headers.
    """
    row = _volume_format(path)
    return row.read_spacing(path) if row.read_spacing else row.read(path).spacing


def _volume_format(path: Path) -> Format:
    row = format_of(path)
    if row.kind != "volume":
        suffixes = [s for other in FORMATS if other.kind == "volume" for s in other.suffixes]
        raise InputError(f"{path}: not a volume; supported are {', '.join(suffixes)}")
    return row


def _folder_format(path: Path) -> Format | None:
    """Returns the format of which a folder is a scan, if there is one."""
    return next((row for row in _FOLDERS if row.is_scan and row.is_scan(path)), None)


def _suffix(path: Path) -> str:
    return next((s for s in _BY_SUFFIX if path.name.lower().endswith(s)), "")
