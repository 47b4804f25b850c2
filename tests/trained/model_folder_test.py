"""Model folders: they translate as their run does, and whatever is wrong with one is one line."""

import hashlib
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.integrity import with_digest
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.config import from_json
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.export.model import export_model
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.system.workdir import refuse_model_folder
from cyclegan_jax.trained import model_folder, shipped
from cyclegan_jax.trained.origin import ModelFolder, Run, origin_of

GENERATORS = ("generator_g", "generator_f")


@pytest.fixture(scope="module")
def plain(tiny_run, tmp_path_factory):
    """A run, and the model folder of its newest checkpoint."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    export_model(tiny_run, "latest", folder, name="a name")
    return tiny_run, folder


@pytest.fixture(scope="module")
def averaged(tiny_run, tmp_path_factory):
    """The same of a run whose averaged generators differ from the plain ones."""
    place = tmp_path_factory.mktemp("averaged")
    config = from_json((tiny_run / "config.json").read_text()).copy_and_resolve_references()
    with config.unlocked():
        config.ema_decay, config.average_mirrored = 0.9, True
    state = Parallel("jit").compile_create_state(config, build_recipe(config))(1)
    state = state.replace(ema=jax.tree.map(lambda leaf: leaf + 0.1, state.ema))
    with Checkpoints(place / "run", keep=1) as checkpoints:
        data = Run(tiny_run, "latest").read().meta["data"]
        checkpoints.save(state, {"config": config.to_dict(), "data": data}, None)
    export_model(place / "run", "latest", place / "model")
    return place / "run", place / "model"


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain[1], tmp_path / "model")


def rewrite(folder: Path, change) -> None:
    """Changes the facts of a model folder, and seals them again."""
    facts = json.loads((folder / "model.json").read_text())
    change(facts)
    (folder / "model.json").write_text(json.dumps(with_digest(facts)))


def rewrite_weights(folder: Path, change) -> None:
    """Changes the arrays of a model folder, and records them as if they were right."""
    arrays = safetensors.numpy.load_file(folder / "weights.safetensors")
    content = safetensors.numpy.save(change(arrays))
    (folder / "weights.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    rewrite(folder, lambda facts: facts["weights"].update(bytes=len(content), sha256=digest))


@pytest.mark.parametrize("kind", ["plain", "averaged"])
def test_a_model_translates_bit_for_bit_as_its_run(kind, request, batch):
    run, folder = request.getfixturevalue(kind)
    origins = Run(run, "latest"), ModelFolder(folder)
    pair = [TrainedGenerators(origin.read(), origin.name) for origin in origins]
    for direction in DIRECTIONS:
        images = batch[direction.source]
        of_run, of_model = (generators.translate(direction, images) for generators in pair)
        assert np.abs(of_run - images).max() > 0
        np.testing.assert_array_equal(of_model, of_run)


def test_the_weights_are_those_that_translate_and_no_others(plain, averaged):
    for (run, folder), item in ((plain, "generators"), (averaged, "ema")):
        wanted = Run(run, "latest").read().items[item]
        found = safetensors.numpy.load_file(folder / "weights.safetensors")
        assert found.keys() == wanted.keys()
        assert {path.split("/")[0] for path in found} == set(GENERATORS)
        for path, array in wanted.items():
            np.testing.assert_array_equal(found[path], array)
        saved = ModelFolder(folder).read()
        assert saved.meta["averaged"] is (item == "ema")
        assert saved.step == Run(run, "latest").read().step
    assert ModelFolder(plain[1]).name == "a name"
    assert ModelFolder(averaged[1]).name == "run"


def test_a_quarter_of_the_bytes_gives_nearly_the_same_translation(averaged, tmp_path, batch):
    run, folder = averaged
    export_model(run, "latest", tmp_path / "small", stored_as="int8")
    content = safetensors.numpy.load_file(tmp_path / "small" / "weights.safetensors")
    small, whole = (ModelFolder(f).read() for f in (tmp_path / "small", folder))
    for path, array in whole.items["generators"].items():
        found = small.items["generators"][path]
        assert found.dtype == np.float32
        if array.ndim == 1:
            np.testing.assert_array_equal(found, array)
            continue
        assert content[path].dtype == np.int8
        assert content[f"{path}.scale"].shape == array.shape[-1:]
        step = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / 127
        assert (np.abs(found - array) <= 0.501 * step).all()
        assert (found != array).any()
    pair = [TrainedGenerators(saved, "") for saved in (small, whole)]
    images = batch["x"]
    made = [generators.translate(DIRECTIONS[0], images) for generators in pair]
    assert 0 < np.abs(made[0] - made[1]).max() < 0.05
    assert "both generators, int8" in (tmp_path / "small" / "README.md").read_text()


def test_a_channel_of_zeros_stays_zero_in_int8(plain, tmp_path):
    folder = shutil.copytree(plain[1], tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    arrays = safetensors.numpy.load_file(folder / "weights.safetensors")
    path = next(path for path, array in arrays.items() if array.ndim == 4)
    arrays[path][..., 0] = 0
    facts = {key: facts[key] for key in facts if key not in ("format", "made_by", "weights")}
    model_folder.write_model(folder, facts, arrays, "int8")
    assert not ModelFolder(folder).read().items["generators"][path][..., 0].any()


def test_the_paths_of_the_trainer_stay_at_home(plain):
    run, folder = plain
    home = json.loads((run / "config.json").read_text())["data"]["dir"]
    for name in ("model.json", "README.md"):
        text = (folder / name).read_text()
        assert str(Path(home).parent) not in text
        assert Path(home).name in text


FACTS = {
    "newer": (lambda f: f.update(format=2), "has format 2, but this version .* install a newer"),
    "no format": (lambda f: f.update(format="1"), "it names no format"),
    "config": (lambda f: f["config"].update(new=1), "config has no key 'new'.*it was made by"),
    "huge": (lambda f: f["config"].update(image_size=2**20), "no config.image_size can be"),
    "range": (lambda f: f["data"]["domains"]["x"].update(range=[1, 0]), "no range can be"),
    "axis": (lambda f: f["data"].update(axis="up"), "no axis can be 'up'"),
    "pixel": (
        lambda f: f["data"].update(pixel_seen_mm={"x": [0, 1]}),
        "no pixel_seen_mm can be '0'",
    ),
    "step": (lambda f: f.update(step=-1), "no step can be '-1'"),
    "name": (lambda f: f.update(name="a\nb"), "no text can be"),
    "type": (lambda f: f["weights"].update(type="int4"), "no type of weights can be 'int4'"),
    "other type": (
        lambda f: f["weights"].update(type="int8"),
        "weights are of another model than model.json says",
    ),
    "missing": (lambda f: f.pop("data"), "cannot read the model .*data"),
    "wider": (
        lambda f: f["config"]["generator"].update(features=[4, 16]),
        "weights are of another model than model.json says: .*export it again",
    ),
    "kernel": (
        lambda f: f["config"]["generator"].update(kernel_size=1),
        "weights are of another model than model.json says",
    ),
}


@pytest.mark.parametrize("case", FACTS)
def test_facts_that_are_wrong_are_named(case, copy):
    change, words = FACTS[case]
    rewrite(copy, change)
    with pytest.raises(InputError, match=words) as refused:
        ModelFolder(copy).read()
    assert str(copy) in str(refused.value)
    assert str(refused.value).isprintable()


def test_edited_facts_and_damaged_files_are_refused(copy):
    path, weights = copy / "model.json", copy / "weights.safetensors"
    good = path.read_text()
    path.write_text(good.replace('"a name"', '"another"'))
    with pytest.raises(InputError, match=r"model\.json: .*is not as it was exported"):
        ModelFolder(copy).read()
    for text in ("", "[]", "{", "[" * 100_000, '{"format": 1}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"model\.json: cannot read the model"):
            ModelFolder(copy).read()
    path.write_text(good)
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors: .*the digest is wrong"):
        ModelFolder(copy).read()
    weights.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"weights\.safetensors: .*bytes instead of"):
        ModelFolder(copy).read()
    weights.unlink()
    with pytest.raises(InputError, match=r"has no weights\.safetensors; export it again"):
        ModelFolder(copy).read()


WEIGHTS = {
    "other shape": lambda arrays: {p: a.reshape(1, *a.shape) for p, a in arrays.items()},
    "other name": lambda arrays: {f"{p}x": a for p, a in arrays.items()},
    "one direction": lambda arrays: {p: a for p, a in arrays.items() if "generator_g" in p},
    "half": lambda arrays: {p: a.astype(np.float16) for p, a in arrays.items()},
    "unprintable": lambda arrays: {f"{p}\n": a for p, a in arrays.items()},
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_of_another_architecture_are_refused(case, copy):
    rewrite_weights(copy, WEIGHTS[case])
    with pytest.raises(InputError, match=r"weights\.safetensors: ") as refused:
        ModelFolder(copy).read()
    assert str(refused.value).isprintable()


def test_weights_of_another_type_are_refused_even_if_their_size_is_right(copy):
    rewrite_weights(copy, lambda arrays: {p: a.view(np.int32) for p, a in arrays.items()})
    with pytest.raises(InputError, match="is of type I32, not F32"):
        ModelFolder(copy).read()


def test_run_and_model_are_not_taken_for_each_other(plain, tmp_path):
    run, folder = plain
    with pytest.raises(InputError, match=r"is the workdir of a run, .*give it as --workdir"):
        ModelFolder(run).read()
    with pytest.raises(InputError, match=r"is a model folder, .*give it as --model"):
        Run(folder).read()
    with pytest.raises(InputError, match="is a model folder"):
        refuse_model_folder(folder)
    with pytest.raises(InputError, match=r"is no model folder \(no model\.json\)"):
        ModelFolder(tmp_path).read()
    with pytest.raises(InputError, match="is no folder"):
        ModelFolder(tmp_path / "gone").read()


def test_exactly_one_origin_is_named(plain):
    run, folder = map(str, plain)
    assert origin_of(run, "3", None) == Run(Path(run), "3")
    assert origin_of(None, "best", folder) == ModelFolder(Path(folder))
    for given, words in (
        ((None, "best", None), "give --workdir, .* or --model"),
        ((run, "best", folder), "--workdir and --model exclude each other"),
        ((None, "latest", folder), "--checkpoint=latest: .*omit it"),
        (
            (None, "best", "gone"),
            "--model=gone: there is no such folder, and the shipped models are",
        ),
    ):
        with pytest.raises(InputError, match=words):
            origin_of(*given)


def test_shipped_models_are_found_by_name(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path / "gone")
    assert shipped.models() == []
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    assert shipped.models() == ["model"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shipped.find_model("model") == copy
    with pytest.raises(InputError, match="the shipped models are model; give"):
        shipped.find_model("other")
    shutil.copytree(copy, tmp_path / "here" / "model")
    with pytest.raises(InputError, match=r"give \./model for the folder"):
        shipped.find_model("model")
    assert shipped.find_model("./model") == Path("model")


def test_a_run_is_called_as_its_workdir(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert Run(tmp_path / "mine").name == "mine"
    assert Run(Path(".")).name == "mine"
