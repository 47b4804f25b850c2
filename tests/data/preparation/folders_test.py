"""Tests of what folders declare: subjects by file name, domains and splits by folder."""

from pathlib import Path

import pytest

from cyclegan_jax.data.preparation.folders import list_folders, subject_of


def folder(path: Path, *names: str) -> Path:
    """A folder of empty files: listing reads none."""
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("IXI146-HH-1389_T1.nii.gz", "IXI146-HH-1389"),
        ("IXI146-HH-1389_T2.nii.gz", "IXI146-HH-1389"),
        ("IXI146-HH-1389-T2.nii", "IXI146-HH-1389"),
        ("sub-01_T1w.nii.gz", "sub-01"),
        ("case3.t1.png", "case3"),
        ("case 3 T2W.JPG", "case 3"),
        ("patient1.png", "patient1"),  # a word that ends in t and its number: no contrast
        ("Subject2.nii.gz", "Subject2"),
        ("case_T12.png", "case_T12"),
        ("T1_case.png", "T1_case"),
        ("T1.png", "T1"),
        ("_T2.png", "_T2"),
        ("data_train_contrast1.png", "data_train"),
        ("contrast2.png", "contrast2"),
    ],
)
def test_subject_is_the_name_without_trailing_contrast(name, subject):
    assert subject_of(Path("folder_T1") / name) == subject


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


def test_two_files_of_one_subject_are_refused(tmp_path, fails):
    x, y = folder(tmp_path / "x", "a.png"), folder(tmp_path / "y", "s3.png", "s3_T1.png")
    with fails(y / "s3.png", "s3_T1.png", "same subject 's3'", "rename one"):
        list_folders(x, y)


@pytest.mark.parametrize("name", ["val", "x"])
def test_a_folder_that_is_not_there_is_named(tmp_path, fails, name):
    there = folder(tmp_path / "there", "a.png")
    gone = {"val": {"val_x": tmp_path / "gone", "val_y": there}, "x": {"x": tmp_path / "gone"}}
    with fails(tmp_path / "gone", "give an existing folder"):
        list_folders(**{"x": there, "y": there} | gone[name])
