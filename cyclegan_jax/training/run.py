"""One run: what is written to its workdir while a state trains, and what is read back."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from tqdm import tqdm

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.data import batches as pipeline
from cyclegan_jax.data import from_config
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.evaluation.metrics import LossAverages
from cyclegan_jax.evaluation.scoring import (
    DIRECTIONS,
    PROTOCOL,
    Evaluator,
    Summary,
    mean_score,
    scalar_name,
)
from cyclegan_jax.evaluation.tables import protocol_table
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.render.text_table import as_text
from cyclegan_jax.state import Hyperparameters, TrainState
from cyclegan_jax.system.files import writing_workdir
from cyclegan_jax.system.workdir import claim, locked, open_same_data, provenance
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.failure_modes import Symptoms
from cyclegan_jax.training.metric_log import Writer, is_logged
from cyclegan_jax.training.nonfinite import DivergedError, Divergence

SAMPLES = "samples"
_SAMPLE_ROWS = 4
_MOST_PAIRS = 512  # scored at every evaluation; `evaluate.py` scores all
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


def due(step: int, every: int, is_last: bool) -> bool:
    """Whether what happens `every` steps happens after step number `step` (from 1)."""
    return is_last or step % every == 0


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
        self.dataset = open_same_data(config)
        self.failure: DivergedError | None = None
        self.loss = float("nan")  # the generators' total, as logged last
        self._averages = LossAverages()
        self._skipped = 0  # steps since the last log
        self._symptoms = Symptoms(config.loss.adversarial, config.steps)
        self._writer: Writer | None = None  # of the primary process, when it trains
        self._evaluator: Evaluator | None = None
        self._batches: grain.MapDataset | None = None
        self._stack = contextlib.ExitStack()
        multihost.primary_first(self._claim)
        self._checkpoints = self._stack.enter_context(Checkpoints(workdir, keep=config.keep))
        self._divergence = Divergence(config.on_nonfinite, workdir, self._kept, self._print)

    def _claim(self) -> None:
        if multihost.is_primary():  # locked before anything in it is written
            self._stack.enter_context(locked(self.workdir))
        claim(self.config, self.workdir)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def resume(self) -> TrainState:
        """The state to go on from, that of the newest intact checkpoint, or a new one.

        Raises:
          InputError: all checkpoints are damaged, or of another model or other data.
        """
        create, seed = self._programs.create_state, self.config.seed
        saved = multihost.primary_first(self._checkpoints.newest)
        if not multihost.same(0 if saved is None else saved.step):
            raise InputError(
                f"--workdir={self.workdir} holds other checkpoints in other processes; it must be "
                "on a file system that all of them share"
            )
        if saved is None:
            return create(seed)
        if saved.meta["data"]["digest"] != self.dataset.digest:
            raise InputError(
                f"{self.workdir} holds a run on other images than those in {self.dataset.folder}; "
                "name its own with --config.data.dir, or use a new --workdir"
            )
        return saved.state(jax.eval_shape(create, seed))

    def catch_up(self, state: TrainState) -> None:
        """Scores a restored state whose evaluation a stop or a kill after the save has left out."""
        step = int(state.step)
        is_missing = (
            step > 0
            and due(step, self.config.eval_every, step == self.config.steps)
            and from_config.monitoring_split(self.dataset) is not None
            and not is_logged(self.workdir, step, scalar_name(DIRECTIONS[0], "ssim"))
        )
        if not multihost.agree(int(is_missing)):
            return
        self._open()
        if self._evaluator is not None:
            placed = self._programs.parallel.place_state(state)
            summarised = self._evaluator.summary(placed.generators)
            self._checkpoints.rate(step, mean_score(summarised, "ssim"))
            with writing_workdir(self.workdir):
                self._log_scores(summarised, step)

    @property
    def hyper(self) -> Hyperparameters:
        """The arguments of its steps."""
        return Hyperparameters.of(self.config)

    def begin(self, step: int) -> Iterator[dict[str, np.ndarray]]:
        """Opens what training writes to; returns the batches from `step` on."""
        batches = self._open()
        self._rate_from = (step, time.perf_counter())
        return pipeline.read_ahead(batches, step, self.config.data.workers)

    def _open(self) -> grain.MapDataset:
        """The writer, the pairs that are scored and the samples; returns the training batches."""
        if self._batches is not None:
            return self._batches
        c = self.config
        if multihost.is_primary():
            self._writer = Writer(self.workdir)
            self._stack.callback(self._writer.close)
        self._batches = from_config.training_batches(c, self.dataset, self._programs.parallel.share)
        split = from_config.monitoring_split(self.dataset)
        if split is None:
            # no pairs: training images serve, in all processes the primary's
            _, processes = self._programs.parallel.share
            first: Any = from_config.training_batches(c, self.dataset, (0, processes))[0]
            self._samples = {k: v[:_SAMPLE_ROWS] for k, v in first.items()}
            self._print("no pairs to score; `best` is the newest checkpoint")
        else:
            pairs = from_config.scored_pairs(c, self.dataset, split, _MOST_PAIRS)
            self._print(f"{len(pairs.names)} {split} pairs are scored during training")
            self._evaluator = Evaluator(self._programs.translators, pairs)
            chosen = spread(len(pairs.names), _SAMPLE_ROWS)
            self._samples = {"x": pairs.x[chosen], "y": pairs.y[chosen]}
        return self._batches

    def is_due(self, step: int, is_last: bool) -> bool:
        """Whether `on_due` has work after `step`."""
        return due(step, self.config.log_every, is_last) or self.needs_state(step, is_last)

    def needs_state(self, step: int, is_last: bool) -> bool:
        """Whether that work is more than logging losses."""
        c = self.config
        return any(due(step, n, is_last) for n in (c.sample_every, c.eval_every, c.save_every))

    def on_due(self, state: TrainState | None, step: int, is_last: bool, hurry: bool) -> None:
        """Saves before it writes anything else, so that a full disk costs no step.

        In a `hurry`, before the process is killed, it only saves and logs losses. The state may be
        None where `needs_state` is false.

        Raises:
          InputError: the workdir cannot be written.
        """
        with writing_workdir(self.workdir):
            self._on_due(state, step, is_last, hurry)

    def _on_due(self, state: TrainState | None, step: int, is_last: bool, hurry: bool) -> None:
        c = self.config
        if state is None:
            self._log(step)
            return
        summarised = None
        if self._evaluator is not None and not hurry and due(step, c.eval_every, is_last):
            summarised = self._evaluator.summary(state.generators)
        if hurry or summarised is not None or due(step, c.save_every, is_last):
            score = None if summarised is None else mean_score(summarised, "ssim")
            devices = self._programs.parallel.devices
            meta = provenance(c, self.dataset, devices)
            self._checkpoints.save(state, meta, score)
        if hurry or due(step, c.log_every, is_last):
            self._log(step)
        if hurry:
            return
        if summarised is not None:
            self._log_scores(summarised, step)
        if due(step, c.sample_every, is_last):
            self._sample(state, step)
        self._rate_from = (step, time.perf_counter())  # the rate is that of training alone

    def add(self, step: int, terms: dict[str, Any], batch: dict[str, np.ndarray]) -> None:
        """Counts the loss terms of `step`, which saw `batch`, unless it was skipped.

        Raises:
          DivergedError: one of them is not finite.
        """
        try:
            if self._divergence.is_finite(step, terms, batch):
                self._averages.add(terms)
            else:
                self._skipped += 1
        except DivergedError as error:
            self.failure = error
            raise

    def wait(self) -> None:
        """Returns when all saves are on disk."""
        self._checkpoints.wait()

    def _kept(self) -> int | None:
        self.wait()
        return max(self._checkpoints.steps(), default=None)

    def _log(self, step: int) -> None:
        (since, then), now = self._rate_from, time.perf_counter()
        self._rate_from = (step, now)
        terms = self._averages.result()
        for line in self._symptoms.in_losses(step, terms):
            self._print(line)
        losses = {f"loss/{name}": value for name, value in terms.items()}
        # Without losses where all steps were skipped.
        self.loss = losses.get("loss/generators_total", float("nan"))
        rate = (step - since) / (now - then)
        self._scalars(step, losses | {"steps_per_second": rate})
        if self.config.on_nonfinite == "skip":
            self._scalars(step, {"skipped_steps": self._skipped})
        self._skipped = 0

    def _log_scores(self, summarised: Summary, step: int) -> None:
        values = {
            scalar_name(direction, metric): value["mean"]
            for direction, metrics in summarised.items()
            for metric, value in metrics.items()
        }
        self._scalars(step, values)
        table = protocol_table(PROTOCOL, summarised)
        self._print(f"step {step}: {as_text(table)}")

    def _sample(self, state: TrainState, step: int) -> None:
        pictures = self._programs.sample_step(state.generators, self._samples)
        paired = self._evaluator is not None
        for line in self._symptoms.in_pictures(step, pictures, paired=paired):
            self._print(line)
        if self._writer is None:
            return
        path = self.workdir / SAMPLES / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        rows = list(zip(*(pictures[name] for name in _SAMPLE_COLUMNS), strict=True))
        save_grid(path, rows, list(_SAMPLE_COLUMNS.values()))
        self._writer.picture(step, SAMPLES, path)

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            self._writer.scalars(step, values)

    def _print(self, text: str) -> None:
        tqdm.write(self.label + text, file=sys.stdout)
