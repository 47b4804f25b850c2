"""Several trials of a sweep in one program: each trains on a device of its own."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax.parallel import jax_settings
from cyclegan_jax.parallel.data_parallel import TrainStep
from cyclegan_jax.state import Recipe
from cyclegan_jax.step import train_steps


class Trials:
    """Independent runs in one program, each on a device of its own, without communication.

    Trees carry the runs on a first axis.
    """

    def __init__(self, devices: Sequence[Any], precision: str = "default"):
        """Takes a device for each trial, and `config.matmul_precision`."""
        self.devices = list(devices)
        self._precision = precision
        mesh = Mesh(np.array(self.devices), ("trial",))
        self._split = NamedSharding(mesh, PartitionSpec("trial"))

    def stack(self, trees: Sequence[Any]) -> Any:
        """Joins the trials' trees into one tree of host arrays `[trials, ...]`."""
        return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(list(trees)))

    def unstack(self, tree: Any) -> list[Any]:
        """Returns the trials' trees, on the host."""
        tree = jax.device_get(tree)
        return [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(len(self.devices))]

    def place_state(self, state: Any) -> Any:
        """Gives each device its trial."""
        return jax.device_put(state, self._split)

    place_batch = place_state

    def compile_train_step(self, recipe: Recipe) -> TrainStep:
        """Returns `train_steps` of every trial at once. The states passed in are donated."""
        step = jax_settings.with_precision(
            functools.partial(train_steps, recipe=recipe), self._precision
        )
        return TrainStep(jax.pmap(step, devices=self.devices, donate_argnums=0))
