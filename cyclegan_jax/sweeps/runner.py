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
from cyclegan_jax.data import loading
from cyclegan_jax.files import write_whole
from cyclegan_jax.interruption import Interruption
from cyclegan_jax.programs import Programs
from cyclegan_jax.run import DivergedError, Run
from cyclegan_jax.sweeps.grammar import Sweep
from cyclegan_jax.train import loop

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


def check(sweep: Sweep, only: int | None, together: int) -> None:
    """Looks at everything that could stop a trial, before the first one trains.

    Raises:
      InputError: a trial number there is not, more trials at once than devices, unusable data, or
        data without validation pairs to rank the trials by.
    """
    if only is not None and only not in sweep.indices:
        raise InputError(f"--trial={only}: there are trials 0 to {len(sweep.trials) - 1}")
    devices = jax.local_device_count()
    if together > devices:
        raise InputError(
            f"--parallel_trials={together}: there are {devices} local device(s), and a trial needs "
            "one of its own"
        )
    for config in {config_lib.to_json(config): config for config in sweep.configs}.values():
        Programs(config, jax.local_devices()[:1] if together > 1 else None)
        dataset = loading.open_data(config)
        if loading.monitoring_split(dataset) != "val":
            raise InputError(
                f"{dataset.folder} has no validation pairs to rank the trials by (test pairs must "
                "not choose); prepare it with --validation"
            )


def claim(sweep: Sweep, workdir: Path) -> None:
    """Makes `workdir` this sweep's, or checks that it is.

    Raises:
      InputError: it holds another sweep or a run, or cannot be written.
    """
    path = workdir / SWEEP
    declared = {"config": sweep.base.to_dict(), "trials": sweep.trials}
    text = json.dumps(declared, indent=1)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if (workdir / "config.json").exists():
            raise InputError(f"{workdir} holds a single run; use a new --workdir")
        if path.exists():
            old = json.loads(path.read_text())
            changed = config_lib.differences(old["config"], sweep.base)
            new = json.loads(text)["trials"]
            if old["trials"] != new:
                changed.append(f"trials: {_first_difference(old['trials'], new)}")
            if changed:
                raise InputError(
                    f"{workdir} holds another sweep; use a new --workdir, or undo: "
                    + "; ".join(changed)
                )
            return
        write_whole(path, text)
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} cannot be written ({error.strerror}); mend it or name another"
        ) from error


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
    programs: dict[str, Programs] = {}
    with Interruption() as interruption:
        for group in _groups(sweep, left, together):
            if interruption.requested:
                return False
            for i in group:
                print(f"trial {i} of {len(sweep.trials)}: {_shown(sweep, i)}", flush=True)
            key = config_lib.shape(sweep.configs[group[0]])
            if key not in programs:
                devices = jax.local_devices()[:1] if together > 1 else None
                programs[key] = Programs(sweep.configs[group[0]], devices)
            if not _train(sweep, workdir, group, programs[key], interruption):
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
        common = set.intersection(*(set(run.saved_steps()) for run in runs))
        start = max(common, default=None)
        step = steps
        if start != steps:
            if start is not None:
                print(f"resuming from step {start}", flush=True)
            devices, train_step = programs.parallel, programs.train_step
            if len(runs) > 1:
                devices, train_step = programs.together(len(runs))
            try:
                step = loop(
                    runs, [run.state(start) for run in runs], devices, train_step, interruption
                )
            except DivergedError as error:
                print(f"{runs[-1].label}{error}", flush=True)
    for index, run in zip(group, runs, strict=True):
        if run.failure is not None:
            _write_end(workdir, index, FAILED, str(run.failure))
        elif step == steps:
            _write_end(workdir, index, DONE, "")
    return step == steps


def _groups(sweep: Sweep, left: Sequence[int], together: int) -> Iterator[list[int]]:
    """Trials to train at once: of one shape, at most `together`, in their order."""
    by_shape: dict[str, list[int]] = {}
    for index in left:
        by_shape.setdefault(config_lib.shape(sweep.configs[index]), []).append(index)
    for members in by_shape.values():
        for start in range(0, len(members), together):
            yield members[start : start + together]


def _write_end(workdir: Path, index: int, status: str, message: str) -> None:
    end = {"status": status, "message": message}
    write_whole(trial_folder(workdir, index) / _END, json.dumps(end))


def _shown(sweep: Sweep, index: int) -> str:
    values = (f"{key}={sweep.value(index, key)}" for key in sweep.keys)
    return ", ".join(values)


def _first_difference(old: list[Any], new: list[Any]) -> str:
    if len(old) != len(new):
        return f"{len(old)} -> {len(new)} of them"
    index = next(i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
    return f"number {index}: {old[index]} -> {new[index]}"
