"""Tests of listing scans, telling their kinds apart and reading them."""

from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax.data.formats import readers


def test_names():
    assert readers.stem(Path("d/a.b.nii.gz")) == "a.b"
    assert readers.stem(Path("A.NII")) == "A"
    assert readers.stem(Path("s.jpeg")) == "s"
    assert readers.stem(Path("plain")) == "plain"


def test_kinds(fails):
    assert (
        readers.format_of(Path("a.NII.GZ")).kind
        == readers.format_of(Path("a.nii")).kind
        == "volume"
    )
    assert readers.format_of(Path("a.nii.png")).kind == "image"
    with fails(Path("a.gz"), "no supported scan", ".nii.gz"):
        readers.format_of(Path("a.gz"))


def test_list_scans(tmp_path, fails):
    for name in ("b.PNG", "a.tif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert readers.list_scans(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.PNG"]
    assert readers.list_scans(tmp_path / "a.tif") == [tmp_path / "a.tif"]
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    assert tmp_path / "dangling.png" in readers.list_scans(tmp_path)
    with fails(tmp_path / "dangling.png", "not fetched yet"):
        readers.list_scans(tmp_path / "dangling.png")
    assert readers.list_folder(tmp_path).left_out == [tmp_path / "folder.png"]


def test_all_scans_inside_a_folder(tmp_path, save_series):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("s.nii", "a/b/t.png", "a/odd", "a/notes.txt"):
        (tmp_path / name).touch()
    save_series(tmp_path / "a" / "series", np.ones((2, 3, 4), np.int16))
    found = readers.list_inside(tmp_path)
    names = ["a/b/t.png", "a/series", "s.nii"]
    assert found == readers.Listing([tmp_path / n for n in names], [tmp_path / "a" / "odd"])
    assert readers.list_inside(tmp_path / "a" / "odd").left_out == [tmp_path / "a" / "odd"]


def test_list_scans_errors(tmp_path, fails):
    with fails(tmp_path / "gone", "No such file"):
        readers.list_scans(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with fails(path, "no supported scan", ".png", ".nii.gz"):
            readers.list_scans(path)
    (tmp_path / "a.png").touch()
    (tmp_path / "b.nii").touch()
    with fails(tmp_path, "separate folders"):
        readers.list_scans(tmp_path)


# ---------------------------------------------------------------- DICOM and stacks

SLICES = np.random.default_rng(0).integers(0, 900, (4, 6, 5)).astype(np.int16)


def test_folders_of_series_are_listed_beside_volumes(tmp_path, save_series):
    save_series(tmp_path / "b_T1", SLICES)
    save_series(tmp_path / ".hidden", SLICES)
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.nii").touch()
    assert readers.list_scans(tmp_path) == [tmp_path / "a.nii", tmp_path / "b_T1"]
    assert readers.list_scans(tmp_path / "b_T1") == [tmp_path / "b_T1"]
    assert readers.format_of(tmp_path / "b_T1").kind == "volume"
    assert readers.stem(tmp_path / "b_T1") == "b_T1"


def test_dicom_files_beside_other_scans_are_refused(tmp_path, save_series, fails):
    (path, *_) = save_series(tmp_path / "s", SLICES)
    (tmp_path / "s" / "a.nii").touch()
    with fails(tmp_path / "s", "DICOM files beside a.nii", "separate folders"):
        readers.list_scans(tmp_path / "s")
    with fails(path, "one file of a DICOM series", "folder"):
        readers.list_scans(path)


def test_stacks_are_a_kind_of_their_own(tmp_path, fails):
    for name in ("a.mat", "b.MAT"):
        (tmp_path / name).touch()
    assert [readers.format_of(p).kind for p in readers.list_scans(tmp_path)] == ["stack", "stack"]
    assert readers.stem(tmp_path / "b.MAT") == "b"
    (tmp_path / "c.png").touch()
    with fails(tmp_path, "images and stacks", "separate folders"):
        readers.list_scans(tmp_path)


def test_volumes_of_both_forms_are_read(tmp_path, save_series, fails):
    save_series(tmp_path / "s", SLICES)
    series = readers.read_volume(tmp_path / "s")
    nifti = Nifti1Image(np.stack([np.asarray(series.source.dataobj)] * 2, -1), None)
    nifti.set_sform(series.source.affine, code=1)
    nifti.to_filename(tmp_path / "a.nii.gz")
    read = readers.read_volume(tmp_path / "a.nii.gz", frame=1)
    assert np.array_equal(read.data, series.data)
    assert (
        readers.read_spacing(tmp_path / "s")
        == readers.read_spacing(tmp_path / "a.nii.gz")
        == (1, 1.5, 2)
    )
    assert np.array_equal(readers.read_volume(tmp_path / "s", frame=0).data, series.data)
    with fails(tmp_path / "s", "no frame 1", "frame 0"):
        readers.read_volume(tmp_path / "s", frame=1)
    with fails(tmp_path / "a.png", "not a volume"):
        readers.read_spacing(tmp_path / "a.png")


def test_rows_of_the_table_are_complete_and_do_not_overlap():
    suffixes = [suffix for row in readers.FORMATS for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    for row in readers.FORMATS:
        assert bool(row.suffixes) != bool(row.is_scan), row.name
        assert bool(row.read_spacing) == (row.kind == "volume"), row.name


def test_a_new_row_is_all_that_a_format_needs(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").write_text("mine")
    row = readers.Format("XYZ", "volume", lambda path, frame: (path, frame), (".xyz",))
    monkeypatch.setattr(readers, "_BY_SUFFIX", {**readers._BY_SUFFIX, ".xyz": row})
    assert readers.list_scans(tmp_path) == [tmp_path / "a.xyz"]
    assert readers.read_volume(tmp_path / "a.xyz", 2) == (tmp_path / "a.xyz", 2)
    assert readers.stem(tmp_path / "a.xyz") == "a"
