"""Tests of the manifest's checksums and notes, and of what must not depend on the reading."""

import hashlib
import json
import re
import shutil
import time

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import dataset as dataset_module
from cyclegan_jax.data.dataset import open_dataset, prepare
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation.scan import Scan, ScanImages


def refused(*words: object):
    return pytest.raises(InputError, match=".*".join(re.escape(str(word)) for word in words))


def slices_of(subject: str, *numbers: int, clipped: float = 0.0) -> Scan:
    """A scan of 9 slices of which `numbers` were kept."""
    images = {f"{subject}#{i}": np.zeros((4, 6), np.float32) for i in numbers}
    return Scan(subject, lambda: ScanImages(images, IntensityRange(0, 1), (9, 4, 6), clipped))


def test_pairs_without_a_common_slice_are_refused_before_training_scans_are_read(
    tmp_path, two_scans
):
    def unread() -> ScanImages:
        raise AssertionError("read")

    source = two_scans(Scan("a", unread))
    source.splits["val_x"] = [slices_of("p", 0, 1)]
    source.splits["val_y"] = [slices_of("p", 2, 3)]
    with refused("val: no slice is in both scans", "--min_head"):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_manifest_has_each_file_with_its_checksum(tmp_path, constant, two_scans):
    series = tmp_path / "series"
    series.mkdir()
    for name in ("2", "1"):
        (series / name).write_text(name)
    (tmp_path / "b.png").write_text("b")
    source = two_scans(Scan("a", constant("a", 0).read, series))
    source.splits["train_y"] = [Scan("b#1", constant("b", 0).read, tmp_path / "b.png")]
    splits = prepare(source, tmp_path / "out").manifest["splits"]
    digests = sorted(hashlib.sha256(name).hexdigest() for name in (b"1", b"2"))
    assert splits["train_x"]["files"] == [
        {
            "scan": "a",
            "file": str(series),
            "sha256": hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        }
    ]
    assert splits["train_y"]["subjects"] == ["b"]
    assert splits["train_y"]["files"] == [
        {
            "scan": "b#1",
            "file": str(tmp_path / "b.png"),
            "sha256": hashlib.sha256(b"b").hexdigest(),
        }
    ]


def test_files_may_lie_in_folders_of_any_name(tmp_path, constant, two_scans):
    folder = tmp_path / "\u8133\u3000MRI\u200b\u00a0"
    folder.mkdir()
    (folder / "a.png").write_text("a")
    source = two_scans(Scan("a", constant("a", 0).read, folder / "a.png"))
    source.splits["val_x"] = [Scan("p", constant("p", 0).read, folder / "a.png")]
    source.splits["val_y"] = [constant("p", 0)]
    opened = open_dataset(prepare(source, tmp_path / "out").folder)
    assert opened.manifest["splits"]["train_x"]["files"][0]["file"] == str(folder / "a.png")
    assert "content of a file in another split" in opened.summary()


def test_what_could_not_be_opened_is_not_prepared(tmp_path, constant, two_scans):
    source = two_scans(constant("a", 0, high=3e38))
    with refused(tmp_path / "out" / "manifest.json", "no range can be", "3e+38", "mend the scans"):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_notes_tell_what_is_clipped_and_what_does_not_pair(tmp_path, two_scans):
    source = two_scans(
        slices_of("a", 1, clipped=0.29), slices_of("c", 1, clipped=0.43), slices_of("d", 1)
    )
    source.splits["val_x"] = [slices_of("p", 1, 2, 3, 4), slices_of("q", 1, 2)]
    source.splits["val_y"] = [slices_of("p", 3, 4, 5), slices_of("q", 1, 2)]
    source.splits["test_x"] = source.splits["test_y"] = [slices_of("r", 1, clipped=0.005)]
    source.notes.append("known before")
    dataset = prepare(source, tmp_path / "out")
    notes = open_dataset(dataset.folder).manifest["notes"]
    assert notes == [
        "known before",
        "train_x: clipped volumes: 2 of 3; 29 to 43 % of their head voxels sit on the maximum, "
        "their contrast is lost; export them again without clipping",
        "val: 4 slices are in both scans of their pair and make the pairs; 2 are in the T1 scan "
        "only and 1 in the T2 scan only",
    ]
    assert dataset.summary().splitlines()[-3:] == [f"  note: {note}" for note in notes]


def test_a_manifest_of_before_the_notes_is_read(tmp_path, two_scans):
    folder = prepare(two_scans(), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["notes"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    dataset = open_dataset(folder)
    assert dataset.summary().endswith("0..1 is -1..1")
    assert len(dataset.split("train_x")) == 1


def test_what_is_written_does_not_depend_on_the_workers(tmp_path, monkeypatch, constant, two_scans):
    def scan(number: int) -> Scan:
        def read() -> ScanImages:
            time.sleep(0.02 if number % 3 == 0 else 0)  # later scans are ready first
            return constant(f"s{number}", number / 20, number / 30).read()

        return Scan(f"s{number}", read)

    def written(cores: int) -> dict[str, bytes]:
        monkeypatch.setattr("os.cpu_count", lambda: cores)
        out = prepare(two_scans(*map(scan, range(12))), tmp_path / "out").folder
        files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        shutil.rmtree(out)
        return files

    assert written(1) == written(2) == written(6)


def test_a_split_may_have_several_files_of_records(tmp_path, monkeypatch, constant, two_scans):
    monkeypatch.setattr(dataset_module, "_SHARD", 2)
    dataset = prepare(two_scans(constant("a", -1, 0, 1), constant("c", 0, 1)), tmp_path / "out")
    records = dataset.split("train_x")
    assert [records[i]["name"].decode() for i in range(5)] == dataset.names("train_x")
    assert len(list(tmp_path.rglob("*train_x*"))) == 3
