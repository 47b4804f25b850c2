"""A run that is resumed with another config: what is applied, recorded, printed and refused."""

import json
import re
import shutil

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.config import from_json, to_json
from cyclegan_jax.report import page
from cyclegan_jax.training import changes, train
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.metric_log import read_metrics
from cyclegan_jax.training.preemption import Interruption


@pytest.fixture
def config(tiny, _own_cache):
    tiny.log_every = tiny.sample_every = tiny.eval_every = tiny.save_every = 100
    tiny.ema_decay, tiny.history_size = 0.9, 10
    return tiny


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run of four steps that may be changed."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def changed(config, **values):
    """A copy of the config with other values; `loss__cycle_weight` is `loss.cycle_weight`."""
    copy = config.copy_and_resolve_references()
    copy.update_from_flattened_dict({key.replace("__", "."): v for key, v in values.items()})
    return copy


def config_of(workdir, **values):
    return changed(from_json((workdir / "config.json").read_text()).unlock(), **values)


def newest(workdir):
    with Checkpoints(workdir) as checkpoints:
        return checkpoints.choose("latest", "all")


def assert_same(one, other):
    assert one.step == other.step
    for name, arrays in one.items.items():
        for path, array in arrays.items():
            np.testing.assert_array_equal(array, other.items[name][path], err_msg=path)


def train_until(config, workdir, step):
    """Trains as a process does that is told to stop after a step."""
    programs = Programs(config)
    with run_lib.Run(config, workdir, programs) as run:
        due = run.due
        run.due = lambda number, **_: due(number, is_interrupted=number == step)
        with Interruption() as interruption:
            train.train_loop(run, run.resume(), programs, interruption)


def test_a_run_that_is_lengthened_before_its_rates_fall_equals_one_of_that_length(
    config, tmp_path, capsys
):
    config.steps = 6
    longer = changed(config, steps=8)
    assert train.train(longer, tmp_path / "whole")
    train_until(config, tmp_path / "parts", 3)
    # a launch that is killed before it saves leaves no trace
    other = changed(config, steps=20, loss__cycle_weight=1.0)
    with run_lib.Run(other, tmp_path / "parts", Programs(other)) as run:
        run.resume()
    assert config_of(tmp_path / "parts") == other
    capsys.readouterr()
    assert train.train(longer, tmp_path / "parts")
    out = capsys.readouterr().out
    assert "changed from step 3 on:\n  steps: 6 -> 8\n  learning rates: the schedule is str" in out
    assert "fall from step 4 to 0 at step 8\n" in out
    assert_same(newest(tmp_path / "whole"), newest(tmp_path / "parts"))
    (change,) = newest(tmp_path / "parts").meta["changes"]
    assert change == {"step": 3, "changed": {"steps": [6, 8]}}
    assert config_of(tmp_path / "parts") == longer


def test_a_finished_run_is_lengthened_and_resumes_exactly(run, tmp_path, capsys):
    longer = config_of(
        run,
        steps=8,
        batch_size=16,
        loss__structure_weight=1.0,
        data__contrast=0.3,
        log_every=1,
        eval_every=100,
    )
    parts = shutil.copytree(run, tmp_path / "parts")
    assert train.train(longer, run)
    page.write(run)
    out = capsys.readouterr().out
    for line in (
        "changed from step 4 on:",
        "  batch_size: 8 -> 16",
        "  data.contrast: 0.0 -> 0.3",
        "  log_every: 2 -> 1",
        "  loss.structure_weight: 0.0 -> 1.0",
        "  steps: 4 -> 8",
        "learning rates: a warm restart, since they had begun to fall; 0 -> 1 of their full values "
        "at step 4, and they fall from step 4 to 0 at step 8",
        "loss weights: cycle 15, structure 1",
    ):
        assert line in out
    logged = [line["step"] for line in read_metrics(run) if "loss/structure_g" in line]
    assert logged == [5, 6, 7, 8]
    train_until(longer, parts, 6)
    assert train.train(longer, parts)
    assert_same(newest(run), newest(parts))
    for workdir in (run, parts):
        saved = newest(workdir)
        assert to_json(saved.config) == to_json(longer) == (workdir / "config.json").read_text()
        (change,) = saved.meta["changes"]
        assert (change["step"], len(change["changed"])) == (4, 6)
        assert change["changed"]["steps"] == [4, 8]
    text = (run / "report.html").read_text()
    assert "Finished: all 8 steps are done." in text
    assert "These keys have changed while the run trained" in text
    assert "loss.structure_weight" in text


