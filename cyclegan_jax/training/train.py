"""Trains one config in a workdir: opens the run, resumes it, and loops over its steps."""

import itertools
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview
from tqdm import tqdm

from cyclegan_jax import config as config_lib
from cyclegan_jax.parallel import multihost
from cyclegan_jax.parallel.data_parallel import TrainStep
from cyclegan_jax.state import TrainState
from cyclegan_jax.system import command_line
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir, writing_workdir
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.profiling import Profile
from cyclegan_jax.training.run import Run


def train(config: config_lib.Config, workdir: Path, init_from: str = "", profile: str = "") -> bool:
    """Trains, or resumes the run in `workdir`. `run.Run` lists the files that it writes.

    Args:
      config: as a file in `configs/` returns it.
      workdir: is made if need be.
      init_from: whose weights a new run starts from, RUN, RUN@STEP or MODEL; "": new weights.
      profile: which steps are traced, STEP:COUNT; "": none.

    Returns:
      Whether all steps are done. It is False after SIGINT or SIGTERM; the step is saved then.

    Raises:
      InputError: the config, the data, the workdir, `init_from` or `profile` is bad, a save failed,
        or a loss or gradient is not finite.
    """
    programs = Programs(config)
    tracing = Profile(profile, config.steps, Workdir(workdir).profile)
    with Run(config, workdir, programs, init_from=init_from) as run:
        print(run.dataset.summary(), flush=True)
        state = run.resume()
        step = int(state.step)
        tracing.check_start(step)
        print(_summary(state, Workdir(workdir).networks), flush=True)
        weights = config_lib.loss_weights(config)
        used = (f"{kind} {weights[kind]:g}" for kind in config_lib.computed_terms(config))
        print(f"loss weights: {', '.join(used)}", flush=True)
        if step:
            print(f"resuming from step {step}", flush=True)
        run.catch_up(state)
        if step == config.steps:
            print(f"{workdir} is trained: {config.steps} steps are done")
        else:
            with Interruption() as interruption, tracing:
                step = train_loop(run, state, programs, interruption, tracing)
    if step < config.steps:
        print(f"stopped after step {step} of {config.steps}, saved; to resume, launch it again:")
        print("  " + shlex.join(command_line.typed()))
    return step == config.steps


def train_loop(
    run: Run,
    state: TrainState,
    programs: Programs,
    interruption: Interruption,
    tracing: Profile | None = None,
) -> int:
    """Trains a run until its last step, or until an interruption.

    Args:
      run: that the state belongs to.
      state: to start from, on the host or on the devices.
      programs: of the run's config.
      interruption: is asked once after each call of the training step.
      tracing: traces some of the calls; None: none.

    Returns:
      The number of steps done.

    Raises:
      InputError: the workdir cannot be written, or (a `DivergedError`) a loss or gradient is not
        finite.
    """
    parallel, train_step = programs.parallel, programs.train_step
    tracing = tracing or Profile("", run.config.steps, run.workdir)
    step = int(state.step)
    state, hyper = parallel.place_state(state), parallel.place_state(run.hyper)
    # the number of steps after the newest call, its metrics and its batch
    pending: tuple[int, Any, Any] | None = None
    batches = run.begin(step)
    first = next(batches)
    compile_step(train_step, state, parallel.place_batch(first), hyper)
    run.start_clock(step)
    with progress_bar(step, run.config.steps) as bar:
        for batch in itertools.chain([first], batches):
            done = run.steps_in(batch)
            step += done
            tracing.before(step)
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                state, metrics = train_step(state, parallel.place_batch(batch), hyper)
            tracing.after(step, metrics)
            # An accelerator works on this call while the previous one's numbers are read.
            if pending is not None:
                run.count(*pending)
            pending = (step, metrics, batch)
            # Asked once: a signal that comes while this step is written stops the next one, and so
            # never leaves the loop unsaved.
            due = run.due(step, is_interrupted=interruption.after(run.call_number(step)))
            if due:
                run.count(*pending)
                pending = None
                run.do(due, step, state)
                show_loss(bar, run.loss)
            bar.update(done)
            if "end" in due:
                break
    run.wait()
    return step


def compile_step(train_step: TrainStep, state: Any, batch: Any, hyper: Any) -> None:
    """Compiles a step for its arguments, and says so; does nothing if it is compiled already."""
    if train_step.is_compiled:
        return
    print(
        "compiling the training step (it can take a minute or two the first time) ...", flush=True
    )
    started = time.monotonic()
    train_step.compile(state, batch, hyper)
    print(f"compiled in {time.monotonic() - started:.0f} s", flush=True)


def show_loss(bar: Any, loss: float) -> None:
    """Shows the loss logged last beside a `progress_bar`, if there is one."""
    if not math.isnan(loss):
        bar.set_postfix_str(f"generators' loss {loss:.3f}", refresh=False)


def progress_bar(start: int, steps: int) -> Any:
    """Returns a tqdm bar over the steps: on a terminal a bar, in a file a line each half minute."""
    return tqdm(
        initial=start,
        total=steps,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        disable=not multihost.is_primary(),
        smoothing=0.05,
    )


def _summary(state: TrainState, file: Path) -> str:
    """Returns a line for each network with its size; lists all of its arrays in `file`."""
    devices = f"{jax.device_count()} {jax.devices()[0].platform} device(s)"
    if jax.process_count() > 1:
        devices += f" of {jax.process_count()} processes"
    lines, lists = [f"networks, on {devices}; {file} lists every layer:"], []
    for name, params in vars(state.params).items():
        paths = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        count = parameter_overview.count_parameters(params)
        lines.append(f"  {name:<15}  {len(set(paths)):3} layers  {count:>12,} parameters")
        table = parameter_overview.get_parameter_overview(params, include_stats=False)
        lists.append(f"{name}:\n{table}")
    if multihost.is_primary():
        with writing_workdir(file.parent):
            write_whole(file, "\n\n".join(lists) + "\n")
    return "\n".join(lines)
