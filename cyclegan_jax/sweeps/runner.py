"""Trains the trials of a sweep, each in a numbered folder of its own, and remembers how they ended.

<workdir>/sweep.json           the base config and the trials
<workdir>/trials/003/          a run like any other
<workdir>/trials/003/end.json  {"status": "done" or "failed", "message"}
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints.manager import Checkpoints, saved_steps
from cyclegan_jax.data import from_config
from cyclegan_jax.parallel.devices import Parallel
from cyclegan_jax.state import TrainState
from cyclegan_jax.sweeps.grammar import Sweep
from cyclegan_jax.system.files import write_whole, writing_workdir
from cyclegan_jax.system.workdir import locked
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.run import Run
from cyclegan_jax.training.train import loop

SWEEP = "sweep.json"
DONE, FAILED = "done", "failed"
_END = "end.json"


def trial_folder(workdir: Path, index: int) -> Path:
    """Where trial `index` lives."""
    return workdir / "trials" / f"{index:03d}"


def ending(workdir: Path, index: int) -> tuple[str, str] | None:
    """(`DONE` or `FAILED`, message) of a trial, or None if it has not ended."""
    try:
        end = json.loads((trial_folder(workdir, index) / _END).read_text())
    except FileNotFoundError:
        return None
    return end["status"], end["message"]


def listing(sweep: Sweep) -> str:
    """A line for each trial."""
    lines = [f"  {i}: {_shown(sweep, i)}" for i in sweep.indices]
    return "\n".join([f"{len(lines)} trials", *lines])


def check(sweep: Sweep, only: int | None, together: int) -> list[str]:
    """Looks at everything that could stop a trial, before the first one trains.

    Returns:
      A digest of each trial's data set, for `claim`.

    Raises:
      InputError: a trial number there is not, more trials at once than devices, a batch that the
        devices cannot share, unusable data, or data without validation pairs to rank the trials by.
    """
    if only is not None and only not in sweep.indices:
        raise InputError(f"--trial={only}: there are trials 0 to {len(sweep.trials) - 1}")
    devices = jax.local_device_count()
    if together > devices:
        raise InputError(
            f"--parallel_trials={together}: there are {devices} local device(s), and a trial needs "
            "one of its own"
        )
    digests, checked = [], set()
    for config in sweep.configs:
        if together == 1:
            Parallel(config.parallel).check_batch_size(config.batch_size)
        dataset = from_config.open_data(config)
        if from_config.monitoring_split(dataset) != "val":
            raise InputError(
                f"{dataset.folder} has no validation pairs to rank the trials by (test pairs must "
                "not choose); prepare it with --validation, or --val_x and --val_y"
            )
        digests.append(dataset.digest)
        pairs = (digests[-1], config.image_size, config.data.fit)
        if pairs not in checked:
            from_config.scored_pairs(config, dataset, "val")  # raises where pairs do not match
            checked.add(pairs)
    return digests


def claim(sweep: Sweep, workdir: Path, digests: Sequence[str], *, new: bool = True) -> None:
    """Makes `workdir` this sweep's, or checks that it is.

    Args:
      sweep: to be trained there.
      workdir: made if need be.
      digests: of the trials' data, as `check` returns them.
      new: whether a folder that holds no sweep is made one; otherwise nothing is written.

    Raises:
      InputError: it holds another sweep or a run, or cannot be written.
    """
    path = workdir / SWEEP
    declared = {"config": sweep.base.to_dict(), "trials": sweep.trials, "data": list(digests)}
    text = json.dumps(declared, indent=1)
    if (workdir / "config.json").exists():
        raise InputError(f"{workdir} holds a single run; use a new --workdir")
    with writing_workdir(workdir):
        if path.exists():
            changed = _changes(json.loads(path.read_text()), json.loads(text), sweep)
            if changed:
                raise InputError(
                    f"{workdir} holds another sweep; use a new --workdir, or undo: "
                    + "; ".join(changed)
                )
        elif new:
            workdir.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)


def run(sweep: Sweep, workdir: Path, only: int | None = None, together: int = 1) -> bool:
    """Trains every trial that has not ended, or goes on where a stopped launch left it.

    A trial whose loss is not finite is recorded as failed, and the rest go on.

    Args:
      sweep: that `check` has passed and `claim` has claimed `workdir` for.
      workdir: of the sweep.
      only: the one trial to train; default: all.
      together: trials that train at once, each on a device of its own.

    Returns:
      Whether all of them have ended; False after SIGINT or SIGTERM, which save first.

    Raises:
      InputError: as `train.train` does, but for a loss that is not finite.
    """
    wanted = sweep.indices if only is None else [only]
    left = [i for i in wanted if ending(workdir, i) is None]
    shape, programs = "", None
    with Interruption() as interruption:
        for group in _groups(sweep, workdir, left, together):
            if interruption.requested:
                return False
            for i in group:
                print(f"trial {i} of {len(sweep.trials)}: {_shown(sweep, i)}", flush=True)
            config = sweep.configs[group[0]]
            if programs is None or config_lib.shape(config) != shape:
                shape, programs = config_lib.shape(config), None
                jax.clear_caches()  # hundreds of kept programs are more than a process can map
                programs = Programs(config, jax.local_devices()[:1] if together > 1 else None)
            if not _train(sweep, workdir, group, programs, interruption):
                return False
    return True


def _train(
    sweep: Sweep,
    workdir: Path,
    group: Sequence[int],
    programs: Programs,
    interruption: Interruption,
) -> bool:
    """Trains the trials of a group together; whether they ended."""
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                Run(sweep.configs[i], trial_folder(workdir, i), programs, f"trial {i}: ")
            )
            for i in group
        ]
        steps = runs[0].config.steps
        # on the host, where they take no room from the first device's trial
        states: list[TrainState] = [jax.device_get(run.resume()) for run in runs]
        step = int(states[0].step)
        for run, state in zip(runs, states, strict=True):
            run.catch_up(state)
        if step < steps:
            if step:
                print(f"resuming from step {step}", flush=True)
            devices, train_step = programs.parallel, programs.train_step
            if len(runs) > 1:
                devices, train_step = programs.together(len(runs))
            numbers = dict(zip(map(id, runs), group, strict=True))

            def failed(run: Run) -> None:
                print(f"{run.label}{run.failure}", flush=True)
                _write_end(workdir, numbers[id(run)], FAILED, str(run.failure))

            step = loop(runs, states, devices, train_step, interruption, failed)
    going = [i for i, run in zip(group, runs, strict=True) if run.failure is None]
    if step == steps:
        for index in going:
            _write_end(workdir, index, DONE, "")
    return step == steps or not going


def _groups(sweep: Sweep, workdir: Path, left: Sequence[int], together: int) -> Iterator[list[int]]:
    """Trials to train at once: of one shape, saved at one step, at most `together`, in order."""
    alike: dict[tuple[str, int], list[int]] = {}
    for index in left:
        saved = _newest_step(trial_folder(workdir, index))
        alike.setdefault((config_lib.shape(sweep.configs[index]), saved), []).append(index)
    for members in alike.values():
        for start in range(0, len(members), together):
            yield members[start : start + together]


def _newest_step(folder: Path) -> int:
    """Of an intact checkpoint, so that trials of one step can start together."""
    if not saved_steps(folder):
        return 0
    with locked(folder), Checkpoints(folder, keep=1) as checkpoints:
        saved = checkpoints.newest()
    return 0 if saved is None else saved.step


def _changes(old: dict[str, Any], new: dict[str, Any], sweep: Sweep) -> list[str]:
    changed = config_lib.differences(old["config"], sweep.base)
    if old["trials"] != new["trials"]:
        changed.append(f"trials: {_first_difference(old['trials'], new['trials'])}")
    elif old["data"] != new["data"]:
        changed.append("the data set has other images")
    return changed


def _write_end(workdir: Path, index: int, status: str, message: str) -> None:
    end = {"status": status, "message": message}
    write_whole(trial_folder(workdir, index) / _END, json.dumps(end))


def _shown(sweep: Sweep, index: int) -> str:
    values = (f"{key}={sweep.value(index, key)}" for key in sweep.given(index))
    return ", ".join(values) or "the config as it is"


def _first_difference(old: list[Any], new: list[Any]) -> str:
    if len(old) != len(new):
        return f"{len(old)} -> {len(new)} of them"
    index = next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    return f"number {index}: {old[index]} -> {new[index]}"
