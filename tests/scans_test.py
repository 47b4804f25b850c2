"""Tests of listing scans and telling their kinds apart."""

from pathlib import Path

from cyclegan_jax.data import scans


def test_names():
    assert scans.stem(Path("d/a.b.nii.gz")) == "a.b"
    assert scans.stem(Path("A.NII")) == "A"
    assert scans.stem(Path("s.jpeg")) == "s"
    assert scans.stem(Path("plain")) == "plain"


def test_kinds(fails):
    assert scans.kind(Path("a.NII.GZ")) == scans.kind(Path("a.nii")) == "volume"
    assert scans.kind(Path("a.nii.png")) == "image"
    with fails(Path("a.gz"), "no supported scan", ".nii.gz"):
        scans.kind(Path("a.gz"))


def test_list_scans(tmp_path):
    for name in ("b.PNG", "a.tif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert scans.list_scans(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.PNG"]
    assert scans.list_scans(tmp_path / "a.tif") == [tmp_path / "a.tif"]
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    assert tmp_path / "dangling.png" in scans.list_scans(tmp_path)


def test_list_scans_errors(tmp_path, fails):
    with fails(tmp_path / "gone", "No such file"):
        scans.list_scans(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with fails(path, "no supported file", ".png", ".nii.gz"):
            scans.list_scans(path)
    (tmp_path / "a.png").touch()
    (tmp_path / "b.nii").touch()
    with fails(tmp_path, "separate folders"):
        scans.list_scans(tmp_path)
