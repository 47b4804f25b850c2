"""The training loop, of one run or of several together."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview
from tqdm import tqdm

from cyclegan_jax import config as config_lib
from cyclegan_jax.parallel import multihost
from cyclegan_jax.parallel.devices import Parallel, TrainStep, Trials
from cyclegan_jax.state import TrainState
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.nonfinite import DivergedError
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.run import Run


def train(config: config_lib.Config, workdir: Path) -> bool:
    """Trains, or goes on where the run in `workdir` stopped; see `run.Run` for its files.

    Args:
      config: as a file in `configs/` returns it.
      workdir: made if need be.

    Returns:
      Whether all steps are done; False after SIGINT or SIGTERM, which save first.

    Raises:
      InputError: bad config, data or workdir, a save that failed, or a loss that is not finite.
    """
    programs = Programs(config)
    with Run(config, workdir, programs) as run:
        print(run.dataset.summary(), flush=True)
        print(
            f"identity weight {config.loss.identity_ratio:g} lambda = "
            f"{config_lib.identity_weight(config):g}",
            flush=True,
        )
        state = run.resume()
        step = int(state.step)
        print(_overview(state), flush=True)
        if step:
            print(f"resuming from step {step}", flush=True)
        run.catch_up(state)
        if step == config.steps:
            print(f"{workdir} is trained: {config.steps} steps are done")
        else:
            with Interruption() as interruption:
                devices, train_step = programs.parallel, programs.train_step
                step = loop([run], [state], devices, train_step, interruption, lambda run: None)
        if run.failure is not None:
            raise run.failure
    if step < config.steps:
        print(f"stopped after step {step} of {config.steps}, saved; go on with the same command:")
        print("  " + shlex.join(sys.orig_argv))
        return False  # at once, without a report: who asked to stop may not wait
    from cyclegan_jax.report import page  # late: matplotlib and scipy would delay every start

    page.finish(workdir, step)
    return True


def loop(
    runs: Sequence[Run],
    states: Sequence[TrainState],
    devices: Parallel | Trials,
    train_step: TrainStep,
    interruption: Interruption,
    failed: Callable[[Run], None],
) -> int:
    """Trains runs of one shape in step until their last step or an interruption.

    Args:
      runs: one with `Parallel`, one for each device with `Trials`.
      states: of the runs, all at the same step.
      devices: that the states and batches are placed on.
      train_step: compiled for `devices`.
      interruption: looked at once a step.
      failed: called with a run whose loss is not finite (`run.failure`); it is left out from then
        on.

    Returns:
      The number of steps done: all of them, or fewer after an interruption or when all runs failed.
    """
    step, steps = int(states[0].step), runs[0].config.steps
    state = devices.place_state(devices.stack(states))
    hyper = devices.place_state(devices.stack([run.hyper for run in runs]))
    going = dict(enumerate(runs))
    pending: tuple[int, Any, Any] | None = None

    def read() -> None:
        nonlocal pending
        if pending is not None:
            number, terms, seen = pending
            terms, pending = devices.unstack(jax.device_get(terms)), None
            for i, run in list(going.items()):
                try:
                    run.add(number, terms[i], seen[i])
                except DivergedError:
                    del going[i]
                    failed(run)

    with _progress(step, steps) as progress:
        for batches in zip(*(run.begin(step) for run in runs), strict=True):
            batch = devices.place_batch(devices.stack(batches))
            state, terms = train_step(state, batch, hyper)
            step += 1
            # An accelerator works on this step while the previous one's numbers are read.
            read()
            pending = (step, terms, batches)
            is_last = step == steps
            # Read once: a signal that comes while this step is written stops the next one,
            # and so never leaves the loop unsaved.
            stop = interruption.after(step) and not is_last
            if stop or any(run.is_due(step, is_last) for run in going.values()):
                read()
                needed = stop or any(run.needs_state(step, is_last) for run in going.values())
                shown = devices.unstack(state) if needed else [None] * len(runs)
                for i, run in going.items():
                    if stop or run.is_due(step, is_last):
                        run.on_due(shown[i], step, is_last, stop)
                for run in list(going.values())[:1]:
                    progress.set_postfix_str(f"generators' loss {run.loss:.3f}", refresh=False)
            progress.update()
            if is_last or stop or not going:
                break
    for run in going.values():
        run.wait()
    return step


def _progress(start: int, steps: int) -> Any:
    # In a log file a line every half minute; on a terminal the usual bar.
    return tqdm(
        initial=start,
        total=steps,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        disable=not multihost.is_primary(),
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
    devices = f"{jax.device_count()} {jax.devices()[0].platform} device(s)"
    if jax.process_count() > 1:
        devices += f" of {jax.process_count()} processes"
    return "\n".join([*lines, f"parameters: {count}, on {devices}"])