def test_a_new_learning_rate_is_applied_from_the_newest_checkpoint_on(run):
    before = newest(run)
    still = config_of(
        run,
        steps=6,
        optimizer__generator_learning_rate=0.0,
        optimizer__discriminator_learning_rate=0.0,
    )
    assert train.train(still, run)
    after = newest(run)
    assert (before.step, after.step) == (4, 6)
    for item in ("generators", "discriminators"):
        assert before.meta["digests"][item] == after.meta["digests"][item]
    assert before.meta["digests"]["train"] != after.meta["digests"]["train"]


def test_what_changes_the_networks_or_undoes_steps_is_refused(run):
    before = (run / "config.json").read_text()
    with pytest.raises(
        InputError,
        match=rf"another config.*--init_from={run} .*generator\.features: \[4, 8\] -> \[8, 8\]$",
    ):
        train.train(config_of(run, steps=8, generator__features=(8, 8)), run)
    with pytest.raises(InputError, match=r"config.steps = 3: the run in .* has done 4 steps; give"):
        train.train(config_of(run, steps=3), run)
    assert (run / "config.json").read_text() == before


@pytest.fixture
def saved(config):
    """A checkpoint of step 50 of 100, as far as its facts matter here."""
    config.steps = 100
    return Checkpoint(50, {"config": json.loads(json.dumps(config.to_dict()))}, {})


def test_changes_are_recorded_after_those_before(config, saved, tmp_path):
    record, lines = changes.applied(saved, config, tmp_path)
    assert (record, lines) == ([], [])
    saved.meta["changes"] = [{"step": 10, "changed": {"batch_size": [4, 8]}}]
    config.loss.cycle_weight = 3.0
    record, lines = changes.applied(saved, config, tmp_path)
    assert lines == ["changed from step 50 on:", "  loss.cycle_weight: 15.0 -> 3.0"]
    assert record == [
        {"step": 10, "changed": {"batch_size": [4, 8]}},
        {"step": 50, "changed": {"loss.cycle_weight": [15.0, 3.0]}},
    ]
    assert len(saved.meta["changes"]) == 1


def test_the_start_counts_the_steps_of_the_run(config, saved, tmp_path):
    config.loss.start_weight, config.loss.start_steps = 8.0, 100
    _, lines = changes.applied(saved, config, tmp_path)
    assert lines[-1] == "  weight of the start: 4 at step 50, and 0 from step 100 of the run on"
    config.loss.start_steps = 20
    _, lines = changes.applied(saved, config, tmp_path)
    assert lines[-1] == "  weight of the start: 0 at step 50, and 0 from step 20 of the run on"


def test_a_start_that_lasts_the_run_is_stretched_with_it(config, saved, tmp_path):
    config.loss.start_weight = saved.meta["config"]["loss"]["start_weight"] = 8.0
    config.steps = 200
    _, lines = changes.applied(saved, config, tmp_path)
    assert lines[-1] == "  weight of the start: 6 at step 50, and 0 from step 200 of the run on"
    config.loss.start_steps = saved.meta["config"]["loss"]["start_steps"] = 100
    _, lines = changes.applied(saved, config, tmp_path)
    assert not [line for line in lines if "weight of the start" in line]


@pytest.mark.parametrize(
    ("steps", "decay_from", "words"),
    [
        (200, 0.5, "stretched, since they had not begun to fall; 1 -> 1 .*from step 100 to 0 at s"),
        (90, 0.6, "shortened, since they had not begun to fall; 1 -> 1 .*from step 54 to 0 at st"),
        (60, 0.5, "they fall sooner; 1 -> 0.333 .* at step 50, and they fall from step 50 to 0 at"),
        (200, 1.0, "stretched, .*and they stay there"),
    ],
)
def test_the_rates_are_said(config, saved, tmp_path, steps, decay_from, words):
    config.steps, config.optimizer.decay_from = steps, decay_from
    _, lines = changes.applied(saved, config, tmp_path)
    assert re.search(f"learning rates: .*{words}", lines[-1]), lines
