"""The loop of several trials that train in step, each on a device of its own."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from cyclegan_jax.parallel.data_parallel import TrainStep
from cyclegan_jax.parallel.trials import Trials
from cyclegan_jax.state import TrainState
from cyclegan_jax.training.nonfinite import DivergedError
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.run import Run
from cyclegan_jax.training.train import compile_step, progress_bar, show_loss


def train_in_step(
    runs: Sequence[Run],
    states: Sequence[TrainState],
    trials: Trials,
    train_step: TrainStep,
    interruption: Interruption,
    failed: Callable[[Run, DivergedError], None],
) -> int:
    """Trains runs with one compilation key until their last step or an interruption.

    Args:
      runs: one for each device of `trials`.
      states: of the runs, on the host, all at the same step.
      trials: places the states and batches.
      train_step: compiled for `trials`.
      interruption: is asked once after each call of the training step.
      failed: is called with a run that has a loss or a gradient that is not finite; the others
        train on without it.

    Returns:
      The number of steps done: all of them, or fewer after an interruption or when all runs failed.
    """
    step = int(states[0].step)
    state = trials.place_state(trials.stack(states))
    hyper = trials.place_state(trials.stack([run.hyper for run in runs]))
    training = dict(enumerate(runs))
    pending: tuple[int, Any, Any] | None = None

    def read_pending() -> None:
        nonlocal pending
        if pending is None:
            return
        number, metrics, batches = pending
        pending, metrics = None, trials.unstack(jax.device_get(metrics))
        for i, run in list(training.items()):
            try:
                run.count(number, metrics[i], batches[i])
            except DivergedError as error:
                del training[i]
                failed(run, error)

    read = zip(*(run.begin(step) for run in runs), strict=True)
    first = next(read)
    compile_step(train_step, state, trials.place_batch(trials.stack(first)), hyper)
    for run in runs:
        run.start_clock(step)
    with progress_bar(step, runs[0].config.steps) as bar:
        for batches in itertools.chain([first], read):
            batch = trials.place_batch(trials.stack(batches))
            state, metrics = train_step(state, batch, hyper)
            done = runs[0].steps_in(batches[0])
            step += done
            read_pending()
            pending = (step, metrics, batches)
            is_interrupted = interruption.after(runs[0].call_number(step))
            due = {i: run.due(step, is_interrupted=is_interrupted) for i, run in training.items()}
            if any(due.values()):
                read_pending()
                needs_state = any(work - {"log", "end"} for work in due.values())
                each = trials.unstack(state) if needs_state else [None] * len(runs)
                for i, run in training.items():
                    if due[i]:
                        run.do(due[i], step, each[i])
                if training:
                    show_loss(bar, next(iter(training.values())).loss)
            bar.update(done)
            if not training or any("end" in work for work in due.values()):
                break
    for run in training.values():
        run.wait()
    return step
