"""Finds scans in a folder that has a folder for each subject: BIDS, or `subj000/T1.nii.gz`."""

from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.readers import Listing, list_folder, list_inside, stem
from cyclegan_jax.domains import CONTRASTS

# Folders of these names divide a data set and are no subjects.
_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")
_BIDS_ENDS = tuple(f"_{contrast}w" for contrast in CONTRASTS.values())


def is_tree(root: Path, *, with_splits: bool = False) -> bool:
    """Returns whether scans lie in folders inside `root`, one for each subject, and not in it.

    A folder with folders such as "train" and "test" is one only `with_splits`.
    """
    if not root.is_dir():
        return False
    if _anatomies(root):
        return True
    try:
        return not any(p.parent in (root, root.parent) for p in list_folder(root).scans)
    except InputError:  # no scan or series in it
        entries = _folders(root)
        if not with_splits and any(p.name.lower() in _SPLITS for p in entries):
            return False
        return any(list_inside(p).scans for p in entries)


def list_tree(root: Path) -> Listing:
    """Returns the scans of all subjects in `root`, of both contrasts, and what is left out.

    In BIDS these are the `_T1w` and `_T2w` files in `sub-*/anat` and `sub-*/ses-*/anat`. Elsewhere
    they are all scans in the folders.
    """
    if anatomies := _anatomies(root):
        loose = [p for p in sorted(root.iterdir()) if not p.is_dir()]
        found = [p for place in [*loose, *anatomies] for p in list_inside(place).scans]
        scans = [p for p in found if p.parent != root and stem(p).endswith(_BIDS_ENDS)]
        return Listing(scans, [p for p in found if p not in scans])
    parts = [list_inside(p) for p in sorted(root.iterdir()) if not p.name.startswith(".")]
    return Listing(
        [p for part in parts for p in part.scans], [p for part in parts for p in part.left_out]
    )


def _anatomies(root: Path) -> list[Path]:
    """Returns the folders of a BIDS data set that hold anatomical scans."""
    return sorted(
        p for way in ("sub-*/anat", "sub-*/ses-*/anat") for p in root.glob(way) if p.is_dir()
    )


def _folders(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]
