"""Notes are said when there is something to say, and only then."""

import numpy as np

from cyclegan_jax.data.preparation import notes

CORNERS = np.arange(24.0).reshape(8, 3)


def test_clipped_volumes():
    assert notes.clipped("train_x", [0, 0.009]) == ""
    assert "train_x: 2 of 3 volumes are clipped: 40 to 61 % of" in notes.clipped(
        "train_x", [0.4, 0, 0.61]
    )
    assert "1 of 1 volumes are clipped: 40 %" in notes.clipped("train_x", [0.4])


def test_notes_of_scans_are_said_once():
    scans = {"a": ["one"], "b": [], "c": ["two", "one"]}
    assert notes.of_scans("val_x", scans) == [
        "val_x: 2 of 3 scans, first 'a': one",
        "val_x: 1 of 3 scans, first 'c': two",
    ]
    assert notes.of_scans("val_x", {"a": ()}) == []


def test_slices_without_partner():
    assert notes.unpaired_slices("val", ["a#1", "a#2"], ["a#2", "a#1"]) == ""
    said = notes.unpaired_slices("val", ["a#1", "a#2", "a#3"], ["a#2", "a#4"])
    assert "1 slices are in both" in said
    assert "2 are in the T1 scan only and 1 in the T2 scan only" in said


def test_pairs_that_are_apart():
    assert notes.apart("val", {"a": CORNERS, "b": None}, {"a": CORNERS + 0.5, "b": CORNERS}) == ""
    said = notes.apart(
        "val", {"a": CORNERS, "b": CORNERS}, {"a": CORNERS, "b": np.add(CORNERS, (0, 0, 7))}
    )
    assert "val: the scans of 1 pair(s) lie up to 7 mm apart" in said
    assert "'b'" in said


def test_one_content_in_two_splits():
    def files(*digests):
        return {"files": [{"file": f"{d}.nii", "sha256": d[0]} for d in digests]}

    same = {"train_x": files("a", "b1", "b2"), "train_y": files("b3"), "val_x": files("c")}
    assert notes.copies(same) == ""
    said = notes.copies(same | {"val_y": files("b4"), "test_x": {}})
    assert "1 file(s)" in said
    hostile = {"val_x": files("a"), "test_x": files("a\x1b\u3000\udcff")}
    assert notes.copies(hostile).isprintable()
    assert "first 'b1.nii' and 'b4.nii'" in said
