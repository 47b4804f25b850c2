"""The loop in one process: files, exact resume, interruption, refused workdirs."""

import json
import os
import re
import shutil
import signal
from unittest import mock

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.config import from_json
from cyclegan_jax.data import from_config
from cyclegan_jax.evaluation import monitors
from cyclegan_jax.evaluation.evaluate import evaluate
from cyclegan_jax.optimizer import at_step
from cyclegan_jax.parallel.data_parallel import Parallel, TrainStep
from cyclegan_jax.report import page
from cyclegan_jax.state import build_recipe
from cyclegan_jax.system.workdir import locked
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.training import failure_modes, train
from cyclegan_jax.training import run as run_lib
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.metric_log import read_metrics


@pytest.fixture
def config(tiny, _own_cache):
    return tiny


def final_state(config, workdir):
    like = Parallel("jit").compile_create_state(config, build_recipe(config))(config.seed)
    with Checkpoints(workdir) as checkpoints:
        return jax.device_get(checkpoints.choose("latest", "all").state(like))


def interrupt_at(monkeypatch, step, signal_number=signal.SIGTERM):
    """Sends this process a signal while the metrics of `step` are read."""
    original = run_lib.Run.count

    def add(self, number, terms, batch):
        if number == step:
            os.kill(os.getpid(), signal_number)
        original(self, number, terms, batch)

    monkeypatch.setattr(run_lib.Run, "count", add)


def test_a_run_leaves_everything_under_its_workdir(config, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train.train(config, workdir)
    page.finish(workdir, config.steps)
    names = {p.name for p in workdir.iterdir() if not p.name.startswith(".")}
    files = {"config.json", "metrics.jsonl", "networks.txt", "report.html", "warnings.txt"}
    assert names == files | {"checkpoints", "eval", "samples", "tensorboard"}
    assert sorted(p.name for p in (workdir / "samples").iterdir()) == [
        "step_0000002.png",
        "step_0000004.png",
    ]
    lines = read_metrics(workdir)
    losses = [line for line in lines if "loss/cycle_x" in line]
    scores = [line for line in lines if "eval/brain/t1_to_t2/ssim" in line]
    assert [line["step"] for line in losses] == [line["step"] for line in scores] == [2, 4]
    assert from_json((workdir / "config.json").read_text()).steps == 4
    out, bar = capsys.readouterr()
    for words in ("generator_g", "713 parameters", "train_x", "phantom", "2 val pairs"):
        assert words in out
    # each once, before the first step
    for words in ("compiling the training step (it can take", "compiled in "):
        assert out.count(words) == 1
        assert out.index(words) < out.index("step 2: ")
    assert (
        out.count("Only pixels inside the label maps count") == 2
    )  # what the scores are: in the run, and at its end
    assert "protocol foreground" not in out
    assert "4/4" in bar
    assert "nan" not in bar
    assert len(out.splitlines()) < 50
    listed = (workdir / "networks.txt").read_text()
    assert listed.count("Total: 713 ") == 2
    assert "discriminator_y" in listed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_equals_one_go_bit_for_bit(
    config, tmp_path, monkeypatch, capsys, number
):
    config.ema_decay, config.history_size = 0.9, 10
    config.data.contrast, config.data.shift = 0.2, 2
    config.steps = 6
    config.log_every = config.sample_every = config.eval_every = config.save_every = 100
    handler = signal.getsignal(number)
    assert train.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, number)
        assert not train.train(config, tmp_path / "parts")
    out = capsys.readouterr().out
    assert "stopped after step 3 of 6, saved; to resume, launch it again" in out
    assert signal.getsignal(number) == handler
    assert train.train(config, tmp_path / "parts")
    assert "resuming from step 3" in capsys.readouterr().out
    whole, parts = (final_state(config, tmp_path / name) for name in ("whole", "parts"))
    assert (whole.step, parts.step) == (6, 6)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_says_so_and_does_nothing(config, tmp_path, capsys):
    train.train(config, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert train.train(config, tmp_path / "run")
    assert "is trained: 4 steps are done" in capsys.readouterr().out
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_a_run_that_is_killed_after_its_last_save_gets_scores_and_report(
    config, tmp_path, monkeypatch, capsys
):
    run, metrics = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "_log_scores", killed)
        config.eval_every = 100
        with pytest.raises(KeyboardInterrupt):
            train.train(config, run)
    assert "eval/" not in metrics.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(page, "evaluate", killed)
        assert train.train(config, run)
        with pytest.raises(KeyboardInterrupt):
            page.finish(run, config.steps)
    assert metrics.read_text().count("eval/brain/t1_to_t2/ssim") == 1
    assert not (run / "report.html").exists()
    assert train.train(config, run)
    page.finish(run, config.steps)
    assert (run / "report.html").exists()
    assert (run / "eval" / "4").exists()
    assert metrics.read_text().count("eval/brain/t1_to_t2/ssim") == 1
    assert "checkpoint 4, 2 test images" in capsys.readouterr().out


