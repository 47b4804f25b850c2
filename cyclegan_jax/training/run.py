"""One run: what it writes to its workdir while a state trains, and what it reads back."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from tqdm import tqdm

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.contents import provenance
from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.checkpoints.paths import check_path
from cyclegan_jax.data import batches as batches_lib
from cyclegan_jax.data import from_config
from cyclegan_jax.data.augmentation import as_seen
from cyclegan_jax.data.pairs import spread
from cyclegan_jax.domains import CONTRASTS
from cyclegan_jax.evaluation import unpaired
from cyclegan_jax.evaluation.monitors import (
    RANKING_SCALARS,
    Monitor,
    PairMonitor,
    PatchMonitor,
    Scored,
)
from cyclegan_jax.evaluation.scoring import WHOLE
from cyclegan_jax.optimizer import Hyperparameters, at_step
from cyclegan_jax.parallel import multihost
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.render.text_table import as_text
from cyclegan_jax.state import TrainState
from cyclegan_jax.system.workdir import (
    Workdir,
    claim_workdir,
    locked,
    save_config,
    writing_workdir,
)
from cyclegan_jax.training import changes as changes_lib
from cyclegan_jax.training import init_from as init_from_lib
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.failure_modes import FailureModes
from cyclegan_jax.training.metric_log import LossAverages, MetricLog, is_logged
from cyclegan_jax.training.nonfinite import FiniteCheck
from cyclegan_jax.training.same_data import open_same_data

_SAMPLE_ROWS = 4
_MOST_PAIRS = 512  # scored at every evaluation; the command `evaluate` scores all
_T1, _T2 = CONTRASTS["x"], CONTRASTS["y"]
_SAMPLE_COLUMNS = {
    "real_x": f"{_T1} (x)",
    "fake_y": f"{_T2} = G(x)",
    "cycled_x": f"{_T1} = F(G(x))",
    "same_x": f"{_T1} = F(x)",
    "real_y": f"{_T2} (y)",
    "fake_x": f"{_T1} = F(y)",
    "cycled_y": f"{_T2} = G(F(y))",
    "same_y": f"{_T2} = G(y)",
}


class Run:
    """A config that trains in a workdir. Use as a context manager: leaving it awaits saves.

    Everything is written under the workdir: `config.json`, `checkpoints/`, `metrics.jsonl`,
    `tensorboard/` and `samples/`; `damaged_checkpoints/` and `nonfinite/` where there is need.
    """

    def __init__(
        self,
        config: config_lib.Config,
        workdir: Path,
        programs: Programs,
        label: str = "",
        init_from: str = "",
    ):
        """Opens the data and claims the workdir.

        Args:
          config: one that shares its compilation key with the config of `programs`.
          workdir: is made if need be.
          programs: their devices restore, evaluate and sample.
          label: is printed before each line.
          init_from: whose weights a new run starts from; see `init_from`.

        Raises:
          InputError: the data or the workdir is bad, heads do not fit into the networks' frame, or
            the weights of `init_from` do not fit.
        """
        self.config, self.workdir, self.label = config, workdir, label
        self._programs = programs
        check_path(workdir, saves=True)  # before anything is written
        self.dataset = open_same_data(config)
        is_new = not Workdir(workdir).config.exists()  # a run that began so may be resumed
        if is_new and (cropped := from_config.cropped_heads(config, self.dataset)):
            raise InputError(cropped)
        self._read_initial_weights(init_from)
        self.loss = float("nan")  # the generators' total, as logged last
        self._split = from_config.monitoring_split(self.dataset)
        self._averages = LossAverages()
        self._has_printed_scores = False
        self._skipped = 0  # steps since the last log
        self._changes: list[changes_lib.Change] = []  # of the config, since the first launch
        self._failure_modes = FailureModes(config.loss.adversarial, config.steps)
        self._writer: MetricLog | None = None  # of the primary process, when it trains
        self._monitor: Monitor | None = None
        self._brain: np.ndarray | None = None  # of the samples
        self._batches: grain.MapDataset | None = None
        self._stack = contextlib.ExitStack()
        multihost.primary_first(self._claim)
        self._checkpoints = self._stack.enter_context(Checkpoints(workdir, keep=config.keep))
        self._finite_check = FiniteCheck(config.on_nonfinite, workdir, self._kept, self._print)

    def _read_initial_weights(self, given: str) -> None:
        """Reads the weights of `--init_from`, if there is no checkpoint to resume from."""
        # the facts are for the checkpoints
        self._source, self._init_from = init_from_lib.source_of_run(self.workdir, given)
        self._initial: init_from_lib.InitialWeights | None = None
        if not self._source or saved_steps(self.workdir):
            return
        like = jax.eval_shape(self._programs.create_state, self.config.seed).params
        self._initial = init_from_lib.read_initial_weights(self._source, self.config, like)
        self._init_from = self._initial.facts
        if not multihost.same(self._initial.facts["digest"]):
            raise InputError(
                f"--init_from={self._source} holds other weights in other processes; it must be on "
                "a file system that all of them share"
            )

    def _claim(self) -> None:
        if multihost.is_primary():  # locked before anything in it is written
            self._stack.enter_context(locked(self.workdir))
            if self._initial is not None:
                init_from_lib.record_source(self.workdir, self._source, self._initial.facts)
        claim_workdir(self.config, self.workdir, writes=multihost.is_primary())

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def resume(self) -> TrainState:
        """Returns the state of the newest intact checkpoint, or a new one.

        What has changed in the config since then is printed, and recorded by every later save.

        Raises:
          InputError: all checkpoints are damaged, or they are of another model, of other data, or
            of a config that differs in more than `config.may_change` allows.
        """
        create, seed = self._programs.create_state, self.config.seed
        saved = multihost.primary_first(self._checkpoints.newest)
        if not multihost.same(0 if saved is None else saved.step):
            raise InputError(
                f"--workdir={self.workdir} holds other checkpoints in other processes; it must be "
                "on a file system that all of them share"
            )
        if saved is None:
            self._save_config()
            return self._new_state()
        if saved.meta["data"]["digest"] != self.dataset.digest:
            raise InputError(
                f"{self.workdir} holds a run on other images than those in {self.dataset.folder}; "
                "name its own with --config.data.dir, or use a new --workdir, with "
                f"--init_from={self.workdir} to start from its weights"
            )
        state = saved.state(jax.eval_shape(create, seed))
        self._changes, lines = changes_lib.applied(saved, self.config, self.workdir)
        for line in lines:
            self._print(line)
        self._save_config()
        # In a run of an earlier version the rates lag by the steps that it has skipped.
        return state.replace(opt_state=at_step(state.opt_state, np.array(state.step)))

    def _new_state(self) -> TrainState:
        state, weights = self._programs.create_state(self.config.seed), self._initial
        if weights is None:
            return state
        self._initial = None  # gives their memory back
        facts = weights.facts
        self._print(f"starting from the weights of {facts['run']}, step {facts['step']}")
        for note in weights.notes:
            self._print(f"note: {note}")
        return init_from_lib.with_weights(state, weights)

    def _save_config(self) -> None:
        if multihost.is_primary():
            save_config(self.config, self.workdir)

    def catch_up(self, state: TrainState) -> None:
        """Scores a restored state if the run was stopped or killed before it could be scored."""
        step = int(state.step)
        is_missing = (
            step > 0
            and "evaluate" in self.due(step)
            and not any(is_logged(self.workdir, step, name) for name in RANKING_SCALARS)
        )
        if not multihost.agree(int(is_missing)):
            return
        self._open()
        if self._monitor is not None:
            placed = self._programs.parallel.place_state(state)
            scored = self._monitor.scored(placed.generators)
            self._checkpoints.rate(step, scored.rank, self._protocol)
            with writing_workdir(self.workdir):
                self._log_scores(scored, step)

    @property
    def hyper(self) -> Hyperparameters:
        """The loss weights and learning rates, which its steps take as arguments."""
        return Hyperparameters.of(self.config)

    def begin(self, step: int) -> Iterator[dict[str, np.ndarray]]:
        """Opens the files that training writes to, and returns the batches from `step` on.

        They are joined for each call of the training step, see `batches.in_calls`.
        """
        batches = self._open()
        self.start_clock(step)
        ahead = batches_lib.read_ahead(batches, step, self.config.data.workers)
        return batches_lib.in_calls(ahead, step, self.config.steps_per_call)

    def steps_in(self, batch: Mapping[str, np.ndarray]) -> int:
        """Returns the number of steps of the call that takes `batch`, one of those of `begin`."""
        return 1 if self.config.steps_per_call == 1 else len(batch["x"])

    def call_number(self, step: int) -> int:
        """Returns the number of the call that ends with `step`; that of the next is one higher."""
        return -(-step // self.config.steps_per_call)

    def start_clock(self, step: int) -> None:
        """Lets the rate that is logged next count from now, when `step` steps are done."""
        self._rate_from = (step, time.perf_counter())

    def _open(self) -> grain.MapDataset:
        """Opens the writer, the scored pairs and the samples; returns the training batches."""
        if self._batches is not None:
            return self._batches
        c = self.config
        if multihost.is_primary():
            self._writer = MetricLog(self.workdir)
            self._stack.callback(self._writer.close)
        self._batches = from_config.training_batches(c, self.dataset, self._programs.parallel.share)
        for note in from_config.notes_on_training(c, self.dataset):
            self._print(f"note: {note}")
        compiled = self._programs.compiled_generators
        if self._split is None:
            # Without pairs training images serve as samples, those of the primary in all processes.
            _, processes = self._programs.parallel.share
            first: Any = from_config.training_batches(c, self.dataset, (0, processes))[0]
            self._samples = {k: v[:_SAMPLE_ROWS] for k, v in as_seen(first).items()}
            self._monitor = PatchMonitor(compiled, **unpaired.training_images(c, self.dataset))
            self._print("no pairs to score; `best` is chosen by patches of training images")
        else:
            pairs = from_config.scored_pairs(c, self.dataset, self._split, _MOST_PAIRS)
            self._print(f"{len(pairs.names)} {self._split} pairs are scored during training")
            self._monitor = PairMonitor(compiled, pairs)
            chosen = spread(len(pairs.names), _SAMPLE_ROWS)
            self._samples = {"x": pairs.x[chosen], "y": pairs.y[chosen]}
            self._brain = None if pairs.brain is None else pairs.brain[chosen]
        before, now = self._checkpoints.protocol, self._protocol
        if before not in ("", now):
            self._print(
                f"note: scores are under the protocol {now} from here on, those before under "
                f"{before}; `best` is chosen among checkpoints that are scored by {now}"
            )
        return self._batches

    def due(self, step: int, *, is_interrupted: bool = False) -> set[str]:
        """Returns what happens after a step: some of "log", "sample", "evaluate", "save", "end".

        An interrupted process may be killed soon, so that it only saves and logs before it ends.
        """
        c = self.config
        is_last = step == c.steps
        if is_interrupted and not is_last:
            return {"log", "save", "end"}
        every = {
            "log": c.log_every,
            "sample": c.sample_every,
            "evaluate": c.eval_every,
            "save": c.save_every,
        }
        due = {work for work, steps in every.items() if is_last or step % steps == 0}
        if "evaluate" in due:
            due.add("save")  # with its score
        return due | {"end"} if is_last else due

    def do(self, due: set[str], step: int, state: TrainState | None) -> None:
        """Does what is due after a step. It saves first, so that a full disk costs no step.

        Args:
          due: as the method `due` returns it.
          step: the number of steps done.
          state: after the step; may be None if nothing but "log" and "end" is due.

        Raises:
          InputError: the workdir cannot be written.
        """
        now = time.perf_counter()  # before scoring and saving, which are no steps
        with writing_workdir(self.workdir):
            scored = None
            if state is not None and self._monitor is not None and "evaluate" in due:
                scored = self._monitor.scored(state.generators)
            if state is not None and "save" in due:
                score = None if scored is None else scored.rank
                devices = self._programs.parallel.devices
                facts = provenance(
                    self.config, self.dataset, devices, self._changes, self._init_from
                )
                self._checkpoints.save(state, facts, score, self._protocol)
            if "log" in due:
                self._log(step, now)
            if scored is not None:
                self._log_scores(scored, step)
            if state is not None and "sample" in due:
                self._sample(state, step)
        self.start_clock(step)  # the rate is that of training alone

    def count(self, step: int, metrics: Mapping[str, Any], batch: Mapping[str, np.ndarray]) -> None:
        """Counts the metrics of the steps of a call, but for those that were skipped.

        Args:
          step: the number of steps done after the call.
          metrics: of the call, on the host or on the devices.
          batch: that the call took.

        Raises:
          DivergedError: a metric is not finite.
        """
        is_joined = self.config.steps_per_call > 1
        batches = batches_lib.of_steps(batch, is_joined)
        each = batches_lib.of_steps(jax.device_get(metrics), is_joined)
        first = step - len(batches) + 1
        for number, (terms, images) in enumerate(zip(each, batches, strict=True), first):
            if self._finite_check.is_finite(number, terms, images):
                self._averages.add(terms)
            else:
                self._skipped += 1

    @property
    def _protocol(self) -> str:
        return WHOLE if self._monitor is None else self._monitor.protocol

    def wait(self) -> None:
        """Waits until all saves are on disk."""
        self._checkpoints.wait()

    def _kept(self) -> int | None:
        self.wait()
        return max(self._checkpoints.steps(), default=None)

    def _log(self, step: int, now: float) -> None:
        since, then = self._rate_from
        terms = self._averages.result()
        self._warn(self._failure_modes.in_losses(step, terms))
        losses = {f"loss/{name}": value for name, value in terms.items()}
        # There is no loss if all steps were skipped.
        self.loss = losses.get("loss/generators_total", float("nan"))
        rate = (step - since) / (now - then)
        self._scalars(step, losses | {"steps_per_second": rate})
        if self.config.on_nonfinite == "skip":
            self._scalars(step, {"skipped_steps": self._skipped})
        self._skipped = 0

    def _log_scores(self, scored: Scored, step: int) -> None:
        self._scalars(step, scored.scalars)
        self._warn(self._failure_modes.in_tissues(step, scored.polarity))
        table = scored.table
        if self._has_printed_scores:  # what the numbers are was said above
            table = table._replace(note="")
        self._has_printed_scores = True
        self._print(f"step {step}: {as_text(table)}")

    def _sample(self, state: TrainState, step: int) -> None:
        pictures = self._programs.sample_step(state.generators, self._samples)
        paired = self._split is not None
        found = self._failure_modes.in_pictures(step, pictures, paired=paired, brain=self._brain)
        self._warn(found)
        if self._writer is None:
            return
        path = Workdir(self.workdir).sample(step)
        path.parent.mkdir(exist_ok=True)
        rows = list(zip(*(pictures[name] for name in _SAMPLE_COLUMNS), strict=True))
        save_grid(path, rows, list(_SAMPLE_COLUMNS.values()))
        self._writer.picture(step, "samples", path)

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            self._writer.scalars(step, values)

    def _warn(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(line)
            if self._writer is not None:
                self._writer.warning(line.removeprefix("warning: "))

    def _print(self, text: str) -> None:
        tqdm.write(self.label + text, file=sys.stdout)
