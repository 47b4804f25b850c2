"""`refine` writes a model folder of several models that were trained on one data set."""

import json

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import from_config
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.export.calibration import calibrate_model
from cyclegan_jax.export.model import export_model
from cyclegan_jax.export.refined import refine_models
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.report.model_page import write_model_page
from cyclegan_jax.trained.model_folder import read_model
from cyclegan_jax.training import train


@pytest.fixture
def data(tiny_run) -> str:
    return json.loads((tiny_run / "config.json").read_text())["data"]["dir"]


@pytest.fixture
def models(tiny_run, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, step in zip(folders, ("2", "latest"), strict=True):
        export_model(tiny_run, step, folder, folder.name, "four heads", "none")
    return folders


def test_the_folder_has_other_weights_scores_and_says_where_it_comes_from(
    models, data, tmp_path, capsys
):
    found = refine_models(models, data, tmp_path / "new", 2, {"name": "better"}, "int8")
    assert "fixed" in capsys.readouterr().out
    first, new = (read_model(folder) for folder in (models[0], tmp_path / "new"))
    assert new.meta["name"] == "better"
    assert new.meta["about"] == {"data": "four heads", "license": "none"}
    assert new.meta["weights"]["type"] == "int8"
    assert new.meta["refined"] == {
        "steps": 2,
        "models": [
            {"name": folder.name, "sha256": read_model(folder).meta["weights"]["sha256"]}
            for folder in models
        ],
    }
    assert new.meta["data"] == first.meta["data"]
    assert new.meta["scores"]["protocols"] == found.scores["protocols"]
    assert new.meta["scores"]["data"] in data
    pixels = np.linspace(-1, 1, 256, dtype=np.float32).reshape(1, 16, 16, 1)
    for direction in DIRECTIONS:
        one, other = (
            TrainedGenerators(saved, "m").translate(direction, pixels) for saved in (first, new)
        )
        assert not np.allclose(one, other, atol=1e-4)
    card = (tmp_path / "new" / "README.md").read_text()
    assert "Refined by 2 steps of back-translation" in card
    assert "with the translations of all: a, b" in card
    assert (tmp_path / "new" / "worst.png").is_file()
    page = write_model_page(tmp_path / "new", tmp_path / "page.html").read_text()
    assert "2 steps, with a, b" in page


def test_what_was_measured_on_the_first_model_does_not_stay(tiny, tmp_path):
    tiny.data.phantom.held_out = 3
    train.train(tiny, tmp_path / "run")
    export_model(tmp_path / "run", "latest", tmp_path / "a")
    calibrate_model(tmp_path / "a")
    assert {"intervals", "regions"} <= read_model(tmp_path / "a").meta.keys()
    refine_models([tmp_path / "a"], "", tmp_path / "new", 1)
    assert not {"intervals", "regions"} & read_model(tmp_path / "new").meta.keys()
    # it can be refined and calibrated again
    calibrate_model(tmp_path / "new")
    refine_models([tmp_path / "new"], "", tmp_path / "newer", 1)


def test_what_cannot_be_refined_is_refused_before_any_work(models, data, tiny, tmp_path, fails):
    out = tmp_path / "new"
    with fails(models[1], "is there already"):
        refine_models(models, data, models[1], 1)
    with pytest.raises(InputError, match="--steps=0: give at least 1"):
        refine_models(models, data, out, 0)
    with fails(models[0], "needs --data_dir"):
        refine_models(models, "", out, 1)
    tiny.generator.features = (4, 6)
    train.train(tiny, tmp_path / "run")
    export_model(tmp_path / "run", "latest", tmp_path / "c")
    with fails(tmp_path / "c", "has other generators than", "generator.features"):
        refine_models([*models, tmp_path / "c"], data, out, 1)
    tiny.data.phantom.noise = 0.1
    other = from_config.open_data(tiny).folder
    with fails(models[0], "was trained on other data than"):
        refine_models(models, str(other), out, 1)
    assert not out.exists()
