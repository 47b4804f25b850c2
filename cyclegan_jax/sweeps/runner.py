"""Trains the trials of a sweep, each in a numbered folder of its own, and records how they ended.

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
from cyclegan_jax.parallel import jax_settings
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.sweeps.grammar import Sweep
from cyclegan_jax.sweeps.lockstep import train_in_step
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir, locked, writing_workdir
from cyclegan_jax.training.compiled import Programs
from cyclegan_jax.training.nonfinite import DivergedError
from cyclegan_jax.training.preemption import Interruption
from cyclegan_jax.training.run import Run
from cyclegan_jax.training.train import train_loop

DONE, FAILED = "done", "failed"


def ending(workdir: Path, index: int) -> tuple[str, str] | None:
    """Returns (`DONE` or `FAILED`, message) of a trial, or None if it has not ended."""
    try:
        end = json.loads(Workdir(workdir).trial_end(index).read_text())
    except FileNotFoundError:
        return None
    return end["status"], end["message"]


def listing(sweep: Sweep) -> str:
    """Returns a text that lists the trials, one on each line."""
    lines = [f"  {i}: {_shown(sweep, i)}" for i in sweep.indices]
    return "\n".join([f"{len(lines)} trials", *lines])


def check(sweep: Sweep, only: int | None, at_once: int) -> list[str]:
    """Checks everything that could stop a trial, before the first one trains.

    Args:
      sweep: whose trials are to be trained.
      only: the number of the one trial to train, or None for all.
      at_once: number of trials that train at once, each on a device of its own.

    Returns:
      A digest of each trial's data set, for `claim`.

    Raises:
      InputError: there is no such trial, there are fewer devices than trials at once, the devices
        cannot share a batch evenly, the data are bad, or they have no validation pairs to rank the
        trials by.
    """
    if only is not None and only not in sweep.indices:
        raise InputError(f"--trial={only}: there are trials 0 to {len(sweep.trials) - 1}")
    devices = sum(d.process_index == jax.process_index() for d in jax_settings.devices())
    if at_once > devices:
        raise InputError(
            f"--parallel_trials={at_once}: there are {devices} local device(s), and a trial needs "
            "one of its own"
        )
    digests, checked = [], set()
    for config in sweep.configs:
        if at_once == 1:
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
      workdir: is made if need be.
      digests: of the trials' data, as `check` returns them.
      new: whether a folder that holds no sweep becomes this one's; if not, nothing is written.

    Raises:
      InputError: the folder holds another sweep or a run, or it cannot be written.
    """
    path = Workdir(workdir).sweep
    declared = {"config": sweep.base.to_dict(), "trials": sweep.trials, "data": list(digests)}
    text = json.dumps(declared, indent=1)
    if Workdir(workdir).config.exists():
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


def train_trials(sweep: Sweep, workdir: Path, only: int | None = None, at_once: int = 1) -> bool:
    """Trains every trial that has not ended; one that was stopped resumes.

    A trial with a loss or a gradient that is not finite is recorded as failed. The rest continue.

    Args:
      sweep: that `check` has passed and `claim` has claimed `workdir` for.
      workdir: of the sweep.
      only: the number of the one trial to train; None trains all.
      at_once: number of trials that train at once, each on a device of its own.

    Returns:
      Whether all of them have ended; False after SIGINT or SIGTERM, which save first.

    Raises:
      InputError: as `train.train` does, but for a loss or gradient that is not finite.
    """
    wanted = sweep.indices if only is None else [only]
    left = [i for i in wanted if ending(workdir, i) is None]
    key, programs = "", None
    with Interruption() as interruption:
        for group in _groups(sweep, workdir, left, at_once):
            if interruption.requested:
                return False
            for i in group:
                print(f"trial {i} of {len(sweep.trials)}: {_shown(sweep, i)}", flush=True)
            config = sweep.configs[group[0]]
            if programs is None or config_lib.compilation_key(config) != key:
                key, programs = config_lib.compilation_key(config), None
                jax.clear_caches()  # hundreds of kept programs are more than a process can map
                programs = Programs(config, jax.local_devices()[:1] if at_once > 1 else None)
            if not _train_group(sweep, workdir, group, programs, interruption):
                return False
    return True


def _train_group(
    sweep: Sweep,
    workdir: Path,
    group: Sequence[int],
    programs: Programs,
    interruption: Interruption,
) -> bool:
    """Trains the trials of a group at once, and returns whether they have ended."""
    failures: dict[int, str] = {}
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                Run(sweep.configs[i], Workdir(workdir).trial(i), programs, f"trial {i}: ")
            )
            for i in group
        ]
        steps = runs[0].config.steps
        # on the host, where they take no room from the first device's trial
        states = [jax.device_get(run.resume()) for run in runs]
        step = int(states[0].step)
        for run, state in zip(runs, states, strict=True):
            run.catch_up(state)

        def failed(run: Run, error: DivergedError) -> None:
            index = group[runs.index(run)]
            failures[index] = str(error)
            print(f"{run.label}{error}", flush=True)
            _write_end(workdir, index, FAILED, str(error))

        if 0 < step < steps:
            print(f"resuming from step {step}", flush=True)
        if step < steps and len(runs) > 1:
            trials, train_step = programs.parallel_trials(len(runs))
            step = train_in_step(runs, states, trials, train_step, interruption, failed)
        elif step < steps:
            try:
                step = train_loop(runs[0], states[0], programs, interruption)
            except DivergedError as error:
                failed(runs[0], error)
    trained = [i for i in group if i not in failures]
    if step == steps:
        for index in trained:
            _write_end(workdir, index, DONE, "")
    return step == steps or not trained


def _groups(sweep: Sweep, workdir: Path, left: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Yields the trials to train at once, at most `at_once`, in order.

    Those of a group share a compilation key and the step that they resume from.
    """
    alike: dict[tuple[str, int], list[int]] = {}
    for index in left:
        saved = _newest_step(Workdir(workdir).trial(index))
        alike.setdefault((config_lib.compilation_key(sweep.configs[index]), saved), []).append(
            index
        )
    for members in alike.values():
        for start in range(0, len(members), at_once):
            yield members[start : start + at_once]


def _newest_step(folder: Path) -> int:
    """Returns the step of the newest intact checkpoint, or 0."""
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
    write_whole(Workdir(workdir).trial_end(index), json.dumps(end))


def _shown(sweep: Sweep, index: int) -> str:
    values = (f"{key}={sweep.value(index, key)}" for key in sweep.given(index))
    return ", ".join(values) or "the config as it is"


def _first_difference(old: list[Any], new: list[Any]) -> str:
    if len(old) != len(new):
        return f"{len(old)} -> {len(new)} of them"
    index = next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    return f"number {index}: {old[index]} -> {new[index]}"
