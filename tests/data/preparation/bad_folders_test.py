"""Tests of folders that cannot be prepared: one line says why, and nothing is left behind."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.write import prepare

NAMES = [f"s{i}" for i in range(12)]


def refused(*words: str):
    """Expect an InputError of one line that says `words` in this order."""
    return pytest.raises(InputError, match="^" + ".*".join(map(re.escape, ("", *words))) + ".*$")


def save(name: str, pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: Image.fromarray(pixels).save(folder / name)


def save_volume(name: str, data: np.ndarray) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        image = Nifti1Image(data, np.eye(4))
        image.to_filename(folder / name)

    return spoil


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def remove(folder: Path) -> None:
    clear(folder)
    folder.rmdir()


def truncate(folder: Path) -> None:
    path = folder / "s3.png"
    path.write_bytes(path.read_bytes()[:60])


def blacken(folder: Path) -> None:
    for path in folder.iterdir():
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(path)


COLOURED = np.zeros((6, 8, 3), np.uint8)
COLOURED[2, 2] = 200, 10, 10
VOLUME = np.arange(10 * 12 * 8, dtype=np.float32).reshape(10, 12, 8)
WITH_NAN = VOLUME.copy()
WITH_NAN[0, 0, 0] = np.nan
BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "empty": (clear, ("x", "no supported scan", "use")),
    "missing": (remove, ("x", "No such file", "give an existing folder")),
    "truncated": (truncate, ("s3.png", "export it again")),
    "sizes": (save("s3.png", np.ones((8, 6), np.uint8)), ("s3.png is 6x8", "8x6", "one size")),
    "depths": (save("s3.png", np.ones((6, 8), np.uint16)), ("s3.png", "uint16", "one bit depth")),
    "coloured": (save("s3.png", COLOURED), ("s3.png", "coloured", "as grey")),
    "subjects": (save("s3.tif", np.ones((6, 8), np.uint8)), ("s3", "same subject", "rename")),
    "black": (blacken, ("x", "every training image is black")),
    "nan": (save_volume("a.nii.gz", WITH_NAN), ("a.nii.gz", "1 voxels", "NaN", "set them")),
    "4-D": (
        save_volume("a.nii.gz", np.stack([VOLUME] * 2, -1)),
        ("a.nii.gz", "(10, 12, 8, 2)", "pick one with --frame"),
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
@pytest.mark.parametrize("domain", ["x", "y"])
def test_bad_folder_is_refused_and_leaves_nothing(tmp_path, case, domain, image_folder):
    spoil, words = BAD_FOLDERS[case]
    folders = {d: image_folder(tmp_path / d, NAMES) for d in "xy"}
    spoil(folders[domain])
    before = sorted(tmp_path.rglob("*"))
    words = (f"/{domain}", *words[1:]) if words[0] == "x" else (f"/{domain}/", *words)
    with refused(*words):
        prepare(scan_source(list_folders(**folders), {}), tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before
