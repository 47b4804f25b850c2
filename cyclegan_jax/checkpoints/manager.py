"""Saves and restores runs. Only this module knows orbax.

A checkpoint has the items `generators`, `discriminators`, `ema` (the averaged generators, if the
run averages), `train` (optimizer states, step, seed, image pools) and `meta` (JSON: config, facts
on the data, score, and a digest of every array). So inference reads the generators alone, and
damage is always detected.
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
from cyclegan_jax.checkpoints.contents import Checkpoint, inference_item, items_of
from cyclegan_jax.checkpoints.paths import check_path
from cyclegan_jax.checkpoints.retention import LatestAndBest, best_first
from cyclegan_jax.parallel import multihost
from cyclegan_jax.state import TrainState
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir, refuse_model_folder

_META_FILE = "metadata"  # of orbax's handler for JSON
FIRST_PROTOCOL = "fixed"  # of the scores of earlier versions, which did not save it
# These errors have other causes than the file, which must not be taken for damaged.
_NOT_THE_FILE = ("EMFILE", "ENFILE", "ENOMEM", "EACCES", "EPERM", "EIO", "ESTALE", "ETIMEDOUT")
Part = Literal["meta", "generators", "weights", "all"]


class DamagedError(InputError):
    """A checkpoint cannot be read, or is not as it was saved."""


class Checkpoints:
    """The checkpoints of one workdir.

    It is a context manager, which waits for pending saves at its end.
    """

    def __init__(self, workdir: Path, keep: int | None = None):
        """Opens the checkpoints of `workdir`.

        Args:
          workdir: of the run.
          keep: the number of newest checkpoints to keep besides the best one; None opens read-only.

        Raises:
          InputError: opened read-only, and there is no folder of checkpoints; or orbax would
            misread the path.
        """
        check_path(workdir, saves=keep is not None)
        self._workdir = Workdir(workdir.absolute())
        self._folder = self._workdir.checkpoints
        if keep is None and not self._folder.is_dir():
            refuse_model_folder(workdir)
            raise InputError(
                f"{workdir} has no {self._folder.name}/; train first, or use another --workdir"
            )
        self._keep = keep
        self._manager: ocp.CheckpointManager | None = None
        self._has_read_back = False
        self._scores: dict[int, float | None] = {}  # the comparable ones
        self._protocol = ""
        for step in self.steps():
            self._rate(step, *self._score(step))

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
        """Returns the steps of all checkpoints, intact or damaged, in ascending order."""
        return saved_steps(self._workdir.path)

    def best(self) -> int | None:
        """Returns the step with the best score, or None if no checkpoint has a score."""
        return next(iter(best_first(self._scores)), None)

    @property
    def protocol(self) -> str:
        """The protocol of the newest score, by which checkpoints are ranked; "" without a score.

        Scores of another protocol count as none: the two numbers must not be compared.
        """
        return self._protocol

    def newest(self) -> Checkpoint | None:
        """Reads the whole newest intact checkpoint, to resume from; None if there are none at all.

        Newer damaged ones are moved to `Workdir.damaged_checkpoints`, with a warning each, because
        their steps will be saved again.

        Raises:
          DamagedError: there are checkpoints, and all are damaged; nothing is moved.
          InputError: one cannot be read for another reason than its files.
        """
        damaged: dict[int, DamagedError] = {}
        for step in reversed(self.steps()):
            try:
                saved = self.read(step)
            except DamagedError as error:
                damaged[step] = error
                continue
            if damaged and not multihost.is_primary():  # the primary found them intact
                break
            for bad, error in damaged.items():
                _warn(f"{error}; moved to {self._move_away(bad)}")
            # in every process, also in those for which the primary has moved the damaged ones
            self._scores = {s: score for s, score in self._scores.items() if s <= step}
            return saved
        if not damaged:
            return None
        advice = f"no checkpoint is intact; move {self._folder} away to train from the start"
        if not multihost.is_primary():
            advice = "process 0 could read it; fix the shared file system"
        raise DamagedError("; ".join([*map(str, damaged.values()), advice]))

    def choose(self, choice: str, part: Part = "generators") -> Checkpoint:
        """Reads the checkpoint that `choice` names.

        If the best or the latest one is damaged, the next in the same order is read instead, with a
        warning. Without any score the newest counts as the best.

        Args:
          choice: "best" (by the validation score), "latest" or the number of a step.
          part: what is read, see `read`.

        Raises:
          InputError: there is no such checkpoint; the message lists those that exist.
          DamagedError: the checkpoint of that step is damaged, or all are.
        """
        candidates = self._candidates(choice)
        for step in candidates[:-1]:
            try:
                return self.read(step, part)
            except DamagedError as error:
                _warn(f"{error}; using another instead")
        return self.read(candidates[-1], part)

    def read(self, step: int, part: Part = "all") -> Checkpoint:
        """Reads the checkpoint of `step` and compares it with its digests.

        Args:
          step: of the checkpoint.
          part: "meta" reads the facts alone, "generators" also what `Checkpoint.generators` needs,
            "weights" also the discriminators, "all" every item.

        Raises:
          DamagedError: it cannot be read, or is not as it was saved.
        """
        meta = self.meta(step)
        generators = inference_item(meta["digests"])
        names = {
            "meta": (),
            "generators": (generators,),
            "weights": (generators, "discriminators"),
            "all": meta["digests"],
        }[part]
        return Checkpoint(step, meta, {name: self._read_item(step, meta, name) for name in names})

    def meta(self, step: int) -> dict[str, Any]:
        """Reads the facts saved with the checkpoint of `step`. Raises `DamagedError`."""
        handler = ocp.JsonCheckpointHandler(_META_FILE)
        meta: Any = self._reading(step, "meta", handler.restore)
        if not integrity.has_right_digest(meta):
            raise self._damaged(step, "meta", "it is not as it was saved, or of an older version")
        return meta

    def save(
        self,
        state: TrainState,
        meta: Mapping[str, Any],
        score: float | None,
        protocol: str = FIRST_PROTOCOL,
    ) -> None:
        """Saves a state in the background; its arrays may be donated at once.

        The first save of a launch is awaited and read back: what a disk or a path does to it must
        not come out after the last step.

        Args:
          state: replicated or on one device.
          meta: JSON-serialisable facts.
          score: chooses the best checkpoint, higher is better; None if it was not evaluated.
          protocol: the protocol of the score.

        Raises:
          InputError: this save or the one before could not be written; older ones are intact. Or
            the first one cannot be read back.
        """
        step = int(state.step)
        if step in self._scores:  # the run was interrupted at a step that was just saved
            return
        items = items_of(state)
        arrays = {
            name: integrity.leaves_by_path(jax.device_get(tree)) for name, tree in items.items()
        }
        facts = {
            **meta,
            "step": step,
            "score": score,
            "protocol": protocol,
            "digests": {name: integrity.array_digests(flat) for name, flat in arrays.items()},
        }
        arguments: dict[str, Any] = {
            "meta": ocp.args.JsonSave(integrity.with_digest(facts)),  # pyright: ignore
            **{name: ocp.args.PyTreeSave(tree) for name, tree in items.items()},  # pyright: ignore
        }
        self._rate(step, score, protocol)
        self._writing(lambda: self._saver().save(step, args=ocp.args.Composite(**arguments)))
        if not self._has_read_back:
            self._has_read_back = True
            self._read_back(step)

    def rate(self, step: int, score: float, protocol: str = FIRST_PROTOCOL) -> None:
        """Adds the score and its protocol to the checkpoint of `step`, saved without a score.

        Raises `InputError` if the checkpoint cannot be read or written.
        """
        self._rate(step, score, protocol)
        if multihost.is_primary():
            rated = {**self.meta(step), "score": score, "protocol": protocol}
            facts = json.dumps(integrity.with_digest(rated))
            path = self._workdir.checkpoint(step) / "meta" / _META_FILE
            self._writing(lambda: write_whole(path, facts))

    def wait(self) -> None:
        """Waits until all saves are on disk. Raises `InputError` as `save` does."""
        if self._manager is not None:
            self._writing(self._manager.wait_until_finished)

    def _read_back(self, step: int) -> None:
        self.wait()
        failure = multihost.primary_first(lambda: self._failure(step))
        if not multihost.all_true(failure is None):
            raise InputError(
                "the first checkpoint of this launch was saved, but cannot be read back "
                f"({failure or 'by another process'}); move it away, and launch again with a "
                "--workdir on another disk"
            ) from failure

    def _failure(self, step: int) -> InputError | None:
        try:
            self.read(step)
        except InputError as error:
            return error
        return None

    def _saver(self) -> ocp.CheckpointManager:
        # Made at the first save, since orbax deletes files in the folder from then on.
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
            ranked = best_first({step: self._scores.get(step) for step in steps})
            # among those without a score the newest is the best guess
            return [*ranked, *(step for step in reversed(steps) if step not in ranked)]
        if not choice.isdecimal() or int(choice) not in steps:
            raise InputError(
                f"{self._folder} has no checkpoint {choice!r}; "
                f"there are best, latest, {', '.join(map(str, steps))}"
            )
        return [int(choice)]

    def _score(self, step: int) -> tuple[float | None, str]:
        try:
            meta = self.meta(step)
            return meta["score"], meta.get("protocol", FIRST_PROTOCOL)
        except DamagedError:
            return None, ""

    def _rate(self, step: int, score: float | None, protocol: str) -> None:
        if score is not None and protocol != self._protocol:
            self._protocol = protocol
            self._scores.update(dict.fromkeys(self._scores))
        self._scores[step] = score

    def _read_item(self, step: int, meta: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
        handler = ocp.PyTreeCheckpointHandler()

        def restore(path: Any) -> Any:
            saved: Any = handler.metadata(path)
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            wanted = jax.tree.map(lambda _: as_numpy, saved.tree)
            return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=wanted))  # pyright: ignore

        arrays = integrity.leaves_by_path(self._reading(step, name, restore))
        found, wanted = integrity.array_digests(arrays), meta["digests"][name]
        wrong = sorted(p for p in found.keys() | wanted.keys() if found.get(p) != wanted.get(p))
        if wrong:
            raise self._damaged(step, name, f"{wrong[0]} is not as it was saved")
        return arrays

    def _reading(self, step: int, item: str, read: Callable[[Any], Any]) -> Any:
        try:
            return read(self._workdir.checkpoint(step) / item)
        except Exception as error:  # a damaged file makes orbax raise anything
            # orbax drops its other reads unawaited, and asyncio would log each of them.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            why = _first_line(error)
            words = (os.strerror(getattr(errno, name)) for name in _NOT_THE_FILE)
            if isinstance(error, MemoryError) or any(word in str(error) for word in words):
                path = self._workdir.checkpoint(step) / item
                raise InputError(
                    f"{path} cannot be read ({why}); fix that and try again"
                ) from error
            raise self._damaged(step, item, why) from error

    def _damaged(self, step: int, item: str, why: str) -> DamagedError:
        return DamagedError(f"{self._workdir.checkpoint(step)} is damaged ({item}: {why})")

    def _move_away(self, step: int) -> Path:
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
            advice = "make room or fix the permissions"
            if "timed out" in str(error):
                advice = "the disk has stalled, or the clock was changed: fix that"
            raise InputError(
                f"a checkpoint could not be written to {self._folder} ({why}); {advice} and launch "
                "again: earlier checkpoints are intact"
            ) from error


def saved_steps(workdir: Path) -> list[int]:
    """Returns the steps of the complete checkpoints in a workdir, in ascending order."""
    folder = Workdir(workdir).checkpoints
    names: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(path.name) for path in names if path.name.isdecimal())


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
