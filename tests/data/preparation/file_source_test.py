"""Tests of how files become slices, of what is noted, and of everything that is refused."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.io
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.data.preparation import file_source as scan_source_module
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.scan import Source
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.data.slicing import index_of_slice

NAMES = [f"s{i}" for i in range(12)]


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


def subjects(source: Source, split: str) -> list[str]:
    return [scan.subject for scan in source.splits[split]]


def refused(*words: str):
    """Expect an InputError of one line that says `words` in this order."""
    return pytest.raises(InputError, match="^" + ".*".join(map(re.escape, ("", *words))) + ".*$")


# ---------------------------------------------------------------- intensities and slices


def test_8_bit_images_use_all_of_their_type(tmp_path, image_folder):
    x, y = (image_folder(tmp_path / d, ["a", "b"], highest=100) for d in "xy")
    source = folder_source(x, y, unpaired="shared")
    read = source.splits["train_x"][0].read()
    assert source.dtypes == {"x": "uint8", "y": "uint8"}
    assert read.intensity == (0, 255)
    assert read.images["a"].max() == pytest.approx(100 / 127.5 - 1)


def test_16_bit_images_use_the_range_of_their_training_folder(tmp_path, image_folder):
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


def test_a_label_map_is_refused_whatever_its_name(tmp_path):
    labels = np.kron(np.arange(27).reshape(3, 3, 3), np.ones((8, 8, 8))).astype(np.int16)
    x, y = volume_folder(tmp_path / "x", ["a"]), volume_folder(tmp_path / "y", ["c"])
    Nifti1Image(labels, np.eye(4)).to_filename(x / "b.nii")
    source = folder_source(x, y)
    with refused("x/b.nii", "seems to be a label map", "remove it"):
        source.splits["train_x"][1].read()


def test_min_head_leaves_slices_out(tmp_path):
    x, y = (volume_folder(tmp_path / d, ["a"]) for d in "xy")
    # a head slice has 48 of 120 pixels
    for least, count in ((0.0, 8), (0.39, 4)):
        source = folder_source(x, y, unpaired="shared", min_head=least)
        assert len(source.splits["train_x"][0].read().images) == count
    source = folder_source(x, y, unpaired="shared", min_head=0.41)
    with refused("a.nii.gz", "no slice", "0.41", "lower --min_head"):
        source.splits["train_x"][0].read()


# ---------------------------------------------------------------- voxel sizes, frames, stacks, CSV


def sized(folder: Path, name: str, *voxel: float, frames: int = 0) -> Path:
    """Adds a volume with voxels of so many mm; with `frames`, frame i is i + 1 times as bright."""
    folder.mkdir(exist_ok=True)
    data = np.stack([head() * (i + 1) for i in range(frames)], -1) if frames else head()
    Nifti1Image(data, np.diag([*voxel, 1])).to_filename(folder / f"{name}.nii.gz")
    return folder


def test_mixed_voxel_sizes_are_refused_before_any_voxel_is_read(tmp_path, monkeypatch):
    x = sized(tmp_path / "x", "a", 1, 1, 3)
    sized(x, "b", 1.005, 1, 3)  # headers round
    y = sized(tmp_path / "y", "c", 1, 1, 1)
    sized(y, "d", 1, 1, 1.25)
    monkeypatch.setattr(scan_source_module.readers, "read_volume", None)
    with refused("y/d.nii.gz", "1 x 1 x 1.25 mm", "c.nii.gz", "1 x 1 x 1 mm", "--spacing=MM"):
        folder_source(x, y)
    assert folder_source(x, y, spacing=2.0).facts["spacing"] == 2.0


def test_pixels_of_another_size_in_the_other_domain_are_noted(tmp_path):
    x = sized(tmp_path / "x", "a", 1, 1.2, 1)
    y = sized(tmp_path / "y", "b", 1, 1.1, 3)
    (note,) = folder_source(x, y).notes
    assert "1.2 x 1 mm in x (T1) but 1.1 x 1 mm in y (T2)" in note
    assert "--spacing=MM" in note
    assert "3 x 1 mm in y" in folder_source(x, y, axis="coronal").notes[0]
    assert folder_source(x, y).pixels["y"] == pytest.approx((1.1, 1))
    coronal = folder_source(x, y, axis="coronal")
    assert coronal.facts["slice_mm"] == pytest.approx({"x": 1.2, "y": 1.1})
    resampled = folder_source(x, y, spacing=1.0)
    assert resampled.notes == []
    assert resampled.pixels == {"x": (1, 1), "y": (1, 1)}
    assert folder_source(x, sized(tmp_path / "z", "c", 1, 1.2, 3)).notes == []


def test_clipping_and_place_are_those_of_the_scan_before_resampling(tmp_path):
    x, y = sized(tmp_path / "x", "a", 1, 1, 2), sized(tmp_path / "y", "b", 1, 1, 1)
    path = x / "a.nii.gz"
    data = np.asarray(nib.load(path).dataobj)
    Nifti1Image(np.minimum(data, np.median(data[data > 0])), np.diag([1, 1, 2, 1])).to_filename(
        path
    )
    plain, resampled = (
        folder_source(x, y, spacing=s).splits["train_x"][0].read() for s in (None, 3.0)
    )
    assert plain.clipped > 0.3
    assert resampled.clipped == plain.clipped
    np.testing.assert_array_equal(resampled.corners, plain.corners)
    assert plain.corners[-1][2] == 2 * (data.shape[2] - 1)


def test_backgrounds_are_made_dark_before_resampling_and_noted(tmp_path):
    x, y = sized(tmp_path / "x", "a", 1, 1, 1), sized(tmp_path / "y", "b", 1, 1, 1)
    data = np.asarray(nib.load(x / "a.nii.gz").dataobj).astype(np.float32)
    is_head = data > 0
    tissue = np.linspace(-2, 1, is_head.sum())
    corner = np.indices(data.shape).sum(axis=0) < 5
    kinds = {
        "padded": np.where(corner, -2000, data),
        "zscored": np.where(is_head, 0, data),
    }
    kinds["zscored"][is_head] = tissue
    for name, made in kinds.items():
        Nifti1Image(made, np.eye(4)).to_filename(x / f"{name}.nii.gz")
    for spacing in (None, 0.5):
        scans = folder_source(x, y, spacing=spacing, min_head=0.0).splits["train_x"]
        plain, padded, zscored = (scan.read() for scan in scans)
        assert not plain.notes
        assert "padding value -2000" in padded.notes[0]
        assert padded.intensity == plain.intensity
        assert "background has the value 0" in zscored.notes[0]
        assert all(image[0, 0] < -0.99 for image in zscored.images.values())
    noise = np.random.default_rng(0).uniform(0, 4095, data.shape)
    Nifti1Image(noise, np.eye(4)).to_filename(y / "uni.nii.gz")
    with refused("y/uni.nii.gz", "noise as bright as the head"):
        folder_source(x, y).splits["train_y"][1].read()


def test_how_a_volume_was_read_is_noted(tmp_path):
    x, y = sized(tmp_path / "x", "a", 1, 1, 2), sized(tmp_path / "y", "b", 1, 1, 1)
    path = x / "a.nii.gz"
    image = Nifti1Image(np.asarray(nib.load(path).dataobj), np.diag([1, 1, 2, 1]))
    image.set_sform(np.diag([2.0, 2, 2, 1]), code=4)
    image.set_qform(np.diag([1.0, 1, 2, 1]), code=1)
    image.to_filename(path)
    source = folder_source(x, y)
    assert source.pixels["x"] == (2, 2)
    (note,) = source.splits["train_x"][0].read().notes
    assert "the sform is used" in note
    assert not source.splits["train_y"][0].read().notes


def test_spacing_resamples_volumes(tmp_path):
    x, y = sized(tmp_path / "x", "a", 1, 1, 2), sized(tmp_path / "y", "b", 1, 1, 1)
    read = folder_source(x, y, spacing=2.0).splits["train_x"][0].read()
    assert read.shape == (8, 6, 5)
    assert {image.shape for image in read.images.values()} == {(6, 5)}


def test_slices_far_below_the_vertex_are_left_out(tmp_path):
    x, y = sized(tmp_path / "x", "a", 1, 1, 2), sized(tmp_path / "y", "b", 1, 1, 1)

    def heights(**options: float) -> dict[str, list[int]]:
        splits = folder_source(x, y, **options).splits
        return {
            domain: [index_of_slice(name) for name in splits[f"train_{domain}"][0].read().images]
            for domain in "xy"
        }

    every = heights()
    top = {domain: max(indices) for domain, indices in every.items()}
    chosen = heights(below_vertex=4.0)
    assert chosen["x"] == [i for i in every["x"] if top["x"] - i <= 2]
    assert chosen["y"] == [i for i in every["y"] if top["y"] - i <= 4]
    assert len(chosen["x"]) < len(every["x"])
    assert heights(below_vertex=1000.0) == every
    assert folder_source(x, y, below_vertex=4.0).facts["below_vertex"] == 4.0
    with refused("--below_vertex", "--axis=coronal"):
        folder_source(x, y, below_vertex=4.0, axis="coronal")


def test_frame_picks_one_of_several(tmp_path):
    x = sized(tmp_path / "x", "a", 1, 1, 1, frames=3)
    y = sized(tmp_path / "y", "b", 1, 1, 1)
    sources = [folder_source(x, y, frame=f).splits["train_x"][0].read() for f in (0, 2)]
    assert sources[1].intensity.high == pytest.approx(3 * sources[0].intensity.high)


@pytest.mark.parametrize("option", [{"spacing": 2.0}, {"frame": 0}, {"below_vertex": 9.0}])
def test_options_of_volumes_are_refused_for_others(tmp_path, option, image_folder):
    x, y = image_folder(tmp_path / "x", ["a"]), sized(tmp_path / "y", "b", 1, 1, 1)
    with refused(f"--{next(iter(option))}", "/x/a.png", "omit it"):
        folder_source(x, y, **option)


def test_stacks_are_kept_whole(tmp_path):
    stack = np.random.default_rng(0).uniform(0, 0.8, (6, 5, 4)).astype(np.float32)
    for contrast, values in (("1", stack), ("2", stack * 2)):
        scipy.io.savemat(tmp_path / f"data_contrast{contrast}.mat", {"data_fs": values})
    files = [tmp_path / f"data_contrast{c}.mat" for c in "12"]
    source = folder_source(*files, unpaired="shared")
    assert subjects(source, "train_x") == subjects(source, "train_y") == ["data"]
    assert source.dtypes == {"x": "float32", "y": "float32"}
    x, y = (source.splits[f"train_{d}"][0].read() for d in "xy")
    assert x.intensity == (0.0, pytest.approx(stack.max()))
    np.testing.assert_allclose(
        x.images["data#002"], 2 * stack[:, :, 2] / stack.max() - 1, atol=1e-6
    )
    np.testing.assert_allclose(y.images["data#002"], x.images["data#002"], atol=1e-6)
    with refused("no T2 training scan is left", "--unpaired=shared"):
        folder_source(*files)


def test_z_scored_stacks_are_refused(tmp_path):
    stack = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", stack)
    np.save(tmp_path / "y.npy", np.abs(stack))
    source = folder_source(tmp_path / "x.npy", tmp_path / "y.npy", unpaired="shared")
    with refused("/x.npy", "below 0", "shift it"):
        source.splits["train_x"][0].read()
    source.splits["train_y"][0].read()


def declared(folder: Path, *rows: tuple[str, str, str, str]) -> list[Item]:
    return [
        Item(folder / file, *row, f"list.csv line {i}") for i, (file, *row) in enumerate(rows, 2)
    ]


def test_several_scans_of_a_subject_pair_by_file_name(tmp_path, image_folder):
    folder = image_folder(tmp_path / "all", ["a", "b", "c1_T1", "c2_T1", "c1_T2", "c2_T2"])
    rows = declared(
        folder,
        ("a.png", "anna", "x", "train"),
        ("b.png", "bert", "y", "train"),
        *((f"c{i}_T{c}.png", "carl", d, "val") for i in "12" for c, d in ("1x", "2y")),
    )
    source = scan_source(rows, {})
    for domain in "xy":
        scans = source.splits[f"val_{domain}"]
        assert [s.name for s in scans] == ["carl#c1", "carl#c2"]
        assert [s.subject for s in scans] == ["carl", "carl"]
        assert list(scans[1].read().images) == ["carl#c2"]
    assert source.splits["train_x"][0].name == "anna"


def test_names_with_a_hash_pair_up(tmp_path, image_folder):
    names = ["Image #1", "Image #10", "Image #2"]
    x, y = (image_folder(tmp_path / d, names) for d in "xy")
    source = folder_source(x, y, holdout="1:2", unpaired="shared")
    for domain in "xy":
        (scan,) = source.splits[f"test_{domain}"]
        assert scan.path == tmp_path / domain / "Image #10.png"
        assert scan.name == scan.subject == "Image no.10"
        assert list(scan.read().images) == ["Image no.10"]


def test_scans_of_two_sessions_are_no_pair(tmp_path, image_folder):
    x, y = image_folder(tmp_path / "x", ["a"]), image_folder(tmp_path / "y", ["b"])
    test_x = image_folder(tmp_path / "v", ["sub-1_ses-1_T1w", "sub-2_acq-a_T1w"])
    test_y = image_folder(tmp_path / "w", ["sub-1_ses-2_T2w", "sub-2_acq-b_T2w"])
    source = folder_source(x, y, test_x=test_x, test_y=test_y)
    names = [[s.name for s in source.splits[f"test_{d}"]] for d in "xy"]
    assert names == [["sub-1#sub-1_ses-1", "sub-2"], ["sub-1#sub-1_ses-2", "sub-2"]]


def test_sessions_of_one_person_stay_in_one_split(tmp_path, image_folder):
    names = [f"sub-{s}_ses-{v}" for s in "123" for v in "12"]
    x, y = (image_folder(tmp_path / d, names) for d in "xy")
    source = folder_source(x, y, holdout="1:2", unpaired="shared")
    assert subjects(source, "test_x") == subjects(source, "test_y") == ["sub-2"] * 2
    assert subjects(source, "train_x") == ["sub-1", "sub-1", "sub-3", "sub-3"]
    with refused("in two splits: 3, first 'sub-2'"):
        folder_source(x, y, test_x=tmp_path / "x" / "sub-2_ses-1.png", test_y=y)


def test_several_scans_of_a_subject_need_several_names(tmp_path, image_folder):
    folder = image_folder(tmp_path / "all", ["a", "a_T1", "b"])
    rows = declared(
        folder,
        ("a.png", "anna", "x", "train"),
        ("a_T1.png", "anna", "x", "train"),
        ("b.png", "bert", "y", "train"),
    )
    with refused("list.csv line 3", "a_T1.png", "a.png", "rename one"):
        scan_source(rows, {})


def test_names_of_scans_can_be_printed(tmp_path, image_folder):
    folder = image_folder(tmp_path / "all", ["a", "a\u00a0b", "b"])
    rows = declared(
        folder,
        ("a.png", "anna", "x", "train"),
        ("a\u00a0b.png", "anna", "x", "train"),
        ("b.png", "bert", "y", "train"),
    )
    with refused("list.csv line 3", r"'a\xa0b.png' has characters", "rename it"):
        scan_source(rows, {})


def test_kinds_do_not_mix_in_a_domain(tmp_path, image_folder):
    folder = sized(image_folder(tmp_path / "all", ["a", "b"]), "c", 1, 1, 1)
    rows = declared(
        folder,
        ("a.png", "anna", "x", "train"),
        ("b.png", "bert", "y", "train"),
        ("c.nii.gz", "carl", "x", "train"),
    )
    with refused("list.csv line 4", "volume", "a.png", "image", "one format"):
        scan_source(rows, {})
