"""Tests of opening a prepared data set: its records, their order and its summary."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data.dataset import Dataset, open_dataset
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.folders import list_folders
from cyclegan_jax.data.preparation.scan import Scan, ScanImages
from cyclegan_jax.data.preparation.write import prepare
from cyclegan_jax.system.files import json_digest

SHAPE = (16, 20)


def image_folder(folder: Path, names: list[str], first_seed: int) -> dict[str, np.ndarray]:
    folder.mkdir()
    images = {}
    for i, name in enumerate(names):
        rng = np.random.default_rng(first_seed + i)
        images[name] = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(images[name]).save(folder / f"{name}.png")
    return images


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


def test_the_digest_depends_on_axis_and_frame_where_they_are_asked_for(
    tmp_path, constant, two_scans
):
    dataset = prepare(two_scans(constant("a", 0, 1), constant("b", 0)), tmp_path / "out")

    def digest(**facts):
        source = dataset.manifest["source"] | facts
        return Dataset(dataset.folder, dataset.manifest | {"source": source}).digest

    splits = dataset.manifest["splits"]
    made_of = {name: [s["names"], s["sizes"], []] for name, s in splits.items()}
    # as earlier versions computed it, whose runs are to be resumed
    assert dataset.digest == json_digest([{}, dataset.manifest["domains"], made_of])
    assert digest(axis="axial", x="moved") == digest(x="elsewhere") == dataset.digest
    others = [digest(axis="sagittal"), digest(axis="coronal"), digest(frame=0), digest(frame=1)]
    assert len({dataset.digest, *others}) == 5


def test_the_summary_has_counts_and_sizes(tmp_path, constant, two_scans):
    dataset = prepare(two_scans(constant("a", 0, 1), constant("b", 0)), tmp_path / "out")
    assert dataset.has("train_x")
    assert not dataset.has("test_x")
    lines = dataset.summary().splitlines()
    assert str(tmp_path / "out") in lines[0]
    assert re.search(r"train_x +3 images of 2 subjects, 6x4 pixels", lines[1])
    assert lines[-2:] == ["  x (T1): float32, 0..1 is -1..1", "  y (T2): float32, 0..1 is -1..1"]


def test_the_jump_between_slices_is_known_where_they_lie_as_close_as_pixels(tmp_path, two_scans):
    rows = np.arange(1, 5, dtype=np.float32)[:, None] / 5 + np.zeros(6, np.float32)

    def rising(subject: str, step: float) -> Scan:
        images = {f"{subject}#{i}": rows * 0.5 + np.float32(step * i) for i in range(3)}
        return Scan(subject, lambda: ScanImages(images, IntensityRange(0.0, 1.0), (3, 4, 6)))

    source = two_scans(*(rising(name, step) for name, step in (("a", 0.05), ("c", 0.1))))
    source.splits["train_y"] = [rising("b", 0.2)]
    made = prepare(source, tmp_path / "out")
    assert made.slice_jumps == {}  # no size is known

    def known(pixel: float, between: float) -> dict[str, float]:
        facts = {**made.manifest["source"], "slice_mm": {"x": between, "y": between}}
        domains = {d: {**made.manifest["domains"][d], "pixel_mm": [pixel, pixel]} for d in "xy"}
        manifest = {**made.manifest, "source": facts, "domains": domains}
        return dataclasses.replace(made, manifest=manifest).slice_jumps

    # pixels change by 0.1 along one of two sides
    expected = {"x": (0.5 + 2.0) / 2, "y": 8.0}
    assert known(2.0, 2.9) == pytest.approx(expected, rel=1e-3)
    assert known(2.0, 3.1) == {}
