"""One door to the scans a user has: which there are, of what kind, and how to read them."""

from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data import images, volumes
from cyclegan_jax.data.volumes import Volume

_KINDS = {"image": images.SUFFIXES, "volume": volumes.SUFFIXES}
SUFFIXES = tuple(suffix for suffixes in _KINDS.values() for suffix in suffixes)


def _suffix(path: Path) -> str:
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")


def stem(path: Path) -> str:
    """File name without the suffix of a scan: ``a.nii.gz`` gives ``a``."""
    return path.name[: len(path.name) - len(_suffix(path))]


def kind(path: Path) -> str:
    """Says "image" (2-D) or "volume" (NIfTI) by the name of ``path``, which need not exist.

    Raises InputError for another suffix.
    """
    for name, suffixes in _KINDS.items():
        if _suffix(path) in suffixes:
            return name
    raise InputError(f"{path}: no supported scan; use {', '.join(SUFFIXES)}")


def list_scans(folder: Path) -> list[Path]:
    """Supported files directly in ``folder``, sorted by name; of a file, the file itself.

    Hidden files and sub-folders are left out. Raises InputError when the path is missing or
    unreadable, holds no supported file, or holds more than one kind.
    """
    try:
        entries = [folder] if folder.is_file() else list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give an existing folder or file") from error
    # Not is_file(): a dangling link must fail when it is read, not vanish from the data set.
    visible = [p for p in entries if p == folder or not (p.name.startswith(".") or p.is_dir())]
    files = sorted(p for p in visible if _suffix(p))
    if not files:
        supported = ", ".join(SUFFIXES)
        raise InputError(f"{folder}: no supported file (sub-folders not searched); use {supported}")
    if len(kinds := sorted({kind(p) for p in files})) > 1:
        raise InputError(f"{folder}: holds {'s and '.join(kinds)}s; put them into separate folders")
    return files


def read_volume(path: Path, frame: int | None = None) -> Volume:
    """Read a volume in RAS+; ``frame`` picks one of a file of several, counted from 0.

    Raises InputError for one that cannot be used; see ``volumes.read_volume``.
    """
    return volumes.read_volume(path, frame)


def spacing(path: Path) -> tuple[float, float, float]:
    """Voxel size of a volume in mm along X, Y and Z of RAS+, without reading its voxels.

    Raises InputError where the header does not give it.
    """
    return volumes.read_spacing(path)
