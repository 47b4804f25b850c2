"""Tests of the prepared data set: what is stored, its manifest, its contact sheet, its errors."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data import dataset as dataset_module
from cyclegan_jax.data.dataset import open_dataset, prepare
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.scan import Scan, ScanImages

SHAPE = (16, 20)


def image_folder(folder: Path, names: list[str], first_seed: int) -> dict[str, np.ndarray]:
    folder.mkdir()
    images = {}
    for i, name in enumerate(names):
        rng = np.random.default_rng(first_seed + i)
        images[name] = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(images[name]).save(folder / f"{name}.png")
    return images


def refused(*words: object):
    return pytest.raises(InputError, match=".*".join(re.escape(str(word)) for word in words))


def test_8_bit_images_come_back_exactly(tmp_path):
    names = ["s10", "s2", "s1"]  # in no sorted order
    images = {d: image_folder(tmp_path / d, names, i * 10) for i, d in enumerate("xy")}
    items = list_folders(tmp_path / "x", tmp_path / "y")
    source = scan_source(items, {"kind": "folders"}, unpaired="shared", holdout="2:")
    dataset = open_dataset(prepare(source, tmp_path / "out").folder)
    for domain in "xy":
        for split, wanted in (("train", ["s1", "s10"]), ("test", ["s2"])):
            records = dataset.split(f"{split}_{domain}")
            assert dataset.names(f"{split}_{domain}") == wanted
            assert [r["name"].decode() for r in (records[i] for i in range(len(records)))] == wanted
            for i, name in enumerate(wanted):
                stored = records[i]["image"]
                assert stored.dtype == np.uint16
                assert np.array_equal(stored[..., 0], images[domain][name].astype(np.uint16) * 257)


def test_records_keep_the_order_of_scans_and_slices(tmp_path, constant, two_scans):
    scans = [constant("b", -1, -0.5, 0), constant("a", 0.5, 1)]  # hashing would reorder these
    dataset = prepare(two_scans(*scans), tmp_path / "out")
    records = dataset.split("train_x")
    assert dataset.names("train_x") == ["b#0", "b#1", "b#2", "a#0", "a#1"]
    stored = [records[i]["image"] for i in range(len(records))]
    assert [image.shape for image in stored] == [(4, 6, 1)] * 5
    assert [int(image[0, 0, 0]) for image in stored] == [0, 16384, 32768, 49151, 65535]


def test_manifest_tells_splits_ranges_and_origin(tmp_path, constant, two_scans):
    scans = [constant(n, 0, high=h) for n, h in (("a", 100.0), ("b", 900.0), ("c", 300.0))]
    prepare(two_scans(*scans), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["made_by"] == f"cyclegan_jax {__version__}"
    assert manifest["source"] == {"kind": "test"}
    # the reference range is the median over scans: one odd scan must not move it
    assert manifest["domains"]["x"] == {"dtype": "float32", "range": [0.0, 300.0]}
    assert manifest["domains"]["y"] == {"dtype": "float32", "range": [0.0, 1.0]}
    assert manifest["splits"] == {
        "train_x": {"subjects": ["a", "b", "c"], "sizes": [[4, 6]], "names": ["a#0", "b#0", "c#0"]},
        "train_y": {"subjects": ["b"], "sizes": [[4, 6]], "names": ["b#0"]},
    }


def test_summary_tells_counts_and_sizes(tmp_path, constant, two_scans):
    dataset = prepare(two_scans(constant("a", 0, 1), constant("b", 0)), tmp_path / "out")
    assert dataset.has("train_x")
    assert not dataset.has("test_x")
    lines = dataset.summary().splitlines()
    assert str(tmp_path / "out") in lines[0]
    assert re.search(r"train_x +3 images of 2 subjects, 6x4 pixels", lines[1])
    assert lines[-2:] == ["  x (T1): float32, 0..1 is -1..1", "  y (T2): float32, 0..1 is -1..1"]


def test_contact_sheet_shows_a_row_for_each_domain(tmp_path, constant, two_scans):
    many = [constant(f"s{i:02d}", i / 5 - 1) for i in range(11)]
    prepare(two_scans(*many), tmp_path / "out")
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet)
    # 8 of the 11 images, from the first to the last, enlarged 32-fold; a title under each row
    assert pixels.shape == (2 * (128 + 18 + 4), 8 * (192 + 4))
    shown = pixels[64, 96::196].astype(int)
    assert shown[0] == 0
    assert shown[-1] == 255
    assert (np.diff(shown) > 0).all()
    assert np.ptp(pixels[128:146, :100]) > 100  # the title
    assert pixels[150 + 64, 96] == 128


def test_folder_is_readable_by_others_and_holds_nothing_else(tmp_path, two_scans):
    out = prepare(two_scans(), tmp_path / "made" / "out").folder
    assert out.stat().st_mode & 0o777 == 0o755
    assert {p.name for p in out.iterdir()} == {"mri_slices", "manifest.json", "contact_sheet.png"}
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_no_tensorflow_is_imported(tmp_path, monkeypatch, two_scans):
    asked: list[str] = []

    class Spy:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split(".")[0] == "tensorflow":
                asked.append(name)

    for name in [m for m in sys.modules if m.split(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Spy, *sys.meta_path])
    dataset = prepare(two_scans(), tmp_path / "out")
    assert len(dataset.split("train_x")) == 1
    assert asked == []


# ---------------------------------------------------------------- refused


def test_out_that_is_not_empty_is_refused_and_untouched(tmp_path, two_scans):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path in (out, tmp_path / "file"):
        with refused(path, "not an empty folder", "name another or remove it"):
            prepare(two_scans(), path)
    assert (out / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "out", "thesis.tex"]


def test_empty_out_is_used(tmp_path, two_scans):
    (tmp_path / "out").mkdir()
    prepare(two_scans(), tmp_path / "out")
    assert open_dataset(tmp_path / "out").names("train_x") == ["a#0"]


def test_out_that_cannot_be_written_is_refused(tmp_path, monkeypatch, two_scans):
    (tmp_path / "file").write_text("mine")
    with refused(tmp_path / "file" / "out", "cannot be written"):
        prepare(two_scans(), tmp_path / "file" / "out")

    def no_space(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset_module, "save_grid", no_space)
    with refused(tmp_path / "out", "cannot be written", "No space left"):
        prepare(two_scans(), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, ValueError])
def test_failure_midway_leaves_nothing(tmp_path, error, constant, two_scans):
    def fail() -> ScanImages:
        raise error("scan b")

    with pytest.raises(error, match="scan b"):
        prepare(two_scans(constant("a", 0), Scan("b", fail)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_output_is_restored_after_a_failure(tmp_path, capsys, two_scans):
    def fail() -> ScanImages:
        raise InputError("scan b")

    with refused("scan b"):
        prepare(two_scans(Scan("b", fail)), tmp_path / "out")
    prepare(two_scans(), tmp_path / "out")
    print("still there")
    shown = capsys.readouterr()
    assert shown.out == "still there\n"
    assert shown.err == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no manifest.json"),
        (b"{", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[]", "has format None, not 1"),
        (b'{"format": 0}', "has format 0, not 1"),
    ],
)
def test_other_folders_are_no_data_set(tmp_path, content, words):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with refused(tmp_path, words, "make one with scripts/prepare_data.py"):
        open_dataset(tmp_path)
    with refused(tmp_path / "gone", "no manifest.json", "prepare_data.py"):
        open_dataset(tmp_path / "gone")


def test_test_pairs_of_different_grids_are_refused(tmp_path, constant, two_scans):
    source = two_scans()
    source.splits["test_x"] = [constant("p", 0, 0)]
    source.splits["test_y"] = [constant("p", 0, 0, 0)]
    with refused("'p'", "2 slice(s) of 6x4", "3 slice(s) of 6x4", "register"):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())
