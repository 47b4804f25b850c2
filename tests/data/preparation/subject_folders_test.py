"""Tests of folders that hold a folder for each subject."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.folders import list_folders


def tree(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def found(root: Path, y: Path | None = None) -> tuple[list[tuple[str, ...]], list[str]]:
    notes: list[str] = []
    items = list_folders(root, y or root, notes=notes)
    return [(i.path.name, i.subject, i.session, i.domain) for i in items], notes


def test_bids_is_read_as_both_domains(tmp_path):
    root = tree(
        tmp_path / "bids",
        "dataset_description.json",
        "participants.tsv",
        "template_T1w.nii",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii",
        "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii",
        "sub-01/ses-1/func/sub-01_ses-1_bold.nii",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii",
        "sub-02/anat/sub-02_T2w.nii",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii",
    )
    scans, notes = found(root)
    assert scans == [
        ("sub-01_ses-1_T1w.nii.gz", "sub-01", "ses-1", "x"),
        ("sub-01_ses-2_T1w.nii", "sub-01", "ses-2", "x"),
        ("sub-01_ses-1_T2w.nii", "sub-01", "ses-1", "y"),
        ("sub-02_T2w.nii", "sub-02", "", "y"),
    ]
    (note,) = notes
    assert "2 not used" in note
    assert "template_T1w.nii" in note
    assert "sub-01_ses-1_FLAIR.nii" in note


def test_bids_may_be_given_for_one_domain(tmp_path):
    root = tree(tmp_path / "bids", "sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T2w.nii")
    other = tree(tmp_path / "y", "b.nii")
    scans, (note,) = found(root, other)
    assert [s[:2] for s in scans] == [("sub-1_T1w.nii", "sub-1"), ("b.nii", "b")]
    assert "1 not used, their names say another contrast than T1: 'sub-1_T2w.nii'" in note


@pytest.mark.parametrize(
    "names",
    [("T1.nii", "T2.nii"), ("scan_t1n.nii", "scan_t2w.nii"), ("T1/a.nii", "T2/a.nii")],
)
def test_a_folder_for_each_subject_is_read_as_both_domains(tmp_path, names):
    people = ("subj000", "subj001")
    extra = ("subj000/seg.nii", "subj000/flair.nii", "subj001/odd.bmp")
    root = tree(tmp_path / "root", *(f"{p}/{n}" for p in people for n in names), *extra)
    scans, notes = found(root)
    assert [s[1:] for s in scans] == [(p, "", d) for d in "xy" for p in people]
    assert [s[0] for s in scans] == [n.split("/")[-1] for n in names for _ in people]
    assert len(notes) == 3
    assert ["odd.bmp" in notes[0], "seg.nii" in notes[1], "flair.nii" in notes[2]] == [True] * 3


def test_folders_of_the_two_contrasts_in_one(tmp_path):
    root = tree(tmp_path / "root", "T1/a.nii", "T1/b.nii", "T2/a.nii")
    assert [s[:2] + s[3:] for s in found(root)[0]] == [
        ("a.nii", "a", "x"),
        ("b.nii", "b", "x"),
        ("a.nii", "a", "y"),
    ]


def test_subject_folders_of_one_contrast_need_no_contrast_in_names(tmp_path):
    x, y = (tree(tmp_path / d, "p0/scan.nii", "p1/scan.nii") for d in "xy")
    assert [s[1:] for s in found(x, y)[0]] == [(p, "", d) for d in "xy" for p in ("p0", "p1")]


def test_subject_folders_that_do_not_say_the_contrast_are_refused(tmp_path, fails):
    root = tree(tmp_path / "root", "p0/scan.nii", "p1/scan.nii")
    with fails(root, "no name says that a scan is T1", "--csv"):
        list_folders(root, root)


def test_folders_of_splits_are_no_subjects(tmp_path, fails):
    root = tree(tmp_path / "root", "train/a_T1.nii", "test/b_T1.nii")
    with fails(root, "no supported scan directly in it"):
        list_folders(root, tree(tmp_path / "y", "c.nii"))
