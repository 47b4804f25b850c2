"""Saving and restoring runs; the only module that knows orbax.

A checkpoint has the items `params` (four parameter sets), `ema` (averaged generators, if on),
`train` (optimizer states, step, seed, history) and `meta` (JSON: config, data facts, scores), so
that inference reads the generators alone.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from cyclegan_jax import InputError
from cyclegan_jax.state import Networks, TrainState

FOLDER = "checkpoints"
_SCORE = "score"


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[_SCORE]


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
        self._folder = (workdir / FOLDER).absolute()
        if keep is None and not self._folder.is_dir():
            raise InputError(f"{workdir} has no {FOLDER}/; train first, or name another --workdir")
        policy = preservation_policy
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                read_only=keep is None,
                best_fn=_score,
                # max_to_keep with best_fn would delete the newest checkpoint
                preservation_policy=policy.AnyPreservationPolicy(
                    [
                        policy.LatestN(keep),
                        policy.BestN(
                            get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
                        ),
                    ]
                ),
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    def resolve(self, choice: str) -> int:
        """The step that `choice` names: "best" (by validation score), "latest" or a number.

        Raises:
          InputError: there is no such checkpoint; the message lists those there are.
        """
        steps = self.steps()
        if not steps:
            raise InputError(f"{self._folder} holds no complete checkpoint; train first")
        if choice == "latest":
            return steps[-1]
        if choice == "best":
            # without a score (no pairs, or none evaluated yet) the newest is the best guess
            best = self._manager.best_step()
            return steps[-1] if best is None else best
        if not choice.isdecimal() or int(choice) not in steps:
            raise InputError(
                f"{self._folder} has no checkpoint {choice!r}; "
                f"there are best, latest, {', '.join(map(str, steps))}"
            )
        return int(choice)

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
        if step in self._manager.all_steps():
            return
        items: dict[str, Any] = {
            "params": ocp.args.PyTreeSave(_params(state.params)),  # pyright: ignore
            "train": ocp.args.PyTreeSave(_train(state)),  # pyright: ignore
            "meta": ocp.args.JsonSave({**meta, "step": step, _SCORE: score}),  # pyright: ignore
        }
        if state.ema is not None:
            items["ema"] = ocp.args.PyTreeSave(_generators(state.ema))  # pyright: ignore
        metrics = {_SCORE: score} if score is not None and math.isfinite(score) else None
        self._writing(
            lambda: self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)
        )

    def wait(self) -> None:
        """Returns when all saves are on disk. Raises `InputError` as `save` does."""
        self._writing(self._manager.wait_until_finished)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state at `step`, with the shapes, types and placement of `like`.

        Raises:
          InputError: the checkpoint cannot be read or does not fit.
        """
        wanted = {"params": _params(like.params), "train": _train(like)}
        if like.ema is not None:
            wanted["ema"] = _generators(like.ema)
        items = self._read(step, wanted)
        train = items["train"]
        ema = items.get("ema")
        return TrainState(
            step=train["step"],
            seed=train["seed"],
            params=Networks(**items["params"]),
            opt_state=Networks(**train["opt_state"]),
            ema=None
            if ema is None
            else Networks(**ema, discriminator_x=None, discriminator_y=None),
            history=train.get("history"),
        )

    def restore_generators(self, step: int, like: Networks) -> Networks:
        """Only the generators at `step`, averaged if the run averaged; discriminators are None.

        Args:
          step: of the checkpoint.
          like: parameters (or their shapes) of the same model.
        """
        item = "ema" if self.meta(step)["config"]["ema_decay"] else "params"
        generators = self._read(step, {item: _generators(like)})[item]
        return Networks(**generators, discriminator_x=None, discriminator_y=None)

    def meta(self, step: int) -> dict[str, Any]:
        """The facts saved with the checkpoint at `step`."""
        args: Any = ocp.args.Composite(meta=ocp.args.JsonRestore())  # pyright: ignore
        return self._reading(step, lambda: self._manager.restore(step, args=args))["meta"]

    def _read(self, step: int, wanted: dict[str, Any]) -> Any:
        args = {
            name: ocp.args.PyTreeRestore(  # pyright: ignore
                tree,
                restore_args=ocp.checkpoint_utils.construct_restore_args(tree),
                partial_restore=True,  # generators without discriminators
            )
            for name, tree in wanted.items()
        }
        restored = self._reading(
            step, lambda: self._manager.restore(step, args=ocp.args.Composite(**args))
        )
        # orbax gives back memory that it may still own; a step that donates needs its own
        return {
            name: jax.tree.map(jnp.copy, tree) if name in args else tree
            for name, tree in restored.items()
        }

    def _reading(self, step: int, read: Any) -> Any:
        try:
            return read()
        except (ValueError, KeyError, OSError) as error:
            raise InputError(
                f"{self._folder / str(step)} cannot be restored ({_first_line(error)}); "
                f"name another with --checkpoint, of {', '.join(map(str, self.steps()))}, or "
                "delete this folder to go on training from an earlier one"
            ) from error

    def _writing(self, write: Any) -> None:
        try:
            write()
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"a checkpoint could not be written to {self._folder} ({_first_line(error)}); "
                "make room or mend the permissions and launch again: earlier checkpoints are intact"
            ) from error


def _params(params: Networks) -> dict[str, Any]:
    return {**_generators(params), **{d: getattr(params, d) for d in _DISCRIMINATORS}}


def _generators(params: Networks) -> dict[str, Any]:
    return {g: getattr(params, g) for g in ("generator_g", "generator_f")}


_DISCRIMINATORS = ("discriminator_x", "discriminator_y")


def _train(state: TrainState) -> dict[str, Any]:
    train = {"step": state.step, "seed": state.seed, "opt_state": _params(state.opt_state)}
    return train if state.history is None else train | {"history": state.history}


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
