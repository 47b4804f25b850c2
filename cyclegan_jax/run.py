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

from cyclegan_jax import InputError, distributed
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.data import loading, pipeline
from cyclegan_jax.data.mri_slices import Dataset
from cyclegan_jax.divergence import DivergedError, Divergence
from cyclegan_jax.files import writing_workdir
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
from cyclegan_jax.symptoms import Symptoms
from cyclegan_jax.tables import as_text
from cyclegan_jax.workdir import claim, locked, provenance
from cyclegan_jax.writer import METRICS, Writer, read_metrics

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
        _check_same(config)
        # the primary makes phantoms and the workdir, the others find them
        self.dataset: Dataset = distributed.primary_first(lambda: loading.open_data(config))
        distributed.primary_first(lambda: claim(config, workdir))
        self.failure: DivergedError | None = None
        self.loss = float("nan")  # the generators' total, as logged last
        self._averages = LossAverages()
        self._skipped = 0  # steps since the last log
        self._symptoms = Symptoms(config.loss.adversarial)
        self._writer: Writer | None = None  # of the primary process, when it trains
        self._evaluator: Evaluator | None = None
        self._stack = contextlib.ExitStack()
        if distributed.is_primary():
            self._stack.enter_context(locked(workdir))
        self._checkpoints = self._stack.enter_context(Checkpoints(workdir, keep=config.keep))
        self._divergence = Divergence(config.on_nonfinite, workdir, self._kept, self._print)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def resume(self) -> TrainState:
        """The state to go on from, that of the newest intact checkpoint, or a new one.

        Raises:
          InputError: all checkpoints are damaged, or of another model.
        """
        create, seed = self._programs.create_state, self.config.seed
        saved = distributed.primary_first(self._checkpoints.newest)
        if not distributed.same(0 if saved is None else saved.step):
            raise InputError(
                f"--workdir={self.workdir} holds other checkpoints in other processes; it must be "
                "on a file system that all of them share"
            )
        return create(seed) if saved is None else saved.state(jax.eval_shape(create, seed))

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
        if distributed.is_primary():
            self._writer = Writer(self.workdir)
            self._stack.callback(self._writer.close)
        batches = loading.train_batches(c, self.dataset, self._programs.parallel.share)
        split = loading.monitoring_split(self.dataset)
        if split is None:
            # no pairs: training images serve, in all processes the primary's
            _, processes = self._programs.parallel.share
            first: Any = loading.train_batches(c, self.dataset, (0, processes))[0]
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
            meta = provenance(c, self.dataset.manifest, devices)
            self._checkpoints.save(state, meta, score)
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


def _check_same(config: config_lib.Config) -> None:
    """What differs in one process would leave the others waiting for it."""
    own = ("data.dir", "data.workers")
    flat = {k: v for k, v in config_lib.flatten(config).items() if k not in own}
    if not distributed.same(repr(sorted(flat.items()))):
        raise InputError(
            "the processes were given different configs; launch all with the same --config and the "
            "same values after it"
        )
