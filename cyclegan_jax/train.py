"""Wires config, data, networks and devices together, and runs the training loop."""

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from tqdm import tqdm

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.data import loading, pipeline
from cyclegan_jax.data.mri_slices import Dataset
from cyclegan_jax.evaluate import Evaluator, Summary, mean_score, table
from cyclegan_jax.interruption import Interruption
from cyclegan_jax.metrics import LossAverages
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.pictures import save_grid
from cyclegan_jax.state import Recipe, TrainState, build_recipe, create_state
from cyclegan_jax.writer import Writer

CONFIG = "config.json"
SAMPLES = "samples"
_SAMPLE_ROWS = 4
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


def train(config: config_lib.Config, workdir: Path) -> bool:
    """Trains, or goes on where the run in `workdir` stopped.

    Everything is written under `workdir`: `config.json`, `checkpoints/`, `metrics.jsonl`,
    `tensorboard/`, `samples/`.

    Args:
      config: as a file in `configs/` returns it.
      workdir: made if need be.

    Returns:
      Whether all steps are done; False after SIGINT or SIGTERM, which save first.

    Raises:
      InputError: bad config, data or workdir, a save that failed, or a loss that is not finite.
    """
    config_lib.validate(config)
    parallel = Parallel(config.parallel)
    parallel.check_batch_size(config.batch_size)
    dataset = loading.open_data(config)
    claim_workdir(config, workdir)
    print(dataset.summary(), flush=True)
    print(
        f"identity weight {config.loss.identity_ratio:g} lambda = "
        f"{config_lib.identity_weight(config):g}",
        flush=True,
    )
    recipe = build_recipe(config)
    state = parallel.place_state(create_state(config, recipe))
    print(_overview(state), flush=True)
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.keep))
        latest = checkpoints.latest()
        if latest is not None:
            state = checkpoints.restore(latest, state)
            print(f"resuming from step {latest}", flush=True)
        if int(state.step) >= config.steps:
            print(f"{workdir} is trained: {config.steps} steps are done")
            return True
        writer = Writer(workdir)
        stack.callback(writer.close)
        interruption = stack.enter_context(Interruption())
        run = _Run(config, workdir, dataset, recipe, parallel, checkpoints, writer)
        step = run.loop(state, interruption)
    if step < config.steps:
        print(f"stopped after step {step} of {config.steps}, saved; go on with the same command:")
        print("  " + shlex.join(sys.orig_argv))
    return step == config.steps


def claim_workdir(config: config_lib.Config, workdir: Path) -> None:
    """Makes `workdir` this config's, or checks that it is.

    Raises:
      InputError: it holds a run of another config (the message shows what differs), checkpoints
        without a config, or cannot be written.
    """
    path = workdir / CONFIG
    try:
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
        temporary = path.with_suffix(".part")
        temporary.write_text(config_lib.to_json(config))
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} cannot be written ({error.strerror}); mend it or name another"
        ) from error


