"""Turns a folder of T1-weighted and one of T2-weighted images into a data set for training.

    python scripts/prepare_data.py --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --out=data/mine

Folders hold PNG, JPEG or TIFF slices, or NIfTI volumes. Prints what was found and writes a contact
sheet to look at.
"""

from pathlib import Path

from absl import app, flags

from cyclegan_jax import cli

_X = flags.DEFINE_string("x", None, "Folder of T1-weighted training images.", required=True)
_Y = flags.DEFINE_string("y", None, "Folder of T2-weighted training images.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
_TEST_X = flags.DEFINE_string("test_x", None, "Folder of T1-weighted test images.")
_TEST_Y = flags.DEFINE_string("test_y", None, "Folder of T2-weighted test images.")
_HOLDOUT = flags.DEFINE_string(
    "holdout", "", "Python slice over the names in both --x and --y: these become the test pairs."
)
_VALIDATION = flags.DEFINE_string(
    "validation", "", "The same over the names that are left: these become the validation pairs."
)
_AXIS = flags.DEFINE_enum(
    "axis", "axial", ["axial", "coronal", "sagittal"], "Along which volumes are sliced."
)
_UNPAIRED = flags.DEFINE_enum(
    "unpaired",
    "disjoint",
    ["disjoint", "shared"],
    "Names in both training folders: divide them between the domains, or train both on all.",
)
_MIN_HEAD = flags.DEFINE_float(
    "min_head", 0.15, "Slices of volumes with a smaller fraction of head are left out.", 0.0, 1.0
)


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def main(arguments: list[str]) -> int:
    if arguments:
        raise app.UsageError(f"unexpected arguments: {' '.join(arguments)}")
    from cyclegan_jax.data import folders, mri_slices  # late: --help answers at once

    source = folders.folder_source(
        Path(_X.value),
        Path(_Y.value),
        test_x=_path(_TEST_X.value),
        test_y=_path(_TEST_Y.value),
        holdout=_HOLDOUT.value,
        validation=_VALIDATION.value,
        axis=_AXIS.value,
        unpaired=_UNPAIRED.value,
        min_head=_MIN_HEAD.value,
    )
    dataset = mri_slices.prepare(source, Path(_OUT.value))
    print(dataset.summary())
    print(f"look at {dataset.folder / mri_slices.CONTACT_SHEET}")
    return 0


if __name__ == "__main__":
    cli.run(main)
