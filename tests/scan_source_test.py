"""Tests of how files become slices, of what is noted, and of everything that is refused."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity, mri_slices
from cyclegan_jax.data.folders import list_folders
from cyclegan_jax.data.scan_source import scan_source
from cyclegan_jax.data.sources import Source

NAMES = [f"s{i}" for i in range(12)]


def image_folder(
    folder: Path, names: list[str], *, dtype: type = np.uint8, highest: int = 200, suffix=".png"
) -> Path:
    """Writes random images of 6 rows and 8 columns whose values reach `highest`."""
    folder.mkdir()
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, highest, (6, 8)).astype(dtype)
        pixels[0, 0] = highest
        Image.fromarray(pixels).save(folder / f"{name}{suffix}")
    return folder


def head() -> np.ndarray:
    """A volume [10, 12, 8]: air 0, a head of 100 that fills slices 2 to 5, one voxel of 130."""
    data = np.zeros((10, 12, 8), np.float32)
    data[2:8, 2:10, 2:6] = 100
    data[6, 9, 4] = 130
    return data


def volume_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        Nifti1Image(head(), np.eye(4)).to_filename(folder / f"{name}.nii.gz")
    return folder


def folder_source(
    x: Path, y: Path, *, test_x: Path | None = None, test_y: Path | None = None, **options
) -> Source:
    return scan_source(list_folders(x, y, test_x=test_x, test_y=test_y), {}, **options)


def refused(*words: str):
    """Expect an InputError of one line that says `words` in this order."""
    return pytest.raises(InputError, match="^" + ".*".join(map(re.escape, ("", *words))) + ".*$")


# ---------------------------------------------------------------- intensities and slices


def test_8_bit_images_use_all_of_their_type(tmp_path):
    x, y = (image_folder(tmp_path / d, ["a", "b"], highest=100) for d in "xy")
    source = folder_source(x, y, unpaired="shared")
    read = source.splits["train_x"][0].read()
    assert source.dtypes == {"x": "uint8", "y": "uint8"}
    assert read.intensity == (0, 255)
    assert read.images["a"].max() == pytest.approx(100 / 127.5 - 1)


def test_16_bit_images_use_the_range_of_their_training_folder(tmp_path):
    x = image_folder(tmp_path / "x", ["a"], dtype=np.uint16, highest=3000)
    image_folder(tmp_path / "x2", ["b"], dtype=np.uint16, highest=1500)
    (tmp_path / "x2" / "b.png").rename(x / "b.png")
    y = image_folder(tmp_path / "y", ["c"])
    test_x = image_folder(tmp_path / "test_x", ["p"], dtype=np.uint16, highest=750)
    test_y = image_folder(tmp_path / "test_y", ["p"])
    source = folder_source(x, y, test_x=test_x, test_y=test_y)
    assert source.dtypes == {"x": "uint16", "y": "uint8"}
    brightest = {
        scan.subject: max(image.max() for image in scan.read().images.values())
        for split in ("train_x", "test_x")
        for scan in source.splits[split]
    }
    # translate.py knows the training images' range only, so tests must be scored in that one
    assert brightest == pytest.approx({"a": 1.0, "b": 0.0, "p": -0.5})


@pytest.mark.parametrize(
    ("axis", "count", "bright"),
    # slice number, then (row, column): both are reversed, so that anterior or superior is on top
    [("axial", 4, (4, 2, 3)), ("coronal", 8, (9, 3, 3)), ("sagittal", 6, (6, 3, 2))],
)
def test_volumes_are_sliced_along_the_axis(tmp_path, axis, count, bright):
    x, y = (volume_folder(tmp_path / d, ["a"]) for d in "xy")
    source = folder_source(x, y, unpaired="shared", axis=axis)
    images = source.splits["train_x"][0].read().images
    assert len(images) == count
    number, row, column = bright
    image = images[f"a#{number:03d}"]
    assert np.unravel_index(image.argmax(), image.shape) == (row, column)
    assert source.dtypes == {"x": "float32", "y": "float32"}
    assert source.facts["axis"] == axis


def test_volumes_are_normalised_as_a_whole(tmp_path):
    data = head()
    data[2:8, 2:10, 3] = 50  # one slice darker than the others
    volume_folder(tmp_path / "x", ["a"])
    Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "x" / "a.nii.gz")
    source = folder_source(tmp_path / "x", volume_folder(tmp_path / "y", ["b"]))
    images = source.splits["train_x"][0].read().images
    top = intensity.volume_range(data).high
    assert images["a#003"].max() == pytest.approx(2 * 50 / top - 1, abs=1e-6)
    assert images["a#002"].max() == pytest.approx(2 * 100 / top - 1, abs=1e-6)


def test_min_head_leaves_slices_out(tmp_path):
    x, y = (volume_folder(tmp_path / d, ["a"]) for d in "xy")
    # a head slice has 48 of 120 pixels
    for least, count in ((0.0, 8), (0.39, 4)):
        source = folder_source(x, y, unpaired="shared", min_head=least)
        assert len(source.splits["train_x"][0].read().images) == count
    source = folder_source(x, y, unpaired="shared", min_head=0.41)
    with refused("a.nii.gz", "no slice", "0.41", "lower --min_head"):
        source.splits["train_x"][0].read()


# ---------------------------------------------------------------- refused folders


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
WITH_NAN = head()
WITH_NAN[0, 0, 0] = np.nan
BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "empty": (clear, ("x", "no supported scan", "use")),
    "missing": (remove, ("x", "No such file", "give an existing folder")),
    "truncated": (truncate, ("s3.png", "re-export")),
    "sizes": (save("s3.png", np.ones((8, 6), np.uint8)), ("s3.png is 6x8", "8x6", "one size")),
    "depths": (save("s3.png", np.ones((6, 8), np.uint16)), ("s3.png", "uint16", "one bit depth")),
    "coloured": (save("s3.png", COLOURED), ("s3.png", "coloured", "as grey")),
    "subjects": (save("s3_T1.png", np.ones((6, 8), np.uint8)), ("s3", "same subject", "rename")),
    "black": (blacken, ("x", "every training image is black")),
    "nan": (save_volume("a.nii.gz", WITH_NAN), ("a.nii.gz", "1 voxels", "NaN", "set them")),
    "4-D": (
        save_volume("a.nii.gz", np.stack([head()] * 2, -1)),
        ("a.nii.gz", "(10, 12, 8, 2)", "pick one with --frame"),
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
@pytest.mark.parametrize("domain", ["x", "y"])
def test_bad_folder_is_refused_and_leaves_nothing(tmp_path, case, domain):
    spoil, words = BAD_FOLDERS[case]
    folders = {d: image_folder(tmp_path / d, NAMES) for d in "xy"}
    spoil(folders[domain])
    before = sorted(tmp_path.rglob("*"))
    words = (f"/{domain}", *words[1:]) if words[0] == "x" else (f"/{domain}/", *words)
    with refused(*words):
        mri_slices.prepare(folder_source(folders["x"], folders["y"]), tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before