class _Run:
    """The loop and what it needs at its due times."""

    def __init__(
        self,
        config: config_lib.Config,
        workdir: Path,
        dataset: Dataset,
        recipe: Recipe,
        parallel: Parallel,
        checkpoints: Checkpoints,
        writer: Writer,
    ):
        self.config, self.workdir, self.parallel = config, workdir, parallel
        self.checkpoints, self.writer = checkpoints, writer
        self.batches = loading.train_batches(config, dataset)
        self.train_step = parallel.compile_train_step(recipe)
        self.sample_step = parallel.compile_sample_step(recipe)
        self.evaluator = None
        self.averages = LossAverages()
        facts = dataset.manifest
        axis = facts["source"].get("axis", "axial")
        self.meta = {
            "version": __version__,
            "jax": jax.__version__,
            "config": config.to_dict(),
            "data": {"domains": facts["domains"], "axis": axis},
        }
        split = loading.monitoring_split(dataset)
        if split is None:
            first: Any = self.batches[0]  # no pairs: training images serve
            self.samples = {k: v[:_SAMPLE_ROWS] for k, v in first.items()}
            print("no pairs to score; `best` is the newest checkpoint", flush=True)
        else:
            pairs = loading.paired_images(config, dataset, split)
            print(f"{len(pairs.names)} {split} pairs are scored during training", flush=True)
            self.evaluator = Evaluator(recipe, parallel, pairs)
            chosen = np.linspace(0, len(pairs.names) - 1, _SAMPLE_ROWS).round().astype(int)
            self.samples = {"x": pairs.x[chosen], "y": pairs.y[chosen]}

    def loop(self, state: TrainState, interruption: Interruption) -> int:
        """Trains until `config.steps` or an interruption; returns the number of steps done."""
        c, start = self.config, int(state.step)
        pending: tuple[int, Any] | None = None
        step = start
        with _progress(start, c.steps) as progress:
            self.progress, self.rate_from = progress, (start, time.perf_counter())
            for batch in pipeline.batches(self.batches, start, c.data.workers):
                state, terms = self.train_step(state, self.parallel.place_batch(batch))
                step += 1
                # The device works on this step while the previous one's numbers are read.
                self._read(pending)
                pending = (step, terms)
                is_last = step == c.steps
                # Read once: a signal that comes while this step is written stops the next one,
                # and so never leaves the loop unsaved.
                stop = interruption.requested and not is_last
                every = (c.log_every, c.sample_every, c.eval_every, c.save_every)
                if stop or any(due(step, n, is_last) for n in every):
                    self._read(pending)
                    pending = None
                    self._on_due(state, step, is_last, stop)
                progress.update()
                if is_last or stop:
                    break
        self.checkpoints.wait()
        return step

    def _on_due(self, state: TrainState, step: int, is_last: bool, hurry: bool) -> None:
        """Saves before it writes anything else, so that a full disk costs no step.

        In a `hurry`, before the process is killed, it only saves.
        """
        c = self.config
        summarised = None
        if self.evaluator is not None and not hurry and due(step, c.eval_every, is_last):
            summarised = self.evaluator.summary(state.generators)
        if hurry or summarised is not None or due(step, c.save_every, is_last):
            score = None if summarised is None else mean_score(summarised, "ssim")
            self.checkpoints.save(state, self.meta, score)
        if hurry:
            return
        if due(step, c.log_every, is_last):
            self._log(step)
        if summarised is not None:
            self._log_scores(summarised, step)
        if due(step, c.sample_every, is_last):
            self._sample(state, step)
        self.rate_from = (step, time.perf_counter())  # the rate is that of training alone

    def _log(self, step: int) -> None:
        since, then = self.rate_from
        losses = {f"loss/{name}": value for name, value in self.averages.result().items()}
        rate = (step - since) / (time.perf_counter() - then)
        self.writer.scalars(step, losses | {"steps_per_second": rate})
        self.progress.set_postfix_str(
            f"generators' loss {losses['loss/generators_total']:.3f}", refresh=False
        )

    def _log_scores(self, summarised: Summary, step: int) -> None:
        values = {
            f"eval/{direction}/{metric}": value["mean"]
            for direction, metrics in summarised.items()
            for metric, value in metrics.items()
        }
        self.writer.scalars(step, values)
        tqdm.write(f"step {step}: {table(summarised)}", file=sys.stdout)

    def _read(self, pending: tuple[int, Any] | None) -> None:
        if pending is None:
            return
        step, terms = pending[0], jax.device_get(pending[1])
        bad = [name for name, value in terms.items() if not np.isfinite(value)]
        if bad:
            self.checkpoints.wait()
            kept = self.checkpoints.latest()
            raise InputError(
                f"step {step}: loss {', '.join(bad)} is not finite; lower the learning rates or "
                "the loss weights in a new --workdir"
                + ("" if kept is None else f" (the checkpoint of step {kept} is kept)")
            )
        self.averages.add(terms)

    def _sample(self, state: TrainState, step: int) -> None:
        pictures = self.sample_step(state.generators, self.samples)
        path = self.workdir / SAMPLES / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        rows = list(zip(*(pictures[name] for name in _SAMPLE_COLUMNS), strict=True))
        save_grid(path, rows, list(_SAMPLE_COLUMNS.values()))
        self.writer.picture(step, SAMPLES, path)


def _progress(start: int, steps: int) -> Any:
    # In a log file a line every half minute; on a terminal the usual bar.
    return tqdm(
        initial=start,
        total=steps,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        smoothing=0.05,
    )


def _overview(state: TrainState) -> str:
    lines = []
    for name in ("generator_g", "discriminator_x"):
        params = getattr(state.params, name)
        lines += [
            f"{name}:",
            parameter_overview.get_parameter_overview(params, include_stats=False),
        ]
    count = {
        name: int(parameter_overview.count_parameters(getattr(state.params, name)))
        for name in ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
    }
    devices = f"{jax.local_device_count()} {jax.local_devices()[0].platform} device(s)"
    return "\n".join([*lines, f"parameters: {count}, on {devices}"])
