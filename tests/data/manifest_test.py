"""Tests of reading manifests: what is refused, and what older versions wrote."""

import json
import re

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.preparation.write import prepare


def refused(*words: object):
    return pytest.raises(InputError, match=".*".join(re.escape(str(word)) for word in words))


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
    with refused(tmp_path, words, "make one with cyclegan-jax prepare"):
        open_dataset(tmp_path)
    with refused(tmp_path / "gone", "no manifest.json", "cyclegan-jax prepare"):
        open_dataset(tmp_path / "gone")


def test_a_manifest_of_before_the_notes_is_read(tmp_path, two_scans):
    folder = prepare(two_scans(), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["notes"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    dataset = open_dataset(folder)
    assert dataset.summary().endswith("0..1 is -1..1")
    assert len(dataset.split("train_x")) == 1


@pytest.mark.parametrize("names", [{"0": "a"}, {"70000": "a"}, {"1.5": "a"}, {"1": ""}, {"1": 2}])
def test_names_of_regions_are_checked(tmp_path, two_scans, names):
    folder = prepare(two_scans(), tmp_path / "out").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"region_names": {"51": "fluid"}}))
    assert open_dataset(folder).region_names == {51: "fluid"}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"region_names": names}))
    with refused(folder, "manifest"):
        open_dataset(folder)
