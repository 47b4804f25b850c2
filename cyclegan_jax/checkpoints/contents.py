"""The contents of a checkpoint: a state divided into named items, and a state made from them."""

import json
import os
import platform
from collections.abc import Container, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax import config as config_lib
from cyclegan_jax.averaging import generators_to_use
from cyclegan_jax.checkpoints import integrity
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.state import TrainState
from cyclegan_jax.system.files import json_digest

GENERATORS = ("generator_g", "generator_f")
_DISCRIMINATORS = ("discriminator_x", "discriminator_y")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


class Checkpoint(NamedTuple):
    """A checkpoint, or the model exported from one, that was read and compared with its digests.

    `meta` holds the facts saved with it. `items` holds the host arrays of the items that were read,
    `{item: {path: array}}`; a model folder has the item `generators` alone.
    """

    step: int
    meta: dict[str, Any]
    items: dict[str, dict[str, np.ndarray]]

    @property
    def config(self) -> config_lib.Config:
        """The config of the run. Raises `InputError` if this version cannot read it."""
        return config_lib.from_json(json.dumps(self.meta["config"]))

    def state(self, like: TrainState) -> TrainState:
        """Returns the whole state, on the host.

        Args:
          like: a state of the same model and options; its shapes suffice.

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
            pools=train.get("history"),
        )

    def generators(self, like: Networks) -> Networks:
        """Returns the generators to score and to translate with; the discriminators are None.

        Args:
          like: parameters of the same model, or their shapes.

        Raises:
          InputError: the checkpoint is of another model.
        """
        return _only_generators(self._item(inference_item(self.items), _pick(like, GENERATORS)))

    def weights_digest(self) -> str:
        """Returns the SHA-256 of the generators to translate with, in float32.

        A run and a model that was exported from it without rounding have the same.
        """
        return json_digest(integrity.array_digests(self.items[inference_item(self.items)]))

    def discriminators(self, like: Networks) -> Networks:
        """Returns the discriminators; the generators are None. The rest is as for `generators`."""
        found = self._item("discriminators", _pick(like, _DISCRIMINATORS))
        return Networks(generator_g=None, generator_f=None, **found)

    def _item(self, name: str, like: Any) -> Any:
        found, wanted = self.items.get(name, {}), integrity.leaves_by_path(like)
        shapes = ({f"{name}/{p}": a.shape for p, a in arrays.items()} for arrays in (found, wanted))
        if differs := difference(*shapes):
            raise InputError(
                f"the checkpoint of step {self.step} is of another model: it {differs}"
            )
        return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in wanted])


def items_of(state: TrainState) -> dict[str, Any]:
    """Returns the items of a checkpoint of `state`, without `meta`."""
    train = {
        "step": state.step,
        "seed": state.seed,
        "opt_state": _pick(state.opt_state, GENERATORS + _DISCRIMINATORS),
    }
    if state.pools is not None:
        train["history"] = state.pools
    items = {
        "generators": _pick(state.params, GENERATORS),
        "discriminators": _pick(state.params, _DISCRIMINATORS),
        "train": train,
    }
    return items if state.ema is None else items | {"ema": _pick(state.ema, GENERATORS)}


def inference_item(items: Container[str]) -> str:
    """Returns which of the items of a checkpoint holds the generators to score and translate with.

    Args:
      items: the names of the items that there are.
    """
    return generators_to_use("generators", "ema" if "ema" in items else None)


def generators_by_path(networks: Networks) -> dict[str, Any]:
    """Returns the leaves of both generators by path, as an item of a checkpoint has them."""
    return integrity.leaves_by_path(_pick(networks, GENERATORS))


def difference(found: Mapping[str, Sequence[int]], wanted: Mapping[str, Sequence[int]]) -> str:
    """Says how the arrays that were found differ from those of a model, or returns "".

    Args:
      found: the shapes of the arrays, by path.
      wanted: the same of the model.
    """
    for path in sorted(found.keys() | wanted.keys()):
        if path not in found:
            return f"lacks {path}"
        if path not in wanted:
            return f"also has {path}"
        if tuple(found[path]) != tuple(wanted[path]):
            return f"has {path} of shape {tuple(found[path])} instead of {tuple(wanted[path])}"
    return ""


def provenance(
    config: config_lib.Config,
    dataset: Dataset,
    devices: Sequence[Any],
    changes: Sequence[Mapping[str, Any]] = (),
    init_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the facts on how a checkpoint was made: versions, hardware, config and data.

    Args:
      config: of the run.
      dataset: the data that the run trains on.
      devices: the devices that it trains on.
      changes: of the config while the run trained, as `training.changes` records them.
      init_from: the run whose weights it started from, as `training.init_from` records it.
    """
    versions = {"cyclegan_jax": __version__, "python": platform.python_version()}
    splits = dataset.manifest["splits"]
    return {
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
        "device": f"{len(devices)} x {devices[0].device_kind}, "
        f"on a {platform.machine()} machine with {os.cpu_count()} cores",
        "config": config.to_dict(),
        "changes": list(changes),
        "init_from": init_from,
        "data": {
            "digest": dataset.digest,
            "domains": dataset.manifest["domains"],
            "axis": dataset.axis,
            "brain_only": dataset.brain_only,
            "below_vertex_mm": dataset.manifest["source"].get("below_vertex"),
            "pixel_seen_mm": from_config.pixels_seen(config, dataset),
            "slice_mm": dataset.manifest["source"].get("slice_mm", {}),
            "slice_jump": dataset.slice_jumps,
            # not known of data that an older version prepared
            "least_head": {d: splits[f"train_{d}"].get("least_head") for d in DOMAINS},
            "training_scans": dataset.training_scans,
        },
    }


def _pick(networks: Networks, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(networks, name) for name in names}


def _only_generators(generators: Mapping[str, Any]) -> Networks:
    return Networks(**generators, discriminator_x=None, discriminator_y=None)
