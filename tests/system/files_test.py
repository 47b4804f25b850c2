"""Files are replaced whole, also those that libraries write."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax.data.formats import images, nifti
from cyclegan_jax.system.files import write_whole

GREY8 = np.arange(35, dtype=np.uint8).reshape(5, 7)
DATA = np.arange(120, dtype=np.float32).reshape(4, 5, 6)


def test_text_and_bytes_replace_what_was_there(tmp_path):
    path = tmp_path / "file"
    for data in ("é", b"\x00\xff"):
        write_whole(path, data)
        assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_writers_at_once_do_not_meet(tmp_path):
    path, failures = tmp_path / "file", []

    def write(letter):
        try:
            for _ in range(50):
                write_whole(path, letter * 1000)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(path.read_text())) == 1
    assert list(tmp_path.iterdir()) == [path]


def writers(folder: Path):
    Nifti1Image(DATA, np.eye(4)).to_filename(folder / "like.nii")
    volume = nifti.read_nifti(folder / "like.nii")
    yield "x.png", lambda path: images.write_image(path, GREY8)
    yield "x.jpg", lambda path: images.write_image(path, GREY8)
    yield "x.tif", lambda path: images.write_image(path, GREY8.astype(np.uint16))
    yield "x.nii", lambda path: nifti.write_volume(path, DATA, volume)
    yield "x.nii.gz", lambda path: nifti.write_volume(path, DATA, volume)


def test_failed_write_leaves_nothing_new_and_keeps_the_old(tmp_path, monkeypatch, fails):
    def full(*args):
        raise OSError(28, "No space left on device")

    writer_list = list(writers(tmp_path))
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(os, "replace", full)
    for name, write in writer_list:
        (folder / name).write_text("old")
        with fails(folder / name, "No space left", "free space"):
            write(folder / name)
        assert (folder / name).read_text() == "old"
        (folder / name).unlink()
        with fails(folder / name, "No space left"):
            write(folder / name)
        assert not list(folder.iterdir())


def test_write_stopped_half_way_leaves_nothing(tmp_path, monkeypatch):
    def half(self, path, *args):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    writer_list = list(writers(tmp_path))
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(Image.Image, "save", half)
    monkeypatch.setattr(Nifti1Image, "to_filename", half)
    for name, write in writer_list:
        with pytest.raises(KeyboardInterrupt):
            write(folder / name)
        assert not list(folder.iterdir())


def test_write_where_no_folder_is(tmp_path, fails):
    for name, write in writers(tmp_path):
        for folder in (tmp_path / "like.nii", tmp_path / "gone"):
            with fails(folder / name, "cannot write"):
                write(folder / name)


def test_written_file_is_readable_like_any_other(tmp_path):
    (tmp_path / "plain").touch()
    images.write_image(tmp_path / "a.png", GREY8)
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
