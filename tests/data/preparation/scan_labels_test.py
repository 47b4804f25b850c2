"""Tests of label maps: whose they are, that they lie on their scan's grid, and what is stored."""

from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.config import base_config
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.intensity import volume_range
from cyclegan_jax.data.preparation import scan_labels
from cyclegan_jax.data.preparation.csv_list import read_listing
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.data.preparation.write import prepare

TISSUE = {0: 400, 7: 300, 300: 1000}  # brightness; 0 is the scalp


def labels() -> np.ndarray:
    """Regions 7 and 300 `[20, 24, 12]` in an uneven place; slices 2 to 9 have some."""
    made = np.zeros((20, 24, 12), np.int16)
    made[5:14, 6:19, 2:10] = 7
    made[5:9, 6:12, 4:8] = 300
    return made


def scan(regions: np.ndarray, seed: int = 0) -> np.ndarray:
    """A head on dark air, whose regions have the brightness of `TISSUE`."""
    rng = np.random.default_rng(seed)
    data = rng.uniform(0, 5, regions.shape)
    data[3:17, 3:21] = 400
    for region, brightness in TISSUE.items():
        if region:
            data[regions == region] = brightness
    return (data + rng.uniform(0, 20, data.shape)).astype(np.float32)


def save(path: Path, data: np.ndarray, voxel=(1, 1, 1), flip: bool = False) -> Path:
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([*voxel, 1.0])
    if flip:  # the same places in another order of voxels
        data = data[::-1]
        affine[0, 0] *= -1
        affine[0, 3] = -affine[0, 0] * (len(data) - 1)
    Nifti1Image(data, affine).to_filename(path)
    return path


@pytest.fixture
def folders(tmp_path):
    """T1 scans of a and p, T2 scans of b and p; p is a test pair with a label map."""
    for place, name, seed in (("x", "a_T1", 1), ("y", "b_T2", 2), ("px", "p_T1", 3)):
        save(tmp_path / place / f"{name}.nii.gz", scan(labels(), seed))
    save(tmp_path / "py" / "p_T2.nii.gz", scan(labels(), 4))
    save(tmp_path / "labels" / "p_DLMUSE.nii.gz", labels(), flip=True)
    return tmp_path


def items_of(place: Path, **more) -> list[Item]:
    folder = {d: place / d for d in "xy"}
    return list_folders(**folder, test_x=place / "px", test_y=place / "py", **more)


def prepared(place: Path, items: list[Item], **more):
    return prepare(scan_source(items, {"kind": "folders"}, **more), place / "out")


def item(name: str, domain: str = "x", *, session: str = "", scan: str = "") -> Item:
    return Item(Path("in", f"{name}.nii"), name.split("_")[0], domain, "val", name, scan, session)


def matched(place: Path, names: list[str], items: list[Item]) -> list[str]:
    place.mkdir(exist_ok=True)
    for name in names:
        (place / f"{name}.nii.gz").touch()
    found = scan_labels.in_folder(items, place, [])
    return [i.labels.name.removesuffix(".nii.gz") if i.labels else "" for i in found]


# ---------------------------------------------------------------- which label map


def test_labels_without_a_contrast_are_for_both_scans_of_the_subject(tmp_path):
    items = [item("anna_T1"), item("anna_T2", "y"), item("anne_T1")]
    assert matched(tmp_path / "1", ["anna_DLMUSE", "x"], items) == ["anna_DLMUSE"] * 2 + [""]
    named = ["anna_brain_mask", "anna_T2_mask", "anne_T2_mask"]
    assert matched(tmp_path / "2", named, items) == ["anna_brain_mask", "anna_T2_mask", ""]


def test_a_person_is_not_another_one_whose_name_begins_alike(tmp_path):
    items = [item("p1_T1"), item("p10_T1")]
    assert matched(tmp_path / "1", ["p10_seg"], items) == ["", "p10_seg"]
    assert matched(tmp_path / "2", ["p1_0_seg", "p10_seg"], items) == ["", "p10_seg"]
    assert matched(tmp_path / "3", ["p1_v2_synthseg"], items) == ["p1_v2_synthseg", ""]


