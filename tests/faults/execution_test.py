"""Nothing that a file holds is executed: no pickle, no module or program that data names."""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

import cyclegan_jax
from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.data.dataset import open_dataset
from cyclegan_jax.data.formats.images import read_image
from cyclegan_jax.data.formats.stacks import read_stack
from cyclegan_jax.data.preparation.write import prepare

PACKAGE = Path(cyclegan_jax.__file__).parent
SCRIPTS = PACKAGE.parent / "scripts"
# Modules whose readers execute what they read, or that start programs.
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
MODULES |= {"torch", "yaml", "jsonpickle", "subprocess", "pty", "runpy", "code", "codeop"}
# Starts jobs of this package in processes of their own; the line holds nothing of a file.
STARTS = {("cyclegan_jax/device_check/check.py", "subprocess")}
CALLS = {"eval", "exec", "compile", "__import__", ".import_module", ".exec_module", ".system"}
CALLS |= {".popen", ".spawnv", ".execv", ".execve", ".startfile", ".builder_from_directory"}
CALLS |= {".loadmat", ".read_pickle"}


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return f".{function.attr}"
    return getattr(function, "id", "")


def sources() -> dict[str, ast.AST]:
    files = [*PACKAGE.rglob("*.py"), *SCRIPTS.glob("*.py")]
    return {str(p.relative_to(PACKAGE.parent)): ast.parse(p.read_text()) for p in files}


def test_no_module_that_executes_data_is_imported():
    for name, tree in sources().items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {(name, n.split(".")[0]) for n in names}
            assert not {pair for pair in found - STARTS if pair[1] in MODULES}


def test_nothing_that_executes_data_is_called():
    found = {(name, called(c)) for name, tree in sources().items() for c in calls(tree)}
    # The config that the user named is Python. A generator's class is one of `config.GENERATORS`;
    # a saved config can name no other (`config.validate`). A command is one of `COMMANDS`. The
    # other two have their names written out.
    assert {pair for pair in found if pair[1] in CALLS} == {
        ("cyclegan_jax/__init__.py", ".import_module"),
        ("cyclegan_jax/commands/__init__.py", ".import_module"),
        ("cyclegan_jax/config.py", ".exec_module"),
        ("cyclegan_jax/models/__init__.py", ".import_module"),
        ("cyclegan_jax/models/networks.py", ".import_module"),
    }


def test_a_saved_config_names_no_other_class():
    saved = config_lib.base_config().to_dict()
    saved["generator"]["type"] = "os.system"
    with pytest.raises(InputError, match=r"generator\.type = 'os\.system': must be one of 'unet'"):
        config_lib.from_json(json.dumps(saved))


def test_arrays_are_loaded_without_pickle():
    loads = [
        call
        for tree in sources().values()
        for call in calls(tree)
        if ast.unparse(call.func) in ("np.load", "numpy.load")
    ]
    assert loads
    for call in loads:
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given.get("allow_pickle") == "False"


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, made: Path):
        self.made = made

    def __reduce__(self):
        return Path.touch, (self.made,)


@pytest.mark.parametrize("name", ["a.npy", "a.mat"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_pickled_object_is_refused_and_not_made(tmp_path, name, bare):
    made = tmp_path / "made"
    objects = np.full((2, 2, 2), Hostile(made), object)
    with (tmp_path / name).open("wb") as stream:
        if bare:
            pickle.dump(Hostile(made), stream)
        else:
            np.lib.format.write_array(stream, objects, allow_pickle=True)
    with pytest.raises(InputError, match="cannot read the stack"):
        read_stack(tmp_path / name)
    assert not made.exists()
    with (tmp_path / name).open("rb") as stream:  # the test's own: it does execute
        if bare:
            pickle.load(stream)
        else:
            np.load(stream, allow_pickle=True)
    assert made.exists()


def test_a_prepared_data_set_imports_nothing(tmp_path, two_scans, monkeypatch):
    dataset = prepare(two_scans(), tmp_path / "out")
    (tmp_path / "hostile.py").write_text("import pathlib; pathlib.Path('made').touch()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    features = next(dataset.folder.rglob("features.json"))
    text = features.read_text()
    known = "tensorflow_datasets.core.features.text_feature.Text"
    assert known in text
    features.write_text(text.replace(known, "hostile.Text"))
    info = features.with_name("dataset_info.json")
    facts = json.loads(info.read_text())
    info.write_text(json.dumps(facts | {"moduleName": "hostile"}))
    again = open_dataset(dataset.folder)
    assert again.split("train_x")[0]["name"] == b"a#0"
    assert not (tmp_path / "made").exists()
    # which TFDS would do
    with pytest.raises(ValueError, match="Unrecognized FeatureConnector"):
        tfds.builder_from_directory(features.parent)
    assert (tmp_path / "made").exists()


def test_postscript_named_png_starts_no_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: started.append(a))
    path = tmp_path / "a.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match=r"a\.png: cannot read the image \(none of PNG"):
        read_image(path)
    assert not started
