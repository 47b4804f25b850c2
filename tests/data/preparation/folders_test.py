"""Tests of what folders declare: subjects by file name, domains and splits by folder."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan_jax.data.preparation.folders import list_folders


def folder(path: Path, *names: str) -> Path:
    """A folder of empty files: listing reads none."""
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def test_folders_declare_domain_and_split(tmp_path):
    folders = {
        "x": folder(tmp_path / "x", "b_T1.png", "a_T1.png"),
        "y": folder(tmp_path / "y", "c.png"),
        "val_x": folder(tmp_path / "vx", "v_T1.png"),
        "val_y": folder(tmp_path / "vy", "v_T2.png"),
        "test_x": folder(tmp_path / "tx", "t_T1.png"),
        "test_y": folder(tmp_path / "ty", "t_T2.png") / "t_T2.png",  # a file does as well
    }
    found = [(i.path.name, i.subject, i.domain, i.split) for i in list_folders(**folders)]
    assert found == [
        ("a_T1.png", "a", "x", "train"),
        ("b_T1.png", "b", "x", "train"),
        ("c.png", "c", "y", "train"),
        ("v_T1.png", "v", "x", "val"),
        ("v_T2.png", "v", "y", "val"),
        ("t_T1.png", "t", "x", "test"),
        ("t_T2.png", "t", "y", "test"),
    ]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("domain", ["x", "y"])
def test_half_a_pair_of_folders_is_refused(tmp_path, fails, split, domain):
    x, y = folder(tmp_path / "x", "a.png"), folder(tmp_path / "y", "b.png")
    with fails(split, f"give both --{split}_x and --{split}_y, or neither"):
        list_folders(x, y, **{f"{split}_{domain}": folder(tmp_path / "p", "p.png")})


def test_several_files_of_one_subject_are_accepted(tmp_path):
    x = folder(tmp_path / "x", "sub-1_ses-1_T1w.nii", "sub-1_ses-2_T1w.nii")
    y = folder(tmp_path / "y", "sub-1_ses-2_T2w.nii", "sub-2_T2w.nii")
    found = [(i.subject, i.session, i.scan) for i in list_folders(x, y)]
    assert found == [
        ("sub-1", "ses-1", "sub-1_ses-1"),
        ("sub-1", "ses-2", "sub-1_ses-2"),
        ("sub-1", "ses-2", "sub-1_ses-2"),
        ("sub-2", "", "sub-2"),
    ]


def test_two_files_under_one_name_are_refused(tmp_path, fails):
    x, y = folder(tmp_path / "x", "a.png"), folder(tmp_path / "y", "s3.png", "s3_T2.png")
    with fails(y / "s3.png", "s3_T2.png", "same subject 's3'", "rename one"):
        list_folders(x, y)


# ---------------------------------------------------------------- what is not used, or refused


def test_every_entry_is_used_or_named(tmp_path):
    names = ["a.png", "b.png", "c.bmp", "nameless", "README", "a.json", "list.txt", ".DS_Store"]
    x, y = folder(tmp_path / "x", *names), folder(tmp_path / "y", "z.png")
    folder(x / "deeper", "d.png")
    notes: list[str] = []
    assert [i.subject for i in list_folders(x, y, notes=notes)] == ["a", "b", "z"]
    said = f"{x}: 3 not used, no scan that can be read: 'c.bmp', 'deeper', 'nameless'"
    assert notes == [said]


def test_a_series_that_lies_deeper_is_read(tmp_path, save_series):
    slices = np.ones((3, 4, 5), np.int16)
    for place in ("x/p/study/series", "x/q", "y/p"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        save_series(tmp_path / place, slices)
    (tmp_path / "x" / "p" / "study" / "lost.nii").touch()
    (tmp_path / "x" / "q" / "mask.png").touch()
    notes: list[str] = []
    items = list_folders(tmp_path / "x", tmp_path / "y", notes=notes)
    assert [(i.path.name, i.subject) for i in items] == [("series", "p"), ("q", "q"), ("p", "p")]
    assert "2 not used" in notes[0]
    assert "'p/study/lost.nii', 'q/mask.png'" in notes[0]


def test_label_maps_beside_scans_are_named_and_not_used(tmp_path):
    names = ["a_T1.nii", "a_T1_mask.nii", "a_dseg.nii", "a_brainmask.nii", "b_T1_masked.nii"]
    x, y = folder(tmp_path / "x", *names), folder(tmp_path / "y", "c_seg.nii")
    notes: list[str] = []
    used = [i.path.name for i in list_folders(x, y, notes=notes)]
    assert used == ["a_T1.nii", "b_T1_masked.nii", "c_seg.nii"]  # alone, its content decides
    (note,) = notes
    named = "'a_T1_mask.nii', 'a_brainmask.nii', 'a_dseg.nii'"
    assert note == f"{x}: 3 not used, label maps by their names: {named}"


def test_scans_of_another_contrast_are_named_and_not_used(tmp_path):
    kinds = ("t1n", "t1c", "t2w", "t2f")
    x = folder(tmp_path / "x", *(f"BraTS-GLI-0000{i}-000-{k}.nii" for i in "12" for k in kinds))
    notes: list[str] = []
    items = list_folders(x, folder(tmp_path / "y", "a.nii"), notes=notes)
    assert [i.subject for i in items] == ["BraTS-GLI-00001", "BraTS-GLI-00002", "a"]
    assert "6 not used, their names say another contrast than T1: " in notes[0]


@pytest.mark.parametrize("name", ["anna_T2.png", "T2_anna.png", "sub-1_space-T1w_T2w.png"])
def test_interchanged_contrasts_are_refused(tmp_path, fails, name):
    x, y = folder(tmp_path / "a", name), folder(tmp_path / "b", "b.png")
    with fails(x / name, "says T2, but --x takes T1", "interchange"):
        list_folders(x, y)
    with fails(x / name, "says T2, but --val_x takes T1"):
        list_folders(y, x, val_x=x, val_y=y)


def test_interchanged_folders_are_refused_by_their_own_names(tmp_path, fails):
    t1, t2 = folder(tmp_path / "t1", "a.png"), folder(tmp_path / "T2w", "b.png")
    with fails(t2 / "b.png", "says T2, but --x"):
        list_folders(t2, t1)
    assert len(list_folders(t1, t2)) == 2
    study = folder(tmp_path / "T2_study", "c.png")  # the name of a study says nothing
    assert len(list_folders(study, t2)) == 2


def test_one_folder_for_both_domains_is_refused(tmp_path, fails, monkeypatch):
    x = folder(tmp_path / "x", "a_T1.png", "a_T2.png")
    monkeypatch.chdir(x)
    for other in (x, Path("."), x / ".." / "x"):
        with fails(x, "for T1 and for T2", "a folder of each", "--csv"):
            list_folders(x, other)


@pytest.mark.parametrize("name", ["val", "x"])
def test_a_folder_that_is_not_there_is_named(tmp_path, fails, name):
    x, y = folder(tmp_path / "x", "a.png"), folder(tmp_path / "y", "b.png")
    gone = {"val": {"val_x": tmp_path / "gone", "val_y": y}, "x": {"x": tmp_path / "gone"}}
    with fails(tmp_path / "gone", "give an existing folder"):
        list_folders(**{"x": x, "y": y} | gone[name])