def test_labels_of_a_session_are_for_its_scan_alone(tmp_path):
    items = [item("p_T1", session=s, scan=f"p_ses-{s}") for s in ("1", "2")]
    items = [Item(i.path, "p", "x", "val", i.where, i.scan, f"ses-{i.session}") for i in items]
    assert matched(tmp_path / "1", ["p_ses-2_mask"], items) == ["", "p_ses-2_mask"]
    assert matched(tmp_path / "2", ["p_mask", "p_ses-2_dseg"], items) == ["p_mask", "p_ses-2_dseg"]


def test_images_take_the_labels_of_their_own_slice(tmp_path, image_folder):
    names = [f"{p}_00{i}" for p in "ab" for i in range(2)]
    x, y = (image_folder(tmp_path / d, names) for d in "xy")
    items = list_folders(x, y)
    made = matched(tmp_path / "labels", ["a_001_mask"], items)
    assert [i.path.stem for i, name in zip(items, made, strict=True) if name] == ["a_001"] * 2


def test_two_label_maps_of_one_scan_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"anna_T1: both .*anna_a.* and .*anna_b.* rename one"):
        matched(tmp_path / "1", ["anna_a", "anna_b"], [item("anna_T1")])


def test_label_maps_of_nobody_are_refused_and_spare_ones_are_noted(tmp_path, fails):
    folder = tmp_path / "labels"
    save(folder / "q_mask.nii.gz", labels())
    with fails(f"--labels={folder}", "q_mask.nii.gz", "subject 'q'", "p_T1.nii", "'p'"):
        scan_labels.in_folder([item("p_T1")], folder, [])
    save(folder / "p_mask.nii.gz", labels())
    notes: list[str] = []
    scan_labels.in_folder([item("p_T1")], folder, notes)
    assert notes == [f"{folder}: 1 not used, label maps of no scan: 'q_mask.nii.gz'"]
    (tmp_path / "none").mkdir()
    with fails(f"--labels={tmp_path / 'none'}", "holds no label map"):
        scan_labels.in_folder([item("p_T1")], tmp_path / "none", [])


def test_a_suffix_finds_label_maps_beside_scans_whatever_it_is(folders, fails):
    save(folders / "px" / "p_T1-tissue.nii", labels())
    items = scan_labels.beside(items_of(folders, mask_suffix="-tissue"), "-tissue")
    found = {i.path.name: i.labels and i.labels.name for i in items}
    assert found == {
        "a_T1.nii.gz": None,
        "b_T2.nii.gz": None,
        "p_T1.nii.gz": "p_T1-tissue.nii",
        "p_T2.nii.gz": None,
    }
    with fails("--mask_suffix=_mask", "a_T1_mask.nii.gz", "--labels"):
        scan_labels.beside(items, "_mask")


def test_a_csv_may_have_a_column_of_labels(folders, fails):
    lines = "a_T1.nii.gz,a,x,train,\n../y/b_T2.nii.gz,b,y,train,../labels/p_DLMUSE.nii.gz\n"
    path = folders / "x" / "list.csv"
    path.write_text("file,subject,domain,split,labels\n" + lines)
    first, second = read_listing(path)
    assert first.labels is None
    assert second.labels.samefile(folders / "labels" / "p_DLMUSE.nii.gz")
    path.write_text(path.read_text().replace("DLMUSE", "gone"))
    with fails(path, "line 3", "p_gone.nii.gz", "does not exist"):
        read_listing(path)


# ---------------------------------------------------------------- what is stored


@pytest.mark.parametrize("axis", ["axial", "coronal"])
def test_pairs_have_the_labels_of_their_pixels(folders, axis):
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    names = {"label_names": {"fluid": [300]}, "region_names": {300: "right fluid"}}
    dataset = prepared(folders, items, axis=axis, **names)
    opened = open_dataset(dataset.folder)
    assert opened.names("test_labels") == opened.names("test_x")
    assert "test_labels" in opened.summary()
    assert opened.label_names == {"fluid": [300]}
    assert opened.region_names == {300: "right fluid"}
    c = base_config()
    c.image_size, c.data.dir = 32, str(dataset.folder)
    pairs = from_config.scored_pairs(c, opened, "test")
    assert set(np.unique(pairs.labels)) == {0, 7, 300}
    assert (pairs.tissues, pairs.regions) == ({"fluid": [300]}, {300: "right fluid"})
    assert from_config.voxel_of_pairs(c, opened, "test") == (1, 1, 1)
    high = opened.manifest["domains"]["x"]["range"][1]
    for region, brightness in TISSUE.items():
        if region:  # the label map has another order of voxels than its scan
            seen = (pairs.x[pairs.labels == region] + 1) * high / 2
            assert np.abs(seen - brightness).max() < 45
    np.testing.assert_array_equal(pairs.brain[..., 0], pairs.labels != 0)
    c.data.fit, c.image_size = "resize", 64
    large = from_config.scored_pairs(c, opened, "test")
    voxel = from_config.voxel_of_pairs(c, opened, "test")
    assert voxel is not None
    assert (voxel[1] < 0.5, voxel[2]) == (True, 1)  # the image has grown, its distance has not
    assert set(np.unique(large.labels)) == {0, 7, 300}  # never a number between
    middle = (large.labels == 300) & (np.roll(large.labels, 2, 1) == 300)
    assert np.abs(np.median((large.x[middle] + 1) * high / 2) - 1000) < 30


