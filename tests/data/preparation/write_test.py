"""Tests of preparing a data set: what is written, its manifest, and all that is refused."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation import write
from cyclegan_jax.data.preparation.scan import Scan, ScanImages
from cyclegan_jax.data.preparation.write import prepare


def refused(*words: object):
    return pytest.raises(InputError, match=".*".join(re.escape(str(word)) for word in words))


def slices_of(subject: str, *numbers: int, clipped: float = 0.0) -> Scan:
    """A scan of 9 slices of which `numbers` were kept."""
    images = {f"{subject}#{i}": np.zeros((4, 6), np.float32) for i in numbers}
    return Scan(subject, lambda: ScanImages(images, IntensityRange(0, 1), (9, 4, 6), clipped))


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
    monkeypatch.setattr(write, "_SHARD", 2)
    dataset = prepare(two_scans(constant("a", -1, 0, 1), constant("c", 0, 1)), tmp_path / "out")
    records = dataset.split("train_x")
    assert [records[i]["name"].decode() for i in range(5)] == dataset.names("train_x")
    assert len(list(tmp_path.rglob("*train_x*"))) == 3


# ---------------------------------------------------------------- the manifest


def test_the_manifest_has_splits_ranges_and_origin(tmp_path, constant, two_scans):
    scans = [constant(n, 0, high=h) for n, h in (("a", 100.0), ("b", 900.0), ("c", 300.0))]
    prepare(two_scans(*scans), tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["made_by"] == f"cyclegan_jax {__version__}"
    assert manifest["source"] == {"kind": "test"}
    # the reference range is the median over scans: one odd scan must not move it
    assert manifest["domains"]["x"] == {"dtype": "float32", "range": [0.0, 300.0]}
    assert manifest["domains"]["y"] == {"dtype": "float32", "range": [0.0, 1.0]}
    common = {"sizes": [[4, 6]], "least_head": {"pixels": 24, "share": 1.0}}
    assert manifest["splits"] == {
        "train_x": {"subjects": ["a", "b", "c"], "names": ["a#0", "b#0", "c#0"], **common},
        "train_y": {"subjects": ["b"], "names": ["b#0"], **common},
    }


def test_the_manifest_has_the_least_head_of_a_slice(tmp_path, two_scans):
    images = {f"a#{i}": np.full((10, 8), -1, np.float32) for i in range(3)}
    for image, rows in zip(images.values(), (5, 3, 6), strict=True):
        image[:rows, 1:5] = 0.5
        image[7:, ::2] = image[-1, 1:4] = 0  # a smaller part below it
    read = ScanImages(images, IntensityRange(0.0, 1.0), (3, 10, 8))
    prepare(two_scans(Scan("a", lambda: read)), tmp_path / "out")
    least = open_dataset(tmp_path / "out").manifest["splits"]["train_x"]["least_head"]
    assert least == {"pixels": 12, "share": 12 / 80}


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


def test_notes_of_scans_are_in_the_manifest(tmp_path, two_scans):
    odd = slices_of("a", 1)
    read = dataclasses.replace(odd.read(), notes=("read oddly",))
    source = two_scans(Scan("a", lambda: read), slices_of("b", 1))
    found = prepare(source, tmp_path / "out").manifest["notes"]
    assert found == ["train_x: 1 of 2 scans, first 'a': read oddly"]


def test_notes_say_what_is_clipped_and_what_does_not_pair(tmp_path, two_scans):
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
        "train_x: 2 of 3 volumes are clipped: 29 to 43 % of their head voxels have the maximum "
        "value, and the contrast there is lost; export them again without clipping",
        "val: 4 slices are in both scans of their pair and make the pairs; 2 are in the T1 scan "
        "only and 1 in the T2 scan only",
    ]
    assert dataset.summary().splitlines()[-3:] == [f"  note: {note}" for note in notes]


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

    monkeypatch.setattr(write, "save_grid", no_space)
    with refused(tmp_path / "out", "cannot be written", "No space left"):
        prepare(two_scans(), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_scan_that_vanishes_is_named(tmp_path, constant, two_scans):
    gone = tmp_path / "gone.nii"
    scan = dataclasses.replace(constant("a", 0), path=gone)
    with refused(gone, "cannot be read", "No such file"):
        prepare(two_scans(scan), tmp_path / "out")


def test_the_folder_has_the_permissions_that_the_user_gives(tmp_path, two_scans):
    umask = os.umask(0o077)
    try:
        prepare(two_scans(), tmp_path / "out")
    finally:
        os.umask(umask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


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


def test_test_pairs_of_different_grids_are_refused(tmp_path, constant, two_scans):
    source = two_scans()
    source.splits["test_x"] = [constant("p", 0, 0)]
    source.splits["test_y"] = [constant("p", 0, 0, 0)]
    with refused("'p'", "2 slice(s) of 6x4", "3 slice(s) of 6x4", "register"):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


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


def test_what_could_not_be_opened_is_not_prepared(tmp_path, constant, two_scans):
    source = two_scans(constant("a", 0, high=3e38))
    with refused(tmp_path / "out" / "manifest.json", "no range can be", "3e+38", "fix the scans"):
        prepare(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_groups_of_subjects_are_kept(tmp_path, two_scans):
    source = dataclasses.replace(two_scans(), groups={"a": "patient"})
    folder = prepare(source, tmp_path / "out").folder
    assert open_dataset(folder).manifest["groups"] == {"a": "patient"}
    assert open_dataset(folder).digest == prepare(two_scans(), tmp_path / "without").digest
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"patient"', "7"))
    with refused(path, "groups"):
        open_dataset(folder)
