"""Finds scans in files and folders, of whatever format, and reads them.

`FORMATS` is the one table: a new format is a new file in this folder and a row here. The modules of
the formats do not know the table.
"""

import re
from collections.abc import Callable, Collection
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
_COMPANION = re.compile(  # what usually lies beside scans
    r"(readme|license|changes|checksums)\b.*|thumbs\.db|desktop\.ini|dicomdir"
    r"|.*\.(json|txt|[ct]sv|md|rst|pdf|xml|html|ya?ml|bval|bvec|log|md5|sha256)"
)
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


@dataclass(frozen=True)
class Listing:
    """What lies in a folder.

    Attributes:
      scans: files, and folders that are scans, sorted by name. A series may lie deeper, in a folder
        that holds nothing else that is a scan.
      left_out: other files and folders, without hidden ones and without what usually lies beside
        scans, such as `README` and `.json`.
    """

    scans: list[Path]
    left_out: list[Path]


def list_scans(folder: Path) -> list[Path]:
    """Returns the scans of ``list_folder``."""
    return list_folder(folder).scans


def list_folder(folder: Path) -> Listing:
    """Returns the scans in ``folder``, and the entries that are none.

    If ``folder`` is itself a scan, a file or the folder of a DICOM series, it is the only one.
    Raises InputError if the path is missing or unreadable, or if it holds no scan, or scans of more
    than one kind.
    """
    try:
        itself = _folder_format(folder)
        if folder.is_file():
            found = [Listing([folder] if _suffix(folder) else [], [])]
        else:
            found = [_look(p) for p in sorted(folder.iterdir()) if not _is_hidden(p)]
    except OSError as error:
        raise InputError(
            limits.unfetched(folder)
            or f"{folder}: {error.strerror}; give an existing folder or file"
        ) from error
    scans = [p for part in found for p in part.scans]
    left_out = [p for part in found for p in part.left_out if not (itself and dicom.is_dicom(p))]
    if itself and scans:
        raise InputError(
            f"{folder}: holds {itself.name} files beside {scans[0].relative_to(folder)}; put them "
            "into separate folders"
        )
    if itself:
        return Listing([folder], left_out)
    if not scans:
        if folder.is_file():
            format_of(folder)
        raise InputError(f"{folder}: no supported scan directly in it; use {_SUPPORTED}")
    if len(kinds := sorted({format_of(p).kind for p in scans})) > 1:
        raise InputError(f"{folder}: holds {'s and '.join(kinds)}s; put them into separate folders")
    return Listing(scans, left_out)


def list_inside(folder: Path) -> Listing:
    """Returns the scans in ``folder`` and in the folders inside it, and the entries that are none.

    ``left_out`` is ``folder`` itself if it holds no scan. Raises InputError if it is unreadable.
    """
    try:
        return _look(folder, files=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give an existing folder or file") from error


def _look(path: Path, above: Collection[Path] = (), *, files: bool = False) -> Listing:
    """Returns what an entry of a folder is: a scan, a folder with series inside, or no scan.

    With ``files``, scans that are files count inside of folders too. A link to one of the folders
    ``above``, or around them, is not followed.
    """
    # Not is_file(): a dangling link must fail when it is read, not vanish from the data set.
    if not path.is_dir():
        if _suffix(path):
            return Listing([path], [])
        return Listing([], [] if _is_companion(path) else [path])
    children = [p for p in sorted(path.iterdir()) if not _is_hidden(p)]
    if _folder_format(path):
        return Listing([path], [p for p in children if not (_is_companion(p) or dicom.is_dicom(p))])
    place = path.resolve()
    above = {*above, place, *place.parents}
    followed = [p for p in children if (files or p.is_dir()) and p.resolve() not in above]
    inside = [_look(p, above, files=files) for p in followed]
    if not any(part.scans for part in inside):
        return Listing([], [path])
    others = [p for p in children if p not in followed and not _is_companion(p)]
    return Listing(
        [p for part in inside for p in part.scans],
        [*others, *(p for part in inside for p in part.left_out)],
    )


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_companion(path: Path) -> bool:
    """Returns whether a file is no scan and usually lies beside scans."""
    return not path.is_dir() and bool(_COMPANION.fullmatch(path.name.lower()))


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