def test_labels_are_resampled_with_their_scan(folders):
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    read = scan_source(items, {}, spacing=0.5).splits["test_x"][0].read()
    assert read.labels.keys() == read.images.keys()
    for name, image in read.images.items():
        regions = read.labels[name]
        assert regions.dtype == np.uint16
        assert set(np.unique(regions)) <= {0, 7, 300}
        if (regions == 300).any():
            assert np.median(image[regions == 300]) > 0.4
            assert np.median(image[regions == 7]) < -0.2


def test_the_digest_and_the_images_do_not_depend_on_labels(folders):
    plain = prepare(scan_source(items_of(folders), {"kind": "folders"}), folders / "plain")
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    labelled = prepared(folders, items)
    assert labelled.digest == plain.digest
    assert "test_labels" not in plain.manifest["splits"]
    assert plain.image_splits == labelled.image_splits


def test_labels_of_the_other_scan_serve_and_pairs_without_are_noted(folders):
    for place, name in (("px", "q_T1"), ("py", "q_T2")):
        save(folders / place / f"{name}.nii.gz", scan(labels(), 9))
    (folders / "labels" / "p_DLMUSE.nii.gz").rename(folders / "labels" / "p_T2_seg.nii.gz")
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    dataset = prepared(folders, items)
    assert {name.split("#")[0] for name in dataset.names("test_labels")} == {"p"}
    (note,) = (n for n in dataset.manifest["notes"] if "label map" in n)
    assert note.startswith("test: 1 of 2 pairs have no label map, first 'q'")


def test_labels_of_image_files(tmp_path):
    regions = (np.arange(192).reshape(12, 16) // 50).astype(np.uint8)
    for place, name in (("x", "a"), ("y", "b"), ("px", "p"), ("py", "p")):
        (tmp_path / place).mkdir()
        Image.fromarray(regions * 60 + 9).save(tmp_path / place / f"{name}.png")
    (tmp_path / "labels").mkdir()
    Image.fromarray(regions).save(tmp_path / "labels" / "p_mask.png")
    items = scan_labels.in_folder(items_of(tmp_path), tmp_path / "labels", [])
    dataset = prepared(tmp_path, items)
    np.testing.assert_array_equal(dataset.split("test_labels")[0]["image"][..., 0], regions)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"data": labels()[:-1]}, ("has 19x24x12 voxels", "p_T1.nii.gz has 20x24x12")),
        ({"data": labels(), "voxel": (1, 1, 1.2)}, ("lies 2.2 mm away", "p_T1.nii.gz")),
        ({"data": labels(), "voxel": (1, 1, 1.06)}, ("lies 0.66 mm away", "p_T1.nii.gz")),
        ({"data": labels() - 1}, ("no label map", "whole numbers")),
        ({"data": scan(labels())}, ("no label map", "whole numbers")),
    ],
)
def test_label_maps_on_another_grid_or_with_other_values_are_refused(folders, fails, wrong, words):
    path = save(folders / "labels" / "p_DLMUSE.nii.gz", **wrong)
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    with fails(path, *words):
        prepared(folders, items)


def test_a_grid_may_be_off_by_less_than_half_a_voxel(folders):
    save(folders / "labels" / "p_DLMUSE.nii.gz", labels(), voxel=(1, 1, 1.03))
    prepared(folders, scan_labels.in_folder(items_of(folders), folders / "labels", []))


# ---------------------------------------------------------------- brains cut out


