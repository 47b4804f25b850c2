"""Tests of files whose content is not fetched yet; bombs_test has the limits."""

from pathlib import Path

import pytest

from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import images, nifti, stacks

POINTERS = {
    "annex": ("/annex/objects/MD5E-s11371238--0123.nii.gz\n", "datalad get"),
    "annex_link": ("../../.git/annex/objects/Zx/9k/MD5E-s1--0.nii.gz", "git annex get"),
    "lfs": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
}
READERS = {
    "a.nii": nifti.read_nifti,
    "a.nii.gz": nifti.read_nifti_spacing,
    "a.png": images.read_image,
    "a.tif": images.read_image,
    "a.mat": stacks.read_stack,
    "a.npy": stacks.read_stack,
}


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_pointers(tmp_path, fails, kind, name):
    text, command = POINTERS[kind]
    (tmp_path / name).write_text(text)
    with fails(tmp_path / name, "not fetched yet", command):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_links_to_nothing(tmp_path, fails, name):
    path = tmp_path / name
    path.symlink_to(f"../.git/annex/objects/Zx/MD5E-s1--0/{name}")
    with fails(path, "not fetched yet", "git-annex", f"datalad get {tmp_path}"):
        READERS[name](path)
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    with fails(path, "not fetched yet", f"links to {tmp_path / 'gone'}", "datalad get"):
        READERS[name](path)


def test_other_files_are_no_pointers(tmp_path):
    assert limits.unfetched(tmp_path) == limits.unfetched(Path("gone")) == ""
    for text in ("", "version 3", "annex/objects", "\n/annex/objects/"):
        (tmp_path / "a").write_text(text)
        assert limits.unfetched(tmp_path / "a") == ""
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert limits.unfetched(tmp_path / "b") == ""
