"""Tests of reading a raw BIDS data set."""

import json
from pathlib import Path

import pytest

from cyclegan_jax.data.preparation import bids
from cyclegan_jax.data.preparation.bids_names import read_filters
from cyclegan_jax.data.preparation.splits import divide


def data_set(root: Path, *files: str) -> Path:
    """A data set of empty files: listing reads none."""
    root.mkdir()
    (root / bids.DESCRIPTION).write_text(json.dumps({"Name": "a", "BIDSVersion": "1.8.0"}))
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def found(root: Path, *filters: str, x: str = "T1w", y: str = "T2w"):
    notes: list[str] = []
    items = bids.list_items(root, x, y, read_filters(filters), notes)
    return [(i.path.name, i.subject, i.session, i.domain) for i in items], notes


ORDINARY = (
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii",
    "sub-01/ses-2/anat/sub-01_ses-2_acq-x_T1w.nii.gz",
    "sub-02/anat/sub-02_T2w.nii.gz",
)


def test_subjects_sessions_and_contrasts(tmp_path):
    root = data_set(
        tmp_path / "raw",
        *ORDINARY,
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_T2w.nii.gz",
        *(f"{p}/sub-09/anat/sub-09_T1w.nii.gz" for p in ("derivatives/x", "sourcedata", "code")),
        ".git/sub-09/anat/sub-09_T1w.nii.gz",
    )
    assert found(root) == (
        [
            ("sub-01_ses-1_T1w.nii.gz", "sub-01", "ses-1", "x"),
            ("sub-01_ses-2_acq-x_T1w.nii.gz", "sub-01", "ses-2", "x"),
            ("sub-01_ses-1_T2w.nii", "sub-01", "ses-1", "y"),
            ("sub-02_T2w.nii.gz", "sub-02", "", "y"),
        ],
        [],
    )


def test_the_scans_of_a_session_pair_up_whatever_their_other_entities(tmp_path):
    root = data_set(
        tmp_path / "raw", "sub-1/anat/sub-1_acq-mprage_T1w.nii", "sub-1/anat/sub-1_acq-tse_T2w.nii"
    )
    items = bids.list_items(root, "T1w", "T2w", [], [])
    assert [i.scan for i in items] == ["sub-1", "sub-1"]


def test_sessions_of_a_subject_stay_in_one_split(tmp_path):
    files = [
        f"sub-{n}/ses-{s}/anat/sub-{n}_ses-{s}_T{c}w.nii" for n in "123" for s in "12" for c in "12"
    ]
    items = bids.list_items(data_set(tmp_path / "raw", *files), "T1w", "T2w", [], [])
    splits = divide(items, holdout=":1").splits
    assert {s: sorted({i.subject for i in group}) for s, group in splits.items()} == {
        "train_x": ["sub-2"],
        "train_y": ["sub-3"],
        "test_x": ["sub-1"],
        "test_y": ["sub-1"],
    }
    assert len(splits["test_x"]) == 2


def test_other_suffixes_can_be_named(tmp_path):
    root = data_set(tmp_path / "raw", "sub-1/anat/sub-1_UNIT1.nii", *ORDINARY)
    scans, notes = found(root, x="UNIT1")
    assert [s[0] for s in scans if s[3] == "x"] == ["sub-1_UNIT1.nii"]
    assert len(notes) == 1
    assert "2 not used, their suffix is not UNIT1 and T2w: " in notes[0]


# ---------------------------------------------------------------- several scans

RUNS = (
    *(f"sub-01/anat/sub-01_run-{run}_T1w.nii" for run in ("01", "02")),
    *(f"sub-02/anat/sub-02_run-{run}_T1w.nii" for run in ("01", "02")),
    "sub-01/anat/sub-01_T2w.nii",
    "sub-03/anat/sub-03_T1w.nii",
)


def test_several_scans_are_refused_with_the_filters_that_choose(tmp_path, fails):
    root = data_set(tmp_path / "raw", *RUNS)
    with fails(
        root,
        "sub-01 has 2 T1w scans (1 more such): sub-01_run-01_T1w.nii, sub-01_run-02_T1w.nii; ",
        "choose with --filter=run=01, or --filter=run=02",
    ):
        found(root)
    scans, notes = found(root, "run=2")
    assert [s[0] for s in scans] == [
        "sub-01_run-02_T1w.nii",
        "sub-02_run-02_T1w.nii",
        "sub-03_T1w.nii",  # has no run, so the filter is not for it
        "sub-01_T2w.nii",
    ]
    assert len(notes) == 1
    assert "2 not used, --filter=run=2 leaves them out: 'sub-01/anat/sub-01_run-01_T1w" in notes[0]


@pytest.mark.parametrize(
    ("names", "says", "filters", "left"),
    [
        (
            ("acq-a_T1w", "rec-b_T1w", "T2w"),
            "--filter=acq=a, or --filter=acq=none",
            ["acq=none"],
            "sub-1_rec-b_T1w",
        ),
        (
            ("acq-a_T1w", "acq-b_T1w", "acq-b_T2w"),
            "--filter=T1w:acq=a, or --filter=T1w:acq=b",
            ["T1w:acq=a"],
            "sub-1_acq-a_T1w",
        ),
        (
            ("acq-a_run-1_T1w", "acq-a_run-2_T1w", "acq-b_run-1_T1w", "acq-b_run-2_T1w", "T2w"),
            "--filter=acq=a --filter=run=1, or --filter=acq=a --filter=run=2",
            ["acq=a", "run=2"],
            "sub-1_acq-a_run-2_T1w",
        ),
    ],
)
def test_the_filters_that_are_advised_choose(tmp_path, fails, names, says, filters, left):
    root = data_set(tmp_path / "raw", *(f"sub-1/anat/sub-1_{name}.nii" for name in names))
    with fails(root, says):
        found(root)
    assert [s[0] for s in found(root, *filters)[0] if s[3] == "x"] == [f"{left}.nii"]