def test_brain_only_makes_air_of_everything_outside_the_labels(folders, fails):
    whole = items_of(folders)
    items = scan_labels.in_folder(whole, folders / "labels", [])
    with fails(folders / "x" / "a_T1.nii.gz", "no label map", "--brain_only", "2 have none"):
        scan_source(items, {}, brain_only=True)
    for name in ("a", "b"):
        save(folders / "labels" / f"{name}_seg.nii.gz", labels())
    items = scan_labels.in_folder(whole, folders / "labels", [])
    dataset = prepared(folders, items, brain_only=True, min_head=0.1)
    assert dataset.brain_only
    assert open_dataset(dataset.folder).manifest["source"]["brain_only"] is True
    whole_heads = prepare(scan_source(whole, {"kind": "folders"}), folders / "whole")
    assert dataset.digest != whole_heads.digest
    voxels = np.count_nonzero(labels())
    for domain in "xy":
        assert dataset.manifest["domains"][domain]["most_head_ml"] == voxels / 1000
        assert "most_head_ml" not in whole_heads.manifest["domains"][domain]
    source = scan_source(items, {}, brain_only=True, min_head=0.1)
    for split in ("train_x", "train_y", "test_x", "test_y"):
        read = source.splits[split][0].read()
        assert next(iter(read.images)).endswith("#002")  # slices of scalp alone are left out
        assert len(read.images) == 8
        for name, image in read.images.items():
            outside = read.labels[name] == 0
            assert image[outside].max() < -0.99
            assert image[~outside].min() > -0.5
    cut = np.where(labels() > 0, scan(labels(), 1), 0)
    assert source.splits["train_x"][0].read().intensity.high == volume_range(cut).high


def test_brain_only_makes_air_of_the_value_that_the_scan_has_there(folders):
    save(folders / "x" / "a_T1.nii.gz", scan(labels(), 1) - 1000)
    for name in ("a", "b"):
        save(folders / "labels" / f"{name}_seg.nii.gz", labels())
    items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
    source = scan_source(items, {}, brain_only=True, min_head=0.1)
    read = source.splits["train_x"][0].read()
    assert read.intensity == pytest.approx((-1000, 20), abs=10)
    for name, image in read.images.items():
        outside = labels()[:, :, int(name[-3:])] == 0
        assert np.count_nonzero(image == -1) == np.count_nonzero(outside)


def test_other_label_maps_of_a_cut_give_another_digest(folders):
    for name in ("a", "b"):
        save(folders / "labels" / f"{name}_seg.nii.gz", labels())
    digests = set()
    for region in (7, 8):
        other = np.where(labels() == 7, region, labels())
        save(folders / "labels" / "a_seg.nii.gz", other)
        items = scan_labels.in_folder(items_of(folders), folders / "labels", [])
        source = scan_source(items, {"kind": "folders"}, brain_only=True, min_head=0.1)
        digests.add(prepare(source, folders / f"out{region}").digest)
    assert len(digests) == 2


def test_brain_only_of_images_measures_their_range_inside(tmp_path):
    for place, name in (("x", "a"), ("y", "b")):
        (tmp_path / place).mkdir()
        pixels = np.full((12, 16), 500, np.uint16)
        pixels[:6] = 3000  # the scalp
        Image.fromarray(pixels).save(tmp_path / place / f"{name}.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray((pixels == 500).astype(np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    items = list_folders(tmp_path / "x", tmp_path / "y")
    items = scan_labels.in_folder(items, tmp_path / "labels", [])
    read = scan_source(items, {}, brain_only=True).splits["train_x"][0].read()
    assert read.intensity == (0, 500)
    (image,) = read.images.values()
    assert (image[:6] == -1).all()
    assert (image[6:] == 1).all()


def test_brain_only_of_stacks_measures_their_range_inside(tmp_path):
    regions = np.zeros((3, 12, 16))
    regions[:, 6:] = 1
    for name in ("a_T1", "b_T2"):
        np.save(tmp_path / f"{name}.npy", np.where(regions > 0, 0.25, 0.75) - 0.1)
        np.save(tmp_path / f"{name}_mask.npy", regions)
    items = list_folders(tmp_path / "a_T1.npy", tmp_path / "b_T2.npy")
    items = scan_labels.beside(items, "_mask")
    read = scan_source(items, {}, brain_only=True).splits["train_x"][0].read()
    assert read.intensity == (0, pytest.approx(0.15))
    for image in read.images.values():
        assert (image[:6] == -1).all()
        assert (image[6:] == 1).all()
