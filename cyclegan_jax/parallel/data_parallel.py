"""Compiles steps and places arrays for data parallelism, by `pmap` or by `jit` of `shard_map`.

Both modes keep one replicated state and split each batch over the devices of all processes along
its first axis. Each device computes the gradients of its own images, and one explicit mean over
the devices follows. So both modes send the same bytes, and their numbers and their checkpoints are
the same as one device's.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.config import Config, nearest_multiples
from cyclegan_jax.parallel import jax_settings, traced_programs
from cyclegan_jax.state import Recipe, TrainState, create_state
from cyclegan_jax.step import Batch, sample_step, train_steps, translate_step
from cyclegan_jax.system import runtime

AXIS = "data"


class TrainStep:
    """Compiled `train_steps`: a function of state, batch and hyperparameters.

    It gives memory back before it compiles, and again before it first runs.

    Otherwise a process keeps the memory that making the state and compiling took while it trains.
    """

    def __init__(
        self,
        function: Any,
        finish: Callable[[Any], Any] | None = None,
        kept: Callable[[Sequence[Any]], Any] | None = None,
    ):
        """Compiles nothing yet.

        Args:
          function: what `jax.jit` or `jax.pmap` returns.
          finish: is done to each of its results.
          kept: returns for given arguments what takes the place of `function`, or None; see
            `traced_programs.kept`.
        """
        self._function, self._finish, self._kept = function, finish, kept
        self.is_compiled = False

    def lower(self, *arguments: Any) -> Any:
        """Returns what JAX's `lower` returns; the arguments may be shapes and types alone."""
        return self._function.lower(*arguments)

    def compile(self, *arguments: Any) -> Any:
        """Returns what JAX's `lower(...).compile()` returns. Later calls find the step compiled."""
        runtime.release_memory()
        if self._kept is not None:
            self._function = self._kept(arguments) or self._function
        compiled = self._function.lower(*arguments).compile()
        runtime.release_memory()
        self.is_compiled = True
        return compiled

    def __call__(self, *arguments: Any) -> Any:
        """Returns what `train_steps` returns."""
        if not self.is_compiled:
            self.compile(*arguments)
        result = self._function(*arguments)
        return result if self._finish is None else self._finish(result)