def test_two_kinds_of_file_of_one_scan_are_refused(tmp_path, fails):
    root = data_set(tmp_path / "raw", *ORDINARY, "sub-02/anat/sub-02_T2w.nii")
    with fails("sub-02_T2w.nii, sub-02_T2w.nii.gz", "by their kind of file only; remove one"):
        found(root)


def test_scans_after_a_contrast_agent_are_left_out_with_a_note(tmp_path, fails):
    root = data_set(tmp_path / "raw", *ORDINARY, "sub-02/anat/sub-02_ce-gad_T1w.nii")
    scans, (note,) = found(root)
    assert "sub-02_ce-gad_T1w.nii" not in [s[0] for s in scans]
    assert "1 not used, they are after a contrast agent; --filter=ce=LABEL takes them" in note
    assert ("sub-02_ce-gad_T1w.nii", "sub-02", "", "x") in found(root, "ce=gad")[0]
    alone = data_set(
        tmp_path / "alone", "sub-1/anat/sub-1_ce-gad_T1w.nii", "sub-1/anat/sub-1_T2w.nii"
    )
    with fails(alone, "all T1w scans are left out: they are after a contrast agent"):
        found(alone)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acq", "--filter=acq: must be ENTITY=LABEL"),
        ("acq=", "such as acq=highres"),
        ("aqc=x", "no scan has the entity 'aqc'; those there are: acq, ses, sub"),
        ("acq=y", "--filter=acq=y leaves them out"),
    ],
)
def test_filters_that_choose_nothing_are_refused(tmp_path, fails, text, says):
    names = ("sub-1/anat/sub-1_acq-x_T1w.nii", "sub-1/ses-1/anat/sub-1_ses-1_T2w.nii")
    with fails(says):
        found(data_set(tmp_path / "raw", *names), text)


# ---------------------------------------------------------------- what is refused


def test_what_is_no_raw_data_set_is_refused(tmp_path, fails):
    (tmp_path / "empty").mkdir()
    with fails(f"--bids={tmp_path / 'empty'}: is empty, so it is no BIDS data set; give its root"):
        found(tmp_path / "empty")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.nii").touch()
    with fails("x: has no dataset_description.json", "without --bids"):
        found(tmp_path / "x")
    with fails("gone: is no folder"):
        found(tmp_path / "gone")
    root = data_set(tmp_path / "raw", *ORDINARY)
    for content in ("{", "[]"):
        (root / bids.DESCRIPTION).write_text(content)
        with fails(root / bids.DESCRIPTION, "cannot read the description"):
            found(root)
    (root / bids.DESCRIPTION).write_text('{"DatasetType": "derivative"}')
    with fails(root, "it is a derivative data set; give the raw one"):
        found(root)


def test_a_data_set_without_such_scans_is_refused(tmp_path, fails):
    with fails("no scan sub-*/anat/*_T1w.nii.gz", "the suffixes there are: none"):
        found(data_set(tmp_path / "none"))
    root = data_set(tmp_path / "raw", "sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_FLAIR.nii")
    with fails("*_T2w.nii.gz", "the suffixes there are: FLAIR"):
        found(root)
    with fails("both T1w; give two contrasts"):
        found(root, y="T1w")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("sub-01/ses-1/anat/sub-01_ses-1_desc-synthetic_T2w.nii", "derivative (desc-synthetic)"),
        ("sub-01/ses-1/anat/sub-01_ses-1_space-MNI_T1w.nii", "move it to"),
        ("sub-01/ses-1/anat/sub-02_ses-1_T1w.nii", "its name says sub-02_ses-1, its folder sub-01"),
        ("sub-02/ses-1/anat/sub-02_T1w.nii", "its name says sub-02, its folder sub-02_ses-1"),
    ],
)
def test_files_out_of_their_place_are_refused(tmp_path, fails, file, says):
    root = data_set(tmp_path / "raw", *ORDINARY, file)
    with fails(root / file, says):
        found(root)


# ---------------------------------------------------------------- groups


def test_groups_of_participants(tmp_path, fails):
    root = data_set(tmp_path / "raw", *ORDINARY)
    subjects = ["sub-01", "sub-02", "sub-03"]
    assert bids.read_groups(root, subjects) == {}
    table = root / "participants.tsv"
    table.write_text(
        "participant_id\tage\tgroup\nsub-01\t3\tpatient\nsub-02\t4\tn/a\nsub-09\t5\tb\n"
    )
    assert bids.read_groups(root, subjects) == {"sub-01": "patient"}
    table.write_text("participant_id\tage\nsub-01\t3\n")
    assert bids.read_groups(root, subjects) == {}
    table.write_bytes(b"\xff\xfe\x00")
    with fails(table, "cannot read the table of participants"):
        bids.read_groups(root, subjects)
