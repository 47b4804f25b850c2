"""One door to the scans a user has: which there are, of what kind, and how to read them."""

from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import dicom, images, nifti, stacks
from cyclegan_jax.data.formats.nifti import Volume

_KINDS = {"image": images.SUFFIXES, "volume": nifti.SUFFIXES, "stack": stacks.SUFFIXES}
SUFFIXES = tuple(suffix for suffixes in _KINDS.values() for suffix in suffixes)
_SUPPORTED = f"{', '.join(SUFFIXES)}, or folders of one DICOM series each"


def stem(path: Path) -> str:
    """File name without the suffix of a scan: ``a.nii.gz`` gives ``a``, a folder's its name."""
    return path.name[: len(path.name) - len(_suffix(path))]


def kind(path: Path) -> str:
    """Says "image" (2-D), "volume" (NIfTI, or a folder of DICOM) or "stack" (MATLAB slices).

    Files, which need not exist, are told by their names. Raises InputError for another suffix.
    """
    if path.is_dir():
        return "volume"
    for name, suffixes in _KINDS.items():
        if _suffix(path) in suffixes:
            return name
    if dicom.is_dicom(path):
        raise InputError(f"{path}: is one file of a DICOM series; give the series' folder")
    raise InputError(f"{path}: no supported scan; use {_SUPPORTED}")


def list_scans(folder: Path) -> list[Path]:
    """Scans directly in ``folder``, sorted by name: supported files, and DICOM series' folders.

    Of a file, the file itself, and of a DICOM series' folder, that folder. Hidden files and other
    folders are left out. Raises InputError when the path is missing or unreadable, holds no scan,
    or scans of more than one kind.
    """
    try:
        entries = [folder] if folder.is_file() else list(folder.iterdir())
        # Not is_file(): a dangling link must fail when it is read, not vanish from the data set.
        found = sorted(p for p in entries if p == folder or not p.name.startswith("."))
        scans = [p for p in found if (dicom.is_series(p) if p.is_dir() else _suffix(p))]
        is_series = dicom.is_series(folder)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give an existing folder or file") from error
    if is_series and scans:
        raise InputError(
            f"{folder}: holds DICOM files beside {scans[0].name}; put them into separate folders"
        )
    if is_series:
        return [folder]
    if not scans:
        if folder.is_file():
            kind(folder)
        raise InputError(f"{folder}: no supported scan directly in it; use {_SUPPORTED}")
    if len(kinds := sorted({kind(p) for p in scans})) > 1:
        raise InputError(f"{folder}: holds {'s and '.join(kinds)}s; put them into separate folders")
    return scans


def read_volume(path: Path, frame: int | None = None) -> Volume:
    """Read a NIfTI file or a DICOM series' folder; RAS+.

    ``frame`` (from 0) picks one of a file of several. Raises InputError for a volume that cannot be
    used; see ``volumes.read_volume`` and ``dicom.read_series``.
    """
    if not path.is_dir():
        return nifti.read_volume(path, frame)
    if frame:
        raise InputError(f"{path}: has no frame {frame}; a DICOM series is read as frame 0")
    return dicom.read_series(path)


def spacing(path: Path) -> tuple[float, float, float]:
    """Voxel size of a volume in mm along X, Y and Z of RAS+, without reading its voxels.

    Raises InputError as ``read_volume`` does about headers, and for images and stacks.
    """
    return dicom.read_spacing(path) if path.is_dir() else nifti.read_spacing(path)


def _suffix(path: Path) -> str:
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
