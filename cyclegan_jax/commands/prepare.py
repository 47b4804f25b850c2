"""Turns folders of T1-weighted and T2-weighted scans into a data set for training.

    cyclegan-jax prepare --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --out=data/mine
    cyclegan-jax prepare --csv=scans.csv --out=data/mine
    cyclegan-jax prepare --bids=ROOT --holdout=2::5 --out=data/mine

Folders hold PNG, JPEG or TIFF slices, NIfTI volumes, folders of DICOM series, or stacks (.mat,
.npy). A folder with a folder for each subject is given as both. The command prints what it found,
and writes a contact sheet to look at.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.data.intensity import MIN_HEAD
from cyclegan_jax.data.slicing import AXES
from cyclegan_jax.system import cli

if TYPE_CHECKING:
    from cyclegan_jax.data.preparation.splits import Item

_X = flags.DEFINE_string("x", None, "Folder of T1-weighted training scans.")
_Y = flags.DEFINE_string("y", None, "Folder of T2-weighted training scans.")
_OUT = flags.DEFINE_string(
    "out", None, "Folder to write; it must not exist or must be empty.", required=True
)
_VAL_X = flags.DEFINE_string("val_x", None, "Folder of T1-weighted validation scans.")
_VAL_Y = flags.DEFINE_string("val_y", None, "Folder of T2-weighted validation scans.")
_TEST_X = flags.DEFINE_string("test_x", None, "Folder of T1-weighted test scans.")
_TEST_Y = flags.DEFINE_string("test_y", None, "Folder of T2-weighted test scans.")
_CSV = flags.DEFINE_string(
    "csv",
    None,
    "Instead of folders: a CSV with the columns file (relative to the CSV's folder), subject, "
    "domain (T1 or T2) and split (train, val or test), and labels if there are label maps.",
)
_BIDS = flags.DEFINE_string(
    "bids",
    None,
    "Instead of folders: the root of a raw BIDS data set. One scan of each subject, session and "
    "contrast is taken; where there are several, --filter chooses.",
)
_SUFFIX = {
    "x": flags.DEFINE_string("x_suffix", "T1w", "With --bids: the suffix of T1-weighted scans."),
    "y": flags.DEFINE_string("y_suffix", "T2w", "With --bids: the suffix of T2-weighted scans."),
}
_FILTER = flags.DEFINE_multi_string(
    "filter",
    [],
    "With --bids: which scans are taken, as acq=highres, run=1, rec=none (names without it) or "
    "T1w:acq=mprage (of one suffix only). May be given several times.",
)
_HOLDOUT = flags.DEFINE_string(
    "holdout",
    "",
    "Python slice over the sorted subjects that are in both domains; it selects the test pairs. "
    "2::5 takes every fifth.",
)
_VALIDATION = flags.DEFINE_string(
    "validation", "", "The same over the subjects that are left; it selects the validation pairs."
)
_AXIS = flags.DEFINE_enum("axis", "axial", AXES, "Axis along which volumes are sliced.")
_UNPAIRED = flags.DEFINE_enum(
    "unpaired",
    "disjoint",
    ["disjoint", "shared"],
    "Whether subjects that are in both domains are divided between them, or both train on all.",
)
_MIN_HEAD = flags.DEFINE_float(
    "min_head",
    MIN_HEAD,
    "Slices of volumes with a smaller fraction of head are left out.",
    0.0,
    1.0,
)
_BELOW_VERTEX = flags.DEFINE_float(
    "below_vertex",
    None,
    "Leave out axial slices more than so many mm below the top of the head, for example necks that "
    "only one contrast shows.",
    1.0,
)
_SPACING = flags.DEFINE_float(
    "spacing",
    None,
    "Resample volumes to cubic voxels of so many mm; by default they stay as they are.",
    0.1,
)
_FRAME = flags.DEFINE_integer("frame", None, "Frame of 4-D volumes to take, from 0.", 0)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "Folder of label maps or brain masks (whole numbers, 0 is outside the brain), which belong to "
    "scans by their names. Pairs are then scored inside the brain.",
)
_MASK_SUFFIX = flags.DEFINE_string(
    "mask_suffix",
    None,
    "Instead of --labels: the label map of a scan lies beside it, for example a_T1_mask.nii.gz "
    "beside a_T1.nii.gz with --mask_suffix=_mask.",
)
_LABEL_NAMES = flags.DEFINE_string(
    "label_names",
    None,
    "TSV with the columns index and name: the tissues whose intensity is scored; a column region "
    "names each label. dlmuse and freesurfer (also for SynthSeg) are shipped.",
)
_BRAIN_ONLY = flags.DEFINE_bool(
    "brain_only", False, "Make everything outside the label map of every scan air."
)
_FOLDERS = {
    "x": _X,
    "y": _Y,
    "val_x": _VAL_X,
    "val_y": _VAL_Y,
    "test_x": _TEST_X,
    "test_y": _TEST_Y,
}


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    given = {name: flag.value for name, flag in _FOLDERS.items() if flag.value is not None}
    ways = [f"--{flag.name}" for flag in (_CSV, _BIDS) if flag.value]
    ways += [f"--{next(iter(given))}"] if given else []
    if len(ways) > 1:
        raise InputError(f"{ways[0]} and {ways[1]} exclude each other; give one of them")
    if not ways or (given and not {"x", "y"} <= given.keys()):
        raise InputError("give --x and --y, folders of training scans, or --csv, or --bids")
    of_bids = [flag for flag in (*_SUFFIX.values(), _FILTER) if flag.present]
    if of_bids and not _BIDS.value:
        raise InputError(f"--{of_bids[0].name} is for --bids; omit it")
    if _LABELS.value and _MASK_SUFFIX.value:
        raise InputError("--labels and --mask_suffix exclude each other; give one of them")
    from cyclegan_jax.data.preparation import (  # late, for --help
        bids,
        file_source,
        label_names,
        scan_labels,
        write,
    )

    notes: list[str] = []
    names = label_names.read_label_names(_LABEL_NAMES.value) if _LABEL_NAMES.value else None
    items, facts = _listed(given, notes)
    if (_LABELS.value or _MASK_SUFFIX.value) and any(item.labels for item in items):
        raise InputError("the column labels of --csv and --labels exclude each other; give one")
    if _LABELS.value:
        items = scan_labels.in_folder(items, Path(_LABELS.value), notes)
    elif _MASK_SUFFIX.value:
        items = scan_labels.beside(items, _MASK_SUFFIX.value)
    if names and not any(item.labels for item in items):
        raise InputError("--label_names needs label maps; give --labels or --mask_suffix")
    source = file_source.scan_source(
        items,
        facts,
        holdout=_HOLDOUT.value,
        validation=_VALIDATION.value,
        axis=_AXIS.value,
        unpaired=_UNPAIRED.value,
        min_head=_MIN_HEAD.value,
        below_vertex=_BELOW_VERTEX.value,
        spacing=_SPACING.value,
        frame=_FRAME.value,
        brain_only=_BRAIN_ONLY.value,
        label_names=names.tissues if names else None,
        region_names=names.regions if names else None,
        notes=notes,
    )
    if _BIDS.value:
        groups = bids.read_groups(Path(_BIDS.value), {item.subject for item in items})
        source = dataclasses.replace(source, groups=groups)
    dataset = write.prepare(source, Path(_OUT.value))
    print(dataset.summary())
    print(f"look at {dataset.folder / write.CONTACT_SHEET}")
    return 0


def _listed(given: dict[str, str], notes: list[str]) -> tuple[list["Item"], dict[str, Any]]:
    """Returns the scans, and the facts on where they were found."""
    from cyclegan_jax.data.preparation import bids, bids_names, csv_list, folders

    if _CSV.value:
        return csv_list.read_listing(Path(_CSV.value)), {"kind": "csv", "csv": _CSV.value}
    if not _BIDS.value:
        found = folders.list_folders(
            **{name: Path(f) for name, f in given.items()},
            mask_suffix=_MASK_SUFFIX.value or "",
            notes=notes,
        )
        return found, {"kind": "folders"} | given
    root, x, y = Path(_BIDS.value), _SUFFIX["x"].value, _SUFFIX["y"].value
    filters = bids_names.read_filters(_FILTER.value)
    bids.check_outside(root, Path(_OUT.value))
    facts = {"kind": "bids", "bids": str(root), "x_suffix": x, "y_suffix": y}
    facts |= {"filter": " ".join(map(str, filters))} if filters else {}
    return bids.list_items(root, x, y, filters, notes), facts