def test_a_run_goes_on_with_its_own_data_alone(config, tmp_path):
    config.steps = 2
    train.train(config, tmp_path / "run")
    copy, other = tmp_path / "copy", tmp_path / "other"
    shutil.copytree(from_config.open_data(config).folder, copy)
    with config.unlocked():
        config.data.dir = str(copy)
    assert train.train(config, tmp_path / "run")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["splits"]["train_x"]["names"].reverse()
    shutil.copytree(copy, other)
    (other / "manifest.json").write_text(json.dumps(manifest))
    config.data.dir = str(other)
    with pytest.raises(
        InputError, match=f"run on other images than those in {other}; name its.*--init_from="
    ):
        train.train(config, tmp_path / "run")


def test_a_launch_that_is_refused_has_written_nothing(config, tmp_path):
    run = tmp_path / "run"
    with locked(run):
        with pytest.raises(InputError, match="another process trains"):
            train.train(config, run)
        assert [path.name for path in run.iterdir()] == [".lock"]


def test_heads_that_would_be_cropped_stop_a_new_run_before_anything_is_written(
    config, tmp_path, monkeypatch, capsys
):
    config.steps = 2
    config.image_size = 32
    config.data.dir = str(from_config.open_data(config).folder)
    config.image_size = 16
    with pytest.raises(InputError, match=r"32x32 pixels are cropped.*fit=resize.*image_size=32"):
        train.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as earlier:  # versions did not look
        earlier.setattr(from_config, "cropped_heads", lambda *_: "")
        assert train.train(config, tmp_path / "run")
    config.log_every = 1
    capsys.readouterr()
    assert train.train(config, tmp_path / "run")
    evaluate(Run(tmp_path / "run"))
    out = capsys.readouterr().out
    assert re.search("note: .*32x32 pixels are cropped", out)


def test_batch_that_does_not_fit_the_devices_stops_before_anything_is_written(config, tmp_path):
    config.batch_size = 4
    with pytest.raises(InputError, match=r"batch_size = 4 .* 8 devices"):
        train.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_known_failures_are_printed_once(config, tmp_path, monkeypatch, capsys):
    # limits that every network exceeds
    limits = {"WARM_UP": 1, "_CONSTANT": 0, "_COPY": 100}
    limits |= {"_WON": 100, "_WON_STEPS": 2, "_WON_WINDOWS": 2}
    for name, value in limits.items():
        monkeypatch.setattr(failure_modes, name, value)
    inverted = {"rank_correlation": {"mean": -0.9}, "inverted": True}
    monkeypatch.setattr(monitors.regions, "polarity", lambda *a: {"t2_to_t1": inverted})
    train.train(config, tmp_path / "run")
    out = capsys.readouterr().out
    told = ["generator_g: its output equals", "generator_f: its output equals"]
    told += ["discriminator_x: its loss", "discriminator_y: its loss"]
    told += ["generator_f: its contrast is inverted (the tissues' order"]
    for words in told:
        assert out.count(words) == 1
    assert "warning: step 2: generator_g" in out
    kept = (tmp_path / "run" / "warnings.txt").read_text().splitlines()
    assert [f"warning: {line}" for line in kept] == [
        line for line in out.splitlines() if line.startswith("warning: ")
    ]
    assert "warning: step 4: discriminator_x" in out


def test_the_bar_shows_no_loss_before_there_is_one():
    bar = mock.Mock()
    train.show_loss(bar, float("nan"))
    bar.set_postfix_str.assert_not_called()
    train.show_loss(bar, 0.25)
    bar.set_postfix_str.assert_called_once_with("generators' loss 0.250", refresh=False)


def test_a_run_whose_rates_lag_resumes_at_those_of_its_step(config, tmp_path, monkeypatch):
    """As in a run of an earlier version that has skipped a step."""
    config.steps, original = 2, Checkpoint.state
    train.train(config, tmp_path / "run")

    def lagging(self, like):
        state = original(self, like)
        return state.replace(opt_state=at_step(state.opt_state, np.array(1)))

    monkeypatch.setattr(Checkpoint, "state", lagging)
    with run_lib.Run(config, tmp_path / "run", Programs(config)) as run:
        state = run.resume()
    assert {int(schedule.count) for _, schedule in vars(state.opt_state).values()} == {2}


