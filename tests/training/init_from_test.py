"""A new run that starts from the weights of another one."""

import json
import shutil

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.export.model import export_model
from cyclegan_jax.report import page
from cyclegan_jax.trained import shipped
from cyclegan_jax.trained.model_folder import read_model
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training import train
from cyclegan_jax.training.compiled import Programs


@pytest.fixture
def config(tiny, tiny_run):
    """Of the new runs: another image size, other weights of the loss, and averages."""
    tiny.data.dir = json.loads((tiny_run / "config.json").read_text())["data"]["dir"]
    tiny.image_size, tiny.steps = 32, 2
    tiny.loss.cycle_weight, tiny.ema_decay = 7.0, 0.9
    tiny.sample_every = tiny.eval_every = tiny.save_every = 100
    return tiny


@pytest.fixture
def source(tiny_run, tmp_path):
    """A run of steps 2 and 4 that may be changed; it does not average."""
    return shutil.copytree(tiny_run, tmp_path / "source")


@pytest.fixture
def averaging(config, tmp_path):
    """The workdir of a run whose averaged generators differ from the others."""
    state = Programs(config).create_state(3)
    state = state.replace(step=np.int32(4), ema=jax.tree.map(lambda a: a + 1, state.ema))
    with Checkpoints(tmp_path / "averaging", keep=1) as checkpoints:
        checkpoints.save(state, {"config": config.to_dict()}, None)
    return tmp_path / "averaging"


KERNEL = "generator_g/down_0/Conv_0/kernel"


def read(workdir, choice="latest"):
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.choose(choice, "all")


def start(config, workdir, init_from):
    with run_lib.Run(config, workdir, Programs(config), init_from=init_from) as run:
        return jax.device_get(run.resume())


def assert_equal(tree, arrays):
    """The leaves of a tree of parameters are those of a checkpoint's item."""
    found = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    assert found.keys() == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(found[path], array, err_msg=path)


def with_no_rates(config):
    """The config, of which no step changes a weight."""
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = 0.0
    return config


def refused(pattern):
    return pytest.raises(InputError, match=pattern)


def test_averaged_generators_and_discriminators_are_taken_and_nothing_else(
    config, averaging, tmp_path
):
    state = start(config, tmp_path / "new", f"{averaging}@4")
    saved = read(averaging)
    assert not np.array_equal(*(saved.items[item][KERNEL] for item in ("ema", "generators")))
    params = {k: v for k, v in vars(state.params).items() if k.startswith("generator")}
    assert_equal(params, saved.items["ema"])
    params = {k: v for k, v in vars(state.params).items() if k.startswith("discriminator")}
    assert_equal(params, saved.items["discriminators"])
    averages = {k: v for k, v in vars(state.ema).items() if k.startswith("generator")}
    assert_equal(averages, saved.items["ema"])
    assert state.step == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))


def test_an_exported_model_gives_its_generators_alone(
    config, averaging, tmp_path, capsys, monkeypatch, tiny_run
):
    """By folder and by the name of a shipped model; a resumed run needs it no more."""
    meta = {"config": config.to_dict(), "data": read(tiny_run).meta["data"]}
    state = Programs(config).create_state(3)
    state = state.replace(ema=jax.tree.map(lambda a: a + 1, state.ema))
    with Checkpoints(tmp_path / "run", keep=1) as checkpoints:
        checkpoints.save(state, meta, None)
    export_model(tmp_path / "run", "latest", tmp_path / "models" / "a")
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path / "models")
    still = with_no_rates(config)
    for name, source in (("one", "a"), ("two", str(tmp_path / "models" / "a"))):
        assert train.train(still, tmp_path / name, source)
        out = capsys.readouterr().out
        assert "starting from the weights of a, step 0\n" in out
        assert f"--init_from={source} is an exported model and holds no discriminators" in out
        after = read(tmp_path / name)
        exported = read_model(tmp_path / "models" / "a")
        for item in ("generators", "ema"):
            assert after.items[item].keys() == exported.items["generators"].keys()
            for path, array in exported.items["generators"].items():
                np.testing.assert_array_equal(after.items[item][path], array)
        assert after.meta["init_from"] == {
            "run": "a", "step": 0, "digest": exported.meta["weights"]["sha256"]
        }  # fmt: skip
    with refused("--init_from=a@4: an exported model has one set of weights; omit @4"):
        train.train(still, tmp_path / "three", "a@4")
    config.generator.norm = "none"
    with refused("--init_from=a has other generators"):
        train.train(config, tmp_path / "three", "a")
    assert not (tmp_path / "three").exists()
    shutil.rmtree(tmp_path / "models")
    config.generator.norm = "instance"
    assert train.train(config, tmp_path / "one")


