"""What a checkpoint holds: a state taken apart into named items, and put together again."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.checkpoints import integrity
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.state import Networks, TrainState

_GENERATORS = ("generator_g", "generator_f")
_DISCRIMINATORS = ("discriminator_x", "discriminator_y")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


class Saved(NamedTuple):
    """A checkpoint as read, proved by its digests: host arrays of some items, by their paths."""

    step: int
    meta: dict[str, Any]
    items: dict[str, dict[str, np.ndarray]]

    @property
    def config(self) -> config_lib.Config:
        """Of the run. Raises `InputError` for what is no config of this version."""
        return config_lib.from_json(json.dumps(self.meta["config"]))

    def state(self, like: TrainState) -> TrainState:
        """The whole state, on the host.

        Args:
          like: of the same model and options; shapes suffice.

        Raises:
          InputError: the checkpoint is of another model.
        """
        restored = {name: self._item(name, tree) for name, tree in items_of(like).items()}
        train = restored["train"]
        return TrainState(
            step=train["step"],
            seed=train["seed"],
            params=Networks(**restored["generators"], **restored["discriminators"]),
            opt_state=Networks(**train["opt_state"]),
            ema=_only_generators(restored["ema"]) if "ema" in restored else None,
            history=train.get("history"),
        )

    def generators(self, like: Networks) -> Networks:
        """The generators, averaged if the run averaged; discriminators are None.

        Args:
          like: parameters, or their shapes, of the same model.

        Raises:
          InputError: the checkpoint is of another model.
        """
        return _only_generators(self._item(inference_item(self.meta), _pick(like, _GENERATORS)))

    def _item(self, name: str, like: Any) -> Any:
        found, wanted = self.items.get(name, {}), integrity.flatten(like)
        for path in found.keys() | wanted.keys():
            if path not in found or path not in wanted:
                where = "lacks" if path in wanted else "has besides"
            elif (shape := found[path].shape) != wanted[path].shape:
                where = f"has, with shape {shape} instead of {wanted[path].shape},"
            else:
                continue
            raise InputError(
                f"the checkpoint of step {self.step} is of another model: it {where} {name}/{path}"
            )
        return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in wanted])


def items_of(state: TrainState) -> dict[str, Any]:
    """The items that a checkpoint of `state` has, but for `meta`."""
    train = {
        "step": state.step,
        "seed": state.seed,
        "opt_state": _pick(state.opt_state, _GENERATORS + _DISCRIMINATORS),
    }
    if state.history is not None:
        train["history"] = state.history
    items = {
        "generators": _pick(state.params, _GENERATORS),
        "discriminators": _pick(state.params, _DISCRIMINATORS),
        "train": train,
    }
    return items if state.ema is None else items | {"ema": _pick(state.ema, _GENERATORS)}


def _pick(networks: Networks, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(networks, name) for name in names}


def _only_generators(generators: Mapping[str, Any]) -> Networks:
    return Networks(**generators, discriminator_x=None, discriminator_y=None)


def inference_item(meta: Mapping[str, Any]) -> str:
    """The item whose generators evaluate and translate: the averaged ones if there are any."""
    return "ema" if meta["config"]["ema_decay"] else "generators"


def provenance(
    config: config_lib.Config, dataset: Dataset, devices: Sequence[Any]
) -> dict[str, Any]:
    """Returns what a checkpoint says of its making: versions, hardware, config and data.

    Args:
      config: of the run.
      dataset: that the run trains on.
      devices: that it trains on.
    """
    versions = {"cyclegan_jax": __version__, "python": platform.python_version()}
    return {
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
        "device": f"{len(devices)} x {devices[0].device_kind}, "
        f"on a {platform.machine()} machine with {os.cpu_count()} cores",
        "config": config.to_dict(),
        "data": {
            "digest": dataset.digest,
            "domains": dataset.manifest["domains"],
            "axis": dataset.manifest["source"].get("axis", "axial"),
        },
    }
