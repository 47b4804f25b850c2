"""One run's workdir: what is written there while a state trains, and what is read back."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import grain
import numpy as np
from tqdm import tqdm

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.data import loading, pipeline
from cyclegan_jax.data.mri_slices import Dataset
from cyclegan_jax.files import write_whole, writing_workdir
from cyclegan_jax.metrics import LossAverages
from cyclegan_jax.pictures import save_grid
from cyclegan_jax.programs import Programs
from cyclegan_jax.score_tables import protocol_table
from cyclegan_jax.scoring import (
    DIRECTIONS,
    PROTOCOL,
    Evaluator,
    Summary,
    mean_score,
    scalar_name,
)
from cyclegan_jax.state import Hyperparameters, TrainState
from cyclegan_jax.tables import as_text
from cyclegan_jax.writer import METRICS, Writer, read_metrics

CONFIG = "config.json"
SAMPLES = "samples"
_SAMPLE_ROWS = 4
_MOST_PAIRS = 512  # scored at every evaluation; `evaluate.py` scores all
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_SAMPLE_COLUMNS = {
    "real_x": "T1 (x)",
    "fake_y": "T2 = G(x)",
    "cycled_x": "T1 = F(G(x))",
    "same_x": "T1 = F(x)",
    "real_y": "T2 (y)",
    "fake_x": "T1 = F(y)",
    "cycled_y": "T2 = G(F(y))",
    "same_y": "T2 = G(y)",
}


class DivergedError(InputError):
    """A loss or a gradient that is not finite."""


def due(step: int, every: int, is_last: bool) -> bool:
    """Whether what happens `every` steps happens after step number `step` (from 1)."""
    return is_last or step % every == 0


def claim_workdir(config: config_lib.Config, workdir: Path) -> None:
    """Makes `workdir` this config's, or checks that it is.

    Raises:
      InputError: it holds a run of another config (the message shows what differs), checkpoints
        without a config, or cannot be written.
    """
    path = workdir / CONFIG
    with writing_workdir(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            try:
                old = config_lib.from_json(path.read_text())
            except ValueError as error:  # an InputError, or text that is not UTF-8
                raise InputError(
                    f"{path} is no config of this program ({error}); use a new --workdir"
                ) from error
            changed = config_lib.differences(old, config)
            if changed:
                raise InputError(
                    f"{workdir} holds a run of another config; use a new --workdir, or undo: "
                    + "; ".join(changed)
                )
        if (workdir / "checkpoints").exists() and not path.exists():
            raise InputError(f"{workdir} has checkpoints but no {CONFIG}; use a new --workdir")
        write_whole(path, config_lib.to_json(config))


class Run:
    """A config that trains in a workdir. Use as a context manager: leaving it awaits saves.

    Everything is written under the workdir: `config.json`, `checkpoints/`, `metrics.jsonl`,
    `tensorboard/`, `samples/`.
    """

    def __init__(
        self, config: config_lib.Config, workdir: Path, programs: Programs, label: str = ""
    ):
        """Opens the data and claims the workdir.

        Args:
          config: of the shape that `programs` is for.
          workdir: made if need be.
          programs: whose devices restore, evaluate and sample.
          label: before each line that is printed.

        Raises:
          InputError: bad data or workdir.
        """
        self.config, self.workdir, self.label = config, workdir, label
        self._programs = programs
        self.dataset: Dataset = loading.open_data(config)
        claim_workdir(config, workdir)
        self.failure: DivergedError | None = None
        self.loss = float("nan")  # the generators' total, as logged last
        self._averages = LossAverages()
        self._evaluator: Evaluator | None = None
        self._stack = contextlib.ExitStack()
        self._checkpoints = self._stack.enter_context(Checkpoints(workdir, keep=config.keep))

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def saved_steps(self) -> list[int]:
        """Steps of the checkpoints there are, ascending."""
        return self._checkpoints.steps()

    def state(self, step: int | None) -> TrainState:
        """The state that was saved at `step`, or for None a new one."""
        fresh = self._programs.create_state(self.config.seed)
        return fresh if step is None else self._checkpoints.restore(step, fresh)

    @property
    def hyper(self) -> Hyperparameters:
        """The arguments of its steps."""
        return Hyperparameters.of(self.config)

    def begin(self, step: int) -> Iterator[dict[str, np.ndarray]]:
        """Opens what training writes to; returns the batches from `step` on."""
        batches = self._open()
        self._rate_from = (step, time.perf_counter())
        return pipeline.batches(batches, step, self.config.data.workers)

    def _open(self) -> grain.MapDataset:
        """The writer, the pairs that are scored and the samples; returns the training batches."""
        c = self.config
        self._writer = Writer(self.workdir)
        self._stack.callback(self._writer.close)
        batches = loading.train_batches(c, self.dataset)
        split = loading.monitoring_split(self.dataset)
        if split is None:
            first: Any = batches[0]  # no pairs: training images serve
            self._samples = {k: v[:_SAMPLE_ROWS] for k, v in first.items()}
            self._print("no pairs to score; `best` is the newest checkpoint")
        else:
            pairs = loading.paired_images(c, self.dataset, split, _MOST_PAIRS)
            self._print(f"{len(pairs.names)} {split} pairs are scored during training")
            self._evaluator = Evaluator(self._programs.translators, pairs)
            chosen = pipeline.spread(len(pairs.names), _SAMPLE_ROWS)
            self._samples = {"x": pairs.x[chosen], "y": pairs.y[chosen]}
        return batches

    def is_due(self, step: int, is_last: bool) -> bool:
        """Whether `on_due` has work after `step`."""
        return due(step, self.config.log_every, is_last) or self.needs_state(step, is_last)

    def needs_state(self, step: int, is_last: bool) -> bool:
        """Whether that work is more than logging losses."""
        c = self.config
        return any(due(step, n, is_last) for n in (c.sample_every, c.eval_every, c.save_every))

    def on_due(self, state: TrainState | None, step: int, is_last: bool, hurry: bool) -> None:
        """Saves before it writes anything else, so that a full disk costs no step.

        In a `hurry`, before the process is killed, it only saves. The state may be None where
        `needs_state` is false.
        """
        c = self.config
        if state is None:
            self._log(step)
            return
        summarised = None
        if self._evaluator is not None and not hurry and due(step, c.eval_every, is_last):
            summarised = self._evaluator.summary(state.generators)
        if hurry or summarised is not None or due(step, c.save_every, is_last):
            score = None if summarised is None else mean_score(summarised, "ssim")
            self._checkpoints.save(state, self._meta(), score)
        if hurry:
            return
        if due(step, c.log_every, is_last):
            self._log(step)
        if summarised is not None:
            self._log_scores(summarised, step)
        if due(step, c.sample_every, is_last):
            self._sample(state, step)
        self._rate_from = (step, time.perf_counter())  # the rate is that of training alone

    def is_scored(self) -> bool:
        """Whether the scores of the last step are in the metrics."""
        path, name = self.workdir / METRICS, scalar_name(DIRECTIONS[0], "ssim")
        lines = read_metrics(self.workdir) if path.exists() else []
        return any(line["step"] == self.config.steps and name in line for line in lines)

    def score(self, state: TrainState) -> None:
        """Writes the scores of the last step, which a kill after its save has lost."""
        self._open()
        if self._evaluator is not None:
            self._log_scores(self._evaluator.summary(state.generators), self.config.steps)

    def add(self, step: int, terms: dict[str, Any]) -> None:
        """Counts the loss terms of `step`.

        Raises:
          DivergedError: one of them is not finite.
        """
        bad = [name for name, value in terms.items() if not np.isfinite(value)]
        if bad:
            self.wait()
            kept = self._checkpoints.latest()
            self.failure = DivergedError(
                f"step {step}: loss {', '.join(bad)} is not finite; lower the learning rates or "
                "the loss weights in a new --workdir"
                + ("" if kept is None else f" (the checkpoint of step {kept} is kept)")
            )
            raise self.failure
        self._averages.add(terms)

    def wait(self) -> None:
        """Returns when all saves are on disk."""
        self._checkpoints.wait()

    def _meta(self) -> dict[str, Any]:
        facts, devices = self.dataset.manifest, self._programs.parallel.devices
        versions = {"cyclegan_jax": __version__, "python": platform.python_version()}
        return {
            "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
            "device": f"{len(devices)} x {devices[0].device_kind}, "
            f"on a {platform.machine()} machine with {os.cpu_count()} cores",
            "config": self.config.to_dict(),
            "data": {"domains": facts["domains"], "axis": facts["source"].get("axis", "axial")},
        }

    def _log(self, step: int) -> None:
        (since, then), now = self._rate_from, time.perf_counter()
        self._rate_from = (step, now)
        losses = {f"loss/{name}": value for name, value in self._averages.result().items()}
        self.loss = losses["loss/generators_total"]
        rate = (step - since) / (now - then)
        self._writer.scalars(step, losses | {"steps_per_second": rate})

    def _log_scores(self, summarised: Summary, step: int) -> None:
        values = {
            scalar_name(direction, metric): value["mean"]
            for direction, metrics in summarised.items()
            for metric, value in metrics.items()
        }
        self._writer.scalars(step, values)
        table = protocol_table(PROTOCOL, summarised)
        self._print(f"step {step}: {as_text(table)}")

    def _sample(self, state: TrainState, step: int) -> None:
        pictures = self._programs.sample_step(state.generators, self._samples)
        path = self.workdir / SAMPLES / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        rows = list(zip(*(pictures[name] for name in _SAMPLE_COLUMNS), strict=True))
        save_grid(path, rows, list(_SAMPLE_COLUMNS.values()))
        self._writer.picture(step, SAMPLES, path)

    def _print(self, text: str) -> None:
        tqdm.write(self.label + text, file=sys.stdout)