def test_the_logged_rate_is_that_of_steps_alone(config, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(run_lib.time, "perf_counter", lambda: clock[0])

    def lasting(kind, name, seconds):
        original = getattr(kind, name)

        def slow(*arguments):
            clock[0] += seconds
            return original(*arguments)

        monkeypatch.setattr(kind, name, slow)

    lasting(TrainStep, "compile", 1000)
    lasting(run_lib.Run, "count", 1)  # one second a step
    lasting(Checkpoints, "save", 10)
    config.log_every = 1
    train.train(config, tmp_path / "run")
    lines = read_metrics(tmp_path / "run")
    assert clock[0] == 1000 + 4 + 2 * 10
    rates = [line["steps_per_second"] for line in lines if "loss/cycle_x" in line]
    assert rates == [1, 1, 1, 1]


def test_what_is_due_after_a_step(config, tmp_path):
    config.log_every, config.sample_every, config.eval_every, config.save_every = 1, 2, 3, 100
    config.steps = 7
    with run_lib.Run(config, tmp_path / "run", Programs(config)) as run:
        assert run.due(1) == {"log"}
        assert run.due(2) == {"log", "sample"}
        assert run.due(3) == {"log", "evaluate", "save"}  # a score goes with its checkpoint
        assert run.due(3, is_interrupted=True) == {"log", "save", "end"}
        everything = {"log", "sample", "evaluate", "save", "end"}
        assert run.due(7) == run.due(7, is_interrupted=True) == everything


def test_best_checkpoint_is_the_one_with_the_best_logged_score(config, tmp_path):
    config.steps, config.optimizer.generator_learning_rate = 8, 1e-2
    workdir = tmp_path / "run"
    train.train(config, workdir)
    scores = {
        line["step"]: (line["eval/brain/t1_to_t2/ssim"] + line["eval/brain/t2_to_t1/ssim"]) / 2
        for line in read_metrics(workdir)
        if "eval/brain/t1_to_t2/ssim" in line
    }
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.choose("best").step == max(scores, key=lambda step: scores[step])


def test_without_pairs_the_best_checkpoint_is_the_one_with_the_nearest_patches(
    config, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(run_lib.from_config, "monitoring_split", lambda dataset: None)
    config.steps, config.keep, config.optimizer.generator_learning_rate = 8, 9, 1e-2
    workdir = tmp_path / "run"
    assert train.train(config, workdir)
    out = capsys.readouterr().out
    assert "no pairs to score; `best` is chosen by patches of training images" in out
    assert out.count("patches, no pairs") == 4
    name = "eval/patches/{}/patch_distance"
    lines = [line for line in read_metrics(workdir) if name.format("t1_to_t2") in line]
    distances = {
        line["step"]: sum(line[name.format(d)] for d in ("t1_to_t2", "t2_to_t1")) for line in lines
    }
    assert list(distances) == [2, 4, 6, 8]
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.protocol == "patches"
        assert checkpoints.best() == min(distances, key=lambda step: distances[step])
    assert not (workdir / "eval").exists()
    assert train.train(config, workdir)  # nothing is scored again
    assert "patches, no pairs" not in capsys.readouterr().out


def test_a_run_of_an_earlier_version_is_ranked_anew_inside_the_brain(
    config, tmp_path, monkeypatch, capsys
):
    config.steps, config.keep = 4, 9
    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(monitors, "headline", lambda pairs: "fixed")
        train.train(config, workdir)
        assert train.train(config, workdir)
    assert train.train(config, workdir)  # it is finished, and stays as it was
    assert "note: scores are under" not in capsys.readouterr().out
    assert "eval/brain" not in (workdir / "metrics.jsonl").read_text()
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.protocol == "fixed"
    with config.unlocked():
        config.steps = 6
    train.train(config, workdir)
    assert "scores are under the protocol brain from here on" in capsys.readouterr().out
    with Checkpoints(workdir) as checkpoints:
        assert (checkpoints.protocol, checkpoints.best()) == ("brain", 6)
    lines = read_metrics(workdir)
    assert [line["step"] for line in lines if "eval/t1_to_t2/ssim" in line] == [2, 4]
    assert [line["step"] for line in lines if "eval/brain/t1_to_t2/ssim" in line] == [6]
