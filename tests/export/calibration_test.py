"""What `calibrate` adds to a model folder, and when it adds nothing."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.integrity import with_digest
from cyclegan_jax.data import slicing
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW, make_phantom
from cyclegan_jax.domains import DIRECTIONS, Direction
from cyclegan_jax.export.calibration import calibrate_model
from cyclegan_jax.export.model import export_model
from cyclegan_jax.report.model_page import write_model_page
from cyclegan_jax.trained.model_folder import read_model
from cyclegan_jax.trained.origin import ModelFolder
from cyclegan_jax.training import train
from cyclegan_jax.translation.ensemble import check_level
from cyclegan_jax.translation.translate_files import translate
from cyclegan_jax.translation.translator import load_translator


@pytest.fixture
def data(tiny_run) -> str:
    return json.loads((tiny_run / "config.json").read_text())["data"]["dir"]


@pytest.fixture
def older(tiny_run, tmp_path):
    """A model folder as an older version made it: without limits."""
    folder = tmp_path / "model"
    export_model(tiny_run, "latest", folder)
    facts = json.loads((folder / "model.json").read_text())
    del facts["data"]["training_scans"]
    (folder / "model.json").write_text(json.dumps(with_digest(facts)))
    return folder


def without_measures(data, copy):
    """A copy of a data set as an older version prepared it."""
    shutil.copytree(data, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    for entry in manifest["splits"].values():
        entry.pop("measures", None)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return str(copy)


def test_an_exported_model_has_the_limits_of_its_training_scans(tiny_run, older, data, tmp_path):
    export_model(tiny_run, "latest", tmp_path / "new")
    limits = read_model(tmp_path / "new").meta["data"]["training_scans"]
    assert limits["x"]["scans"] == limits["y"]["scans"] == 4
    done = calibrate_model(older, data)
    assert any("limits" in words for words in done.added)
    found = read_model(older)
    assert found.meta["data"]["training_scans"] == limits
    assert (older / "README.md").read_text().startswith("# run")


def test_other_data_and_data_of_an_older_version_add_nothing(older, data, tmp_path, fails):
    old = without_measures(data, tmp_path / "old")
    assert open_dataset(Path(old)).digest == open_dataset(Path(data)).digest
    assert open_dataset(Path(old)).training_scans == {"x": {}, "y": {}}
    before = (older / "model.json").read_bytes()
    with fails(older, "does not say what its training scans look like", "prepare"):
        calibrate_model(older, old)
    facts = json.loads((older / "model.json").read_text())
    facts["data"]["digest"] = "0"
    (older / "model.json").write_text(json.dumps(with_digest(facts)))
    with fails(older, "other data than the model was trained on"):
        calibrate_model(older, data)
    with pytest.raises(InputError, match="needs --data_dir"):
        calibrate_model(older)
    assert (older / "model.json").read_bytes() != before  # by this test alone


@pytest.mark.usefixtures("_own_cache")
def test_intervals_of_held_out_pairs_are_stored_and_used(tiny, tmp_path):
    """Three heads calibrate, three others measure, and `--interval` writes the ends."""
    tiny.data.phantom.held_out = 3
    train.train(tiny, tmp_path / "run")
    export_model(tmp_path / "run", "latest", tmp_path / "model")
    translator = load_translator(ModelFolder(tmp_path / "model"), Direction.T1_TO_T2)
    with pytest.raises(InputError, match="has no calibrated intervals"):
        check_level(translator, 0.9)
    done = calibrate_model(tmp_path / "model")
    assert done.added == ["limits of the training scans", "calibrated intervals"]
    found = read_model(tmp_path / "model").meta["intervals"]
    for direction in DIRECTIONS:
        assert found[direction]["subjects"] == found[direction]["coverage"]["0.9"]["n"] == 3
        assert not found[direction]["left_out"]
        assert "white_matter" in found[direction]["parts"]
    assert read_model(tmp_path / "model").meta["regions"].keys() == set(DIRECTIONS)
    card = (tmp_path / "model" / "README.md").read_text()
    for words in (
        "**intervals, T1→T2**",
        "| 90 % |",
        "**sparsification, T1→T2**",
        "**training scans**",
        "| noise, sd",
        "**regions, T1→T2**",
    ):
        assert words in card, words
    page = write_model_page(tmp_path / "model", tmp_path / "page.html").read_text()
    assert "intervals, T1→T2" in page
    assert "training scans" in page

    head = make_phantom(77, size=16, slices=2, lesions=False, noise=0.03, bias=0.15)
    scan = slicing.from_slices(head.t1, "axial")
    affine = np.diag([FIELD_OF_VIEW / 16, FIELD_OF_VIEW / 16, 30.0, 1.0])
    image = Nifti1Image(scan, affine)
    image.set_sform(affine, 1)
    image.to_filename(tmp_path / "scan.nii.gz")
    origins = [ModelFolder(tmp_path / "model")]
    out = tmp_path / "out"
    failed = translate(origins, Direction.T1_TO_T2, [tmp_path / "scan.nii.gz"], out, level=0.9)
    assert failed == 0
    made, lower, upper = (
        np.asarray(nib.loadsave.load(out / f"scan_T2{end}.nii.gz").dataobj)
        for end in ("", "_lower", "_upper")
    )
    assert made.shape == lower.shape == upper.shape == scan.shape
    assert (lower <= upper).all()
    assert (lower < upper).any()


def test_intervals_that_were_changed_are_refused(older):
    facts = json.loads((older / "model.json").read_text())
    for wrong in ({"t1_to_t2": {}}, {"sideways": {}}, {"t1_to_t2": 3}):
        text = json.dumps(with_digest(facts | {"intervals": wrong}))
        (older / "model.json").write_text(text)
        with pytest.raises(InputError, match="cannot read the model"):
            read_model(older)