class Parallel:
    """Data parallelism over `devices` in one of two modes. Default: all devices of all processes.

    "pmap": `jax.pmap` of the step. "jit": `jax.jit` of its `jax.shard_map`, its successor, which
    takes global arrays. If there are several processes, each makes the same calls.
    """

    def __init__(self, mode: str, devices: Sequence[Any] | None = None, precision: str = "default"):
        """Finds the devices; compiles nothing yet.

        Args:
          mode: `config.parallel`.
          devices: to use; default: all.
          precision: `config.matmul_precision`, of all that is compiled here.

        Raises:
          InputError: JAX finds no device.
        """
        self.mode = mode
        self._precise = functools.partial(jax_settings.with_precision, precision=precision)
        # A process has neighbouring devices, and so a contiguous share of the batch. Sorting
        # by id alone does not guarantee this on a TPU pod.
        devices = devices or jax_settings.devices()
        self.devices = sorted(devices, key=lambda d: (d.process_index, d.id))
        self._mesh = Mesh(np.array(self.devices), (AXIS,))
        self._replicated = NamedSharding(self._mesh, PartitionSpec())
        self._split = NamedSharding(self._mesh, PartitionSpec(AXIS))
        self._split_each = NamedSharding(self._mesh, PartitionSpec(None, AXIS))

    def check_batch_size(self, batch_size: int, microbatches: int = 1) -> None:
        """Raises `InputError` unless all parts of all devices get the same number of images."""
        devices = len(self.devices)
        count = devices * microbatches
        if batch_size % count:
            parts = f" in {microbatches} parts each (config.microbatches)"
            raise InputError(
                f"config.batch_size = {batch_size} cannot be split over {devices} devices"
                f"{parts if microbatches > 1 else ''}; "
                f"use a multiple of {count}, for example {nearest_multiples(batch_size, count)}"
            )

    @property
    def share(self) -> tuple[int, int]:
        """(i, n) if this process's devices take the i-th of n equal parts of each batch."""
        processes = sorted({device.process_index for device in self.devices})
        return processes.index(jax.process_index()), len(processes)

    def place_state(self, state: Any) -> Any:
        """Replicates a pytree over the devices.

        Do this before the first step: `pmap` compiles anew when the placement of an input changes.
        Every process gives the same values; nothing compares them.
        """
        if jax.process_count() == 1:
            return jax.device_put(state, self._replicated)
        # device_put would send every leaf through all processes to compare them
        return jax.tree.map(self._replicate, state)

    def _replicate(self, leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, self._replicated)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, self._replicated, lambda index: host[index])

    def place_batch(self, batch: dict[str, np.ndarray]) -> Batch:
        """Splits a batch over the devices, as the step of `compile_train_step` takes it.

        Args:
          batch: host arrays, this process's share: `[B / processes, H, W, 1]`, or of several steps
            in one call `[K, B / processes, H, W, 1]`.
        """
        count = len(self._mesh.local_devices)

        def place(images: np.ndarray) -> jax.Array:
            steps, split = images.shape[:-4], self._split_each if images.ndim == 5 else self._split
            if self.mode == "pmap":  # the devices come first
                images = images.reshape(*steps, count, -1, *images.shape[-3:])
                images, split = np.moveaxis(images, len(steps), 0), self._split
            return jax.make_array_from_process_local_data(split, images)

        return {name: place(images) for name, images in batch.items()}

    def compile_create_state(self, config: Config, recipe: Recipe) -> Callable[[int], TrainState]:
        """Returns `create_state` as a function of the seed, whose result is placed.

        It is compiled, so that it costs one compilation and not one for each layer, and so that no
        two leaves share a buffer (a step that donates its state needs that).
        """
        create = functools.partial(create_state, config, recipe)
        jit = functools.partial(jax.jit, out_shardings=self._replicated)
        kept = self._kept("create_state", config_lib.compilation_key(config), jit, create)

        @functools.cache
        def program() -> Any:
            return (kept and kept([np.int32(0)])) or jit(create)

        return lambda seed: program()(seed)

    def compile_train_step(self, recipe: Recipe, key: str | None = None) -> TrainStep:
        """Returns `train_steps` over all devices. The state passed in is donated.

        Args:
          recipe: of the steps.
          key: `config.compilation_key` of the recipe, so that a later start of a command need not
            trace the step again; None: it is not kept.
        """
        # jit needs no mean over a single device; pmap keeps it, so that old runs resume bit for bit
        alone = self.mode == "jit" and len(self.devices) == 1
        axis_name = None if alone else AXIS
        step = self._precise(functools.partial(train_steps, recipe=recipe, axis_name=axis_name))
        is_pmap = self.mode == "pmap"
        split = self._split if is_pmap or recipe.steps_per_call == 1 else self._split_each
        jit = functools.partial(
            jax.jit,
            in_shardings=(self._replicated, split, self._replicated),
            out_shardings=self._replicated,
            donate_argnums=0,
        )
        if is_pmap:
            mapped = jax.pmap(
                step,
                axis_name=AXIS,
                in_axes=(None, 0, None),
                out_axes=None,  # pyright: ignore[reportArgumentType]  # None is documented
                devices=self.devices,
                donate_argnums=0,
            )
            finish = None if jax.process_count() == 1 else self._of_all_processes
            return TrainStep(mapped, finish, self._kept("train_steps", key, jit, mapped))
        # Without `check_vma`, as in pmap: with it JAX sums the gradients of replicated parameters
        # over the devices by itself, before the mean that the step takes.
        mapped = jax.shard_map(
            step,
            mesh=self._mesh,
            in_specs=(PartitionSpec(), split.spec, PartitionSpec()),
            out_specs=PartitionSpec(),
            check_vma=False,
        )
        return TrainStep(jit(mapped), kept=self._kept("train_steps", key, jit, mapped))

    def _kept(
        self, name: str, key: str | None, jit: Callable[[Any], Any], function: Any
    ) -> Callable[[Sequence[Any]], Any] | None:
        """Returns `traced_programs.kept` as a function of the arguments; None: nothing is kept."""
        if key is None or jax.process_count() > 1:  # pmap takes arrays of one process alone
            return None
        return lambda arguments: traced_programs.kept(
            name, key, jit, function, arguments, self.devices
        )

    def _of_all_processes(self, result: Any) -> Any:
        """Makes the results of `pmap`, replicas of this process, parts of global arrays.

        So they can be saved.
        """
        return multihost_utils.host_local_array_to_global_array(result, self._mesh, PartitionSpec())

    def compile_sample_step(self, recipe: Recipe) -> Callable[[Any, Any], Any]:
        """Returns `sample_step` for host batches of any size, padded to a multiple of the devices.

        Every process gives the whole batch and gets the whole result.
        """
        return self._on_host(functools.partial(sample_step, recipe=recipe), None)

    def compile_translate_step(
        self, generator: Any, batch_size: int
    ) -> Callable[[Any, np.ndarray], np.ndarray]:
        """Returns `translate_step` for any number of host images, `batch_size` at a time.

        Every process gives all images and gets the whole result.
        """
        return self._on_host(functools.partial(translate_step, generator), batch_size)

    def _on_host(self, step: Callable[[Any, Any], Any], batch_size: int | None) -> Any:
        compiled = jax.jit(
            self._precise(step),
            in_shardings=(self._replicated, self._split),
            out_shardings=self._replicated,
        )

        def run(params: Any, images: Any) -> Any:
            """Runs equal chunks, the last one padded, so that one program serves them all."""
            count = len(jax.tree.leaves(images)[0])
            size = min(batch_size or count, count)
            size += -size % len(self.devices)
            results = []
            for start in range(0, count, size):
                chunk = jax.tree.map(lambda a, s=start: _padded(a[s : s + size], size), images)
                results.append(jax.device_get(compiled(params, self._divide(chunk))))
            return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)

        return run

    def _divide(self, images: Any) -> Any:
        """Splits arrays that every process has whole; each takes its part."""
        return jax.tree.map(
            lambda a: jax.make_array_from_callback(a.shape, self._split, lambda index: a[index]),
            images,
        )


def _padded(images: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([images, images[:1].repeat(size - len(images), axis=0)])