def test_a_run_is_trained_on_other_data_and_says_so(config, source, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config.data.dir, config.data.phantom.slices = "", 3
    still, new = with_no_rates(config), tmp_path / "new"
    assert train.train(still, new, f"{source}@2")
    out = capsys.readouterr().out
    assert "starting from the weights of source, step 2\n" in out
    assert "note: loss.start" not in out
    before, after = read(source, "2"), read(new)
    digests = before.meta["digests"]
    for item in ("generators", "discriminators"):  # its rates are 0
        assert after.meta["digests"][item] == digests[item]
    assert after.meta["data"]["digest"] != before.meta["data"]["digest"]
    facts = after.meta["init_from"]
    assert (facts["run"], facts["step"], len(facts["digest"])) == ("source", 2, 64)
    assert before.meta["init_from"] is None
    page.write(new)
    text = (new / "report.html").read_text()
    assert "The run started from the weights of source, step 2 (digest " in text
    # a run that starts from this one knows both
    start(still, tmp_path / "third", str(new))
    record = json.loads((tmp_path / "third" / "init_from.json").read_text())
    assert record["facts"]["run"] == "new"
    assert record["facts"]["init_from"] == facts


def test_the_same_command_resumes_and_another_is_refused(config, source, tmp_path, capsys):
    new, copy = tmp_path / "new", tmp_path / "copy"
    shutil.copytree(source, copy)
    assert train.train(config, new, f"{source}@2")
    with refused(rf"--init_from={source}@4: the run in {new} has .* of source, step 2; leave it o"):
        train.train(config, new, f"{source}@4")
    capsys.readouterr()
    assert train.train(config, new, f"{copy}@2")  # the same weights
    shutil.rmtree(source)
    shutil.rmtree(copy)
    assert train.train(config, new, f"{source}@2")
    assert train.train(config, new)
    with config.unlocked():
        config.steps = 4
    assert train.train(config, new, f"{source}@2")
    out = capsys.readouterr().out
    assert "resuming from step 2" in out
    assert "starting from" not in out
    assert saved_steps(new) == [2, 4]
    assert read(new).meta["init_from"]["run"] == "source"


def test_a_run_that_was_killed_before_its_first_save_starts_from_the_weights_again(
    config, source, tmp_path
):
    first = start(config, tmp_path / "new", f"{source}@2")
    again = start(config, tmp_path / "new", "")
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    with refused(rf"--init_from={source}@4: "):
        start(config, tmp_path / "new", f"{source}@4")


def test_a_run_with_weights_of_its_own_cannot_start_anew(config, source, tmp_path):
    start(config, tmp_path / "new", "")
    with refused(rf"--init_from={source}: the run in .*new has not started from other weights"):
        start(config, tmp_path / "new", str(source))


def test_other_generators_are_refused_with_both_values(config, source, tmp_path):
    config.generator.features, config.generator.norm = (4, 4), "none"
    with refused(
        rf"--init_from={source} has other generators \(there -> here\): generator\.features: "
        r"\[4, 8\] -> \[4, 4\]; generator\.norm: 'instance' -> 'none'; give"
    ):
        train.train(config, tmp_path / "new", str(source))
    assert not (tmp_path / "new").exists()


def test_discriminators_that_do_not_fit_are_new_with_a_note(config, source, tmp_path, capsys):
    config.discriminator.features = (4, 16)
    config.loss.start_weight, config.loss.start_steps = 7.0, 600
    state = start(config, tmp_path / "new", f"{source}@4")
    out = capsys.readouterr().out
    assert "note: the discriminators of --init_from=" in out
    assert "(there -> here): discriminator.features: [4, 8] -> [4, 16]\n" in out
    assert "note: loss.start_weight = 7 acts in the first 600 steps of this run, too" in out
    params = {k: v for k, v in vars(state.params).items() if k.startswith("generator")}
    assert_equal(params, read(source).items["generators"])
    new = jax.device_get(Programs(config).create_state(config.seed)).params
    for name in ("discriminator_x", "discriminator_y"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state.params, name), getattr(new, name))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "nowhere",
            "nowhere is neither a run with checkpoints nor an exported model; name the workdir",
        ),
        ("source/checkpoints/4", "is neither a run with checkpoints nor"),
        ("source@7", "has no checkpoint '7'; there are best, latest, 2, 4"),
        ("source@", "has no checkpoint ''"),
    ],
)
def test_a_source_that_cannot_be_read(config, source, tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    with refused(f"--init_from={value}: .*{words}"):
        train.train(config, tmp_path / "new", value)
    assert not (tmp_path / "new").exists()


def test_a_damaged_source_is_named(config, source, tmp_path):
    meta = source / "checkpoints" / "4" / "meta" / "metadata"
    meta.write_bytes(meta.read_bytes()[:-1])
    with refused(rf"--init_from={source}@4: .*checkpoints/4 is damaged"):
        train.train(config, tmp_path / "new", f"{source}@4")


def test_a_name_with_a_sign_of_a_step(config, source, tmp_path):
    named = source.rename(tmp_path / "a@2")
    start(config, tmp_path / "new", str(named))
    record = json.loads((tmp_path / "new" / "init_from.json").read_text())
    assert record["facts"]["run"] == "a@2"
    assert record["checkpoint"] == "best"


def test_the_flag(source, script, config_text, tmp_path):
    (tmp_path / "config.py").write_text(config_text)
    result = script(tmp_path, "train", "--config=config.py", "--workdir=run", "--init_from=nowhere")
    assert result.returncode == 1
    assert result.stderr.startswith("error: --init_from=nowhere: nowhere is neither a run")
