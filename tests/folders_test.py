"""Tests of what goes into a data set: subjects, splits, slices, and everything that is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity, mri_slices
from cyclegan_jax.data.folders import folder_source, subject_of
from cyclegan_jax.data.sources import Source

NAMES = [f"s{i}" for i in range(12)]
SORTED = sorted(NAMES)  # s0, s1, s10, s11, s2, …


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


def subjects(source: Source, split: str) -> list[str]:
    return [scan.subject for scan in source.splits[split]]


def refused(*words: str):
    """Expect an InputError of one line that says `words` in this order."""
    return pytest.raises(InputError, match="^" + ".*".join(map(re.escape, ("", *words))) + ".*$")


# ---------------------------------------------------------------- subjects and splits


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
    ],
)
def test_subject_is_the_name_without_trailing_contrast(name, subject):
    assert subject_of(Path("folder_T1") / name) == subject


def test_holdout_takes_positions_in_the_sorted_common_names(tmp_path):
    x = image_folder(tmp_path / "x", [f"{n}_T1" for n in (*NAMES, "only_x")])
    y = image_folder(tmp_path / "y", [f"{n}-t2w" for n in (*NAMES, "a_only_y")])
    source = folder_source(x, y, holdout="2::5", unpaired="shared")
    held = [SORTED[2], SORTED[7]]
    assert subjects(source, "test_x") == subjects(source, "test_y") == held
    trained = [n for n in SORTED if n not in held]
    assert sorted(subjects(source, "train_x")) == sorted([*trained, "only_x"])
    assert sorted(subjects(source, "train_y")) == sorted([*trained, "a_only_y"])


@pytest.mark.parametrize(
    ("holdout", "held"), [(":2", SORTED[:2]), ("-1:", SORTED[-1:]), ("1:6:2", SORTED[1:6:2])]
)
def test_holdout_is_any_slice(tmp_path, holdout, held):
    x, y = (image_folder(tmp_path / d, NAMES) for d in "xy")
    assert subjects(folder_source(x, y, holdout=holdout), "test_x") == held


def test_validation_is_taken_from_what_the_holdout_leaves(tmp_path):
    x, y = (image_folder(tmp_path / d, NAMES) for d in "xy")
    source = folder_source(x, y, holdout="::4", validation="::4", unpaired="shared")
    tests, rest = SORTED[::4], [n for n in SORTED if n not in SORTED[::4]]
    for domain in "xy":
        assert subjects(source, f"test_{domain}") == tests
        assert subjects(source, f"val_{domain}") == rest[::4]
        assert subjects(source, f"train_{domain}") == [n for n in rest if n not in rest[::4]]
    with pytest.raises(InputError, match="--validation='x' is no Python slice"):
        folder_source(x, y, validation="x")


def test_disjoint_trains_no_subject_in_both_domains(tmp_path):
    x = image_folder(tmp_path / "x", [*NAMES, "only_x"])
    y = image_folder(tmp_path / "y", [*NAMES, "only_y"])
    source = folder_source(x, y, holdout="2::5")
    of_x, of_y = subjects(source, "train_x"), subjects(source, "train_y")
    assert not set(of_x) & set(of_y)
    assert sorted([*of_x, *of_y]) == sorted(
        [n for n in NAMES if n not in (SORTED[2], SORTED[7])] + ["only_x", "only_y"]
    )
    assert len(of_x) == len(of_y) == 6
    assert source.facts["subjects_in_both_training_folders"] == 10


def test_shared_trains_both_domains_on_all(tmp_path):
    x, y = (image_folder(tmp_path / d, NAMES) for d in "xy")
    source = folder_source(x, y, unpaired="shared")
    assert subjects(source, "train_x") == subjects(source, "train_y") == SORTED
    assert set(source.splits) == {"train_x", "train_y"}


def test_test_folders_pair_by_subject(tmp_path):
    x, y = image_folder(tmp_path / "x", ["a"]), image_folder(tmp_path / "y", ["b"])
    test_x = image_folder(tmp_path / "test_x", ["q_T1", "p_T1", "lone_T1"])
    test_y = image_folder(tmp_path / "test_y", ["other_T2", "p_T2", "q_T2"], suffix=".tif")
    source = folder_source(x, y, test_x=test_x, test_y=test_y)
    assert subjects(source, "test_x") == subjects(source, "test_y") == ["p", "q"]
    assert [list(s.read().images) for s in source.splits["test_y"]] == [["p"], ["q"]]
    assert subjects(source, "train_x") == ["a"]


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
    "black": (blacken, ("x", "every image is black")),
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"holdout": "every fifth"}, ("--holdout='every fifth'", "no Python slice", "2::5")),
        ({"holdout": "2"}, ("--holdout='2'", "no Python slice", "2::5")),
        ({"holdout": "1:2:3:4"}, ("--holdout='1:2:3:4'", "no Python slice")),
        ({"holdout": "::0"}, ("--holdout='::0'", "no Python slice")),
        ({"holdout": "12:"}, ("--holdout=12:", "none of the 12 names", "equal names")),
        ({"holdout": "::"}, ("/x", "no training image", "--holdout='::'", "hold out fewer")),
        ({"holdout": "1:"}, ("/y", "no training image", "--unpaired=disjoint", "add images")),
        ({"test_x": "p"}, ("both --test_x and --test_y", "or neither")),
        ({"test_y": "p"}, ("both --test_x and --test_y", "or neither")),
        ({"test_x": "p", "test_y": "p", "holdout": "::2"}, ("--holdout", "not both")),
        ({"test_x": "p", "test_y": "q"}, ("/p has a partner in", "/q", "equal names")),
        ({"test_x": "p16", "test_y": "p"}, ("/p16 holds uint16", "uint8", "one format")),
        ({"test_x": "leak", "test_y": "leak"}, ("2 test subjects", "'s10'", "or use --holdout")),
        ({"test_x": "gone", "test_y": "p"}, ("/gone", "give an existing folder")),
    ],
)
def test_bad_splits_are_refused(tmp_path, arguments: dict[str, Any], words):
    x, y = (image_folder(tmp_path / d, NAMES) for d in "xy")
    image_folder(tmp_path / "p", ["p1", "p2"])
    image_folder(tmp_path / "p16", ["p1", "p2"], dtype=np.uint16)
    image_folder(tmp_path / "q", ["q1"])
    image_folder(tmp_path / "leak", ["p1", "s10_T1", "s3"])
    arguments = {k: v if k == "holdout" else tmp_path / v for k, v in arguments.items()}
    with refused(*words):
        folder_source(x, y, **arguments)


def test_names_in_one_domain_only_cannot_be_held_out(tmp_path):
    x, y = image_folder(tmp_path / "x", ["a", "b"]), image_folder(tmp_path / "y", ["c", "d"])
    with refused("none of the 0 names", "equal names"):
        folder_source(x, y, holdout="::2")
