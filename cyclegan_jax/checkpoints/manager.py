"""Saving and restoring runs; only this module knows orbax.

A checkpoint has the items `generators`, `discriminators`, `ema` (averaged generators, if on),
`train` (optimizer states, step, seed, history) and `meta` (JSON: config, data facts, score, and a
digest of every array), so that inference reads the generators alone and damage is never silent.
"""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints import integrity
from cyclegan_jax.checkpoints.contents import Saved, inference_item, items_of
from cyclegan_jax.checkpoints.retention import LatestAndBest, best, rank
from cyclegan_jax.parallel import multihost
from cyclegan_jax.state import TrainState
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir

_META_FILE = "metadata"  # of orbax's handler for JSON
# They say nothing about a file: who sees one must not take the file for damaged.
_NOT_THE_FILE = ("EMFILE", "ENFILE", "ENOMEM", "EACCES", "EPERM", "EIO", "ESTALE", "ETIMEDOUT")
Part = Literal["meta", "generators", "all"]


class DamagedError(InputError):
    """A checkpoint that cannot be read or is not as it was saved."""


class Checkpoints:
    """The checkpoints of one workdir. Use as a context manager: leaving it awaits pending saves."""

    def __init__(self, workdir: Path, keep: int | None = None):
        """Opens `<workdir>/checkpoints`.

        Args:
          workdir: of the run.
          keep: number of newest checkpoints to keep besides the best; None opens read-only.

        Raises:
          InputError: opened read-only, and there is no checkpoint.
        """
        self._workdir = Workdir(workdir.absolute())
        self._folder = self._workdir.checkpoints
        if keep is None and not self._folder.is_dir():
            raise InputError(
                f"{workdir} has no {self._folder.name}/; train first, or use another --workdir"
            )
        self._keep = keep
        self._manager: ocp.CheckpointManager | None = None
        self._scores = {step: self._score(step) for step in self.steps()}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._manager is not None:
            self._writing(self._manager.close)

    def steps(self) -> list[int]:
        """Steps of all checkpoints, intact or damaged, ascending."""
        return saved_steps(self._workdir.path)

    def best(self) -> int | None:
        """The step with the best score, or None: no pairs, or none evaluated yet."""
        return best(self._scores)

    def newest(self) -> Saved | None:
        """The newest intact checkpoint, whole, to go on training from; None: there is none at all.

        Damaged ones that are newer are set aside in `<workdir>/damaged_checkpoints`, with a
        warning each, because their steps will be saved again.

        Raises:
          DamagedError: there are checkpoints, and all are damaged; nothing is set aside.
          InputError: one cannot be read for a reason that is not the file's own.
        """
        damaged: dict[int, DamagedError] = {}
        for step in reversed(self.steps()):
            try:
                saved = self.read(step)
            except DamagedError as error:
                damaged[step] = error
                continue
            if damaged and not multihost.is_primary():  # which has found them intact
                break
            for bad, error in damaged.items():
                _warn(f"{error}; set aside as {self._set_aside(bad)}")
            # in every process, also in those that find the others set aside already
            self._scores = {s: score for s, score in self._scores.items() if s <= step}
            return saved
        if not damaged:
            return None
        mend = f"no checkpoint is intact: move {self._folder} away to train from the start"
        if not multihost.is_primary():
            mend = "process 0 could read it: mend the shared file system"
        raise DamagedError("; ".join([*map(str, damaged.values()), mend]))

    def choose(self, choice: str, part: Part = "generators") -> Saved:
        """The checkpoint that `choice` names: "best" (by validation score), "latest" or a number.

        Instead of a damaged best or latest one, the next in the same order, with a warning.

        Args:
          choice: which.
          part: what is read of it.

        Raises:
          InputError: there is no such checkpoint; the message lists those there are.
          DamagedError: the one of that number is damaged, or all are.
        """
        candidates = self._candidates(choice)
        for step in candidates[:-1]:
            try:
                return self.read(step, part)
            except DamagedError as error:
                _warn(f"{error}; using another instead")
        return self.read(candidates[-1], part)

    def read(self, step: int, part: Part = "all") -> Saved:
        """Reads the checkpoint of `step` and compares it with its digests.

        Args:
          step: of the checkpoint.
          part: `meta` alone, or with what `Saved.generators` needs, or with all items.

        Raises:
          DamagedError: it cannot be read, or is not as it was saved.
        """
        meta = self.meta(step)
        names = {"meta": (), "generators": (inference_item(meta),), "all": meta["digests"]}[part]
        return Saved(step, meta, {name: self._read_item(step, meta, name) for name in names})

    def meta(self, step: int) -> dict[str, Any]:
        """The facts saved with the checkpoint of `step`. Raises `DamagedError`."""
        handler = ocp.JsonCheckpointHandler(_META_FILE)
        meta: Any = self._reading(step, "meta", handler.restore)
        if not integrity.is_sealed(meta):
            raise self._damaged(step, "meta", "it is not as it was saved, or of an older version")
        return meta

    def save(self, state: TrainState, meta: Mapping[str, Any], score: float | None) -> None:
        """Saves in the background; the state may be donated at once.

        Args:
          state: replicated or on one device.
          meta: JSON-serialisable facts.
          score: by which the best checkpoint is chosen, higher is better; None if not evaluated.

        Raises:
          InputError: this or the previous save could not be written; older ones are intact.
        """
        step = int(state.step)
        if step in self._scores:  # interrupted at a step that was just saved
            return
        items = items_of(state)
        arrays = {name: integrity.flatten(jax.device_get(tree)) for name, tree in items.items()}
        facts = {
            **meta,
            "step": step,
            "score": score,
            "digests": {name: integrity.of_arrays(flat) for name, flat in arrays.items()},
        }
        arguments: dict[str, Any] = {
            "meta": ocp.args.JsonSave(integrity.sealed(facts)),  # pyright: ignore
            **{name: ocp.args.PyTreeSave(tree) for name, tree in items.items()},  # pyright: ignore
        }
        self._scores[step] = score
        self._writing(lambda: self._saver().save(step, args=ocp.args.Composite(**arguments)))

    def rate(self, step: int, score: float) -> None:
        """Gives the checkpoint of `step`, which a stop left without one, its score.

        Raises `InputError` if it cannot be read or written.
        """
        self._scores[step] = score
        if multihost.is_primary():
            facts = json.dumps(integrity.sealed({**self.meta(step), "score": score}))
            path = self._workdir.checkpoint(step) / "meta" / _META_FILE
            self._writing(lambda: write_whole(path, facts))

    def wait(self) -> None:
        """Returns when all saves are on disk. Raises `InputError` as `save` does."""
        if self._manager is not None:
            self._writing(self._manager.wait_until_finished)

    def _saver(self) -> ocp.CheckpointManager:
        # made at the first save: it takes the folder for its own from then on
        if self._manager is None:
            policy: Any = LatestAndBest(self._keep or 1, self._scores)
            options = ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                cleanup_tmp_directories=True,  # saves that a kill has cut short
            )
            self._manager = ocp.CheckpointManager(self._folder, options=options)
        return self._manager

    def _candidates(self, choice: str) -> list[int]:
        steps = self.steps()
        if not steps:
            raise InputError(f"{self._folder} holds no complete checkpoint; train first")
        if choice == "latest":
            return steps[::-1]
        if choice == "best":
            # without a score the newest is the best guess
            return sorted(steps, key=lambda s: (rank(self._scores.get(s)), s), reverse=True)
        if not choice.isdecimal() or int(choice) not in steps:
            raise InputError(
                f"{self._folder} has no checkpoint {choice!r}; "
                f"there are best, latest, {', '.join(map(str, steps))}"
            )
        return [int(choice)]

    def _score(self, step: int) -> float | None:
        try:
            return self.meta(step)["score"]
        except DamagedError:
            return None

    def _read_item(self, step: int, meta: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
        handler = ocp.PyTreeCheckpointHandler()

        def restore(path: Any) -> Any:
            saved: Any = handler.metadata(path)
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            wanted = jax.tree.map(lambda _: as_numpy, saved.tree)
            return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=wanted))  # pyright: ignore

        arrays = integrity.flatten(self._reading(step, name, restore))
        found, wanted = integrity.of_arrays(arrays), meta["digests"][name]
        wrong = sorted(p for p in found.keys() | wanted.keys() if found.get(p) != wanted.get(p))
        if wrong:
            raise self._damaged(step, name, f"{wrong[0]} is not as it was saved")
        return arrays

    def _reading(self, step: int, item: str, read: Callable[[Any], Any]) -> Any:
        try:
            return read(self._workdir.checkpoint(step) / item)
        except Exception as error:  # whatever a damaged file makes of orbax
            # It drops its other reads unawaited, and asyncio would log each of them.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            why = _first_line(error)
            words = (os.strerror(getattr(errno, name)) for name in _NOT_THE_FILE)
            if isinstance(error, MemoryError) or any(word in why for word in words):
                path = self._workdir.checkpoint(step) / item
                raise InputError(f"{path} cannot be read ({why}); mend that, try again") from error
            raise self._damaged(step, item, why) from error

    def _damaged(self, step: int, item: str, why: str) -> DamagedError:
        return DamagedError(f"{self._workdir.checkpoint(step)} is damaged ({item}: {why})")

    def _set_aside(self, step: int) -> Path:
        folder = self._workdir.damaged_checkpoints
        names = (str(step), *(f"{step}_{i}" for i in range(2, 1000)))
        aside = next(folder / name for name in names if not (folder / name).exists())
        folder.mkdir(exist_ok=True)
        self._workdir.checkpoint(step).rename(aside)
        self._scores.pop(step, None)
        return aside

    def _writing(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except (OSError, ValueError, RuntimeError) as error:
            why = _first_line(error)
            mend = "make room or fix the permissions"
            if "timed out" in why:
                mend = "the disk has stalled, or the clock was set: mend that"
            raise InputError(
                f"a checkpoint could not be written to {self._folder} ({why}); {mend} and launch "
                "again: earlier checkpoints are intact"
            ) from error


def saved_steps(workdir: Path) -> list[int]:
    """Steps of the checkpoints in a workdir, ascending; one that is being written is not there."""
    folder = Workdir(workdir).checkpoints
    names: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(path.name) for path in names if path.name.isdecimal())


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
