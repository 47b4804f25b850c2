"""Compiles the training step of a config for devices, and reads what it needs."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import jax

from cyclegan_jax.compilation import flops, hlo
from cyclegan_jax.config import Config
from cyclegan_jax.data.batches import of_each_image
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import Recipe, build_recipe, create_state
from cyclegan_jax.step import train_step


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled training step. Bytes and operations are those of one device.

    Attributes:
      batch_size: of all devices together.
      state: bytes of the state, which the step overwrites, and of the batch.
      temporaries: bytes of what lives within a step.
      results: bytes of results with memory of their own.
      code: bytes of the program.
      collectives: of a step.
      copies: number of copies of arrays, and their bytes.
      operations: of the program that XLA was given, by their names in StableHLO.
      lowering_seconds: of tracing and lowering.
      compile_seconds: of XLA.
    """

    batch_size: int
    state: int
    temporaries: int
    results: int
    code: int
    collectives: list[hlo.Collective]
    copies: tuple[int, int]
    operations: dict[str, int]
    lowering_seconds: float
    compile_seconds: float

    @property
    def peak(self) -> int:
        """The bytes that a device needs."""
        return self.state + self.temporaries + self.results + self.code


def compile_step(config: Config, devices: Sequence[Any]) -> Program:
    """Compiles the step for `devices`, which need not be there.

    Args:
      config: validated.
      devices: of `devices.devices_of`.

    Raises:
      InputError: the batch cannot be split over the devices.
      jax.errors.JaxRuntimeError: XLA cannot compile it; its status is `RESOURCE_EXHAUSTED` where
        the memory is too small.
    """
    parallel = Parallel(config.parallel, devices, config.matmul_precision)
    parallel.check_batch_size(config.batch_size, config.microbatches)
    step = parallel.compile_train_step(build_recipe(config))
    started = time.perf_counter()
    lowered = step.lower(*abstract_arguments(config, parallel))
    lowering_seconds = time.perf_counter() - started
    started = time.perf_counter()
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - started
    memory, text = compiled.memory_analysis(), compiled.as_text()
    return Program(
        batch_size=config.batch_size,
        state=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        results=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        collectives=hlo.collectives(text),
        copies=hlo.copies(text),
        operations=hlo.operations(lowered.as_text()),
        lowering_seconds=lowering_seconds,
        compile_seconds=compile_seconds,
    )


def abstract_arguments(config: Config, parallel: Parallel) -> tuple[Any, dict[str, Any], Any]:
    """Returns shapes and types of state and batch as the step takes them, and hyperparameters."""
    devices = len(parallel.devices)
    steps = () if config.steps_per_call == 1 else (config.steps_per_call,)
    if parallel.mode == "pmap":
        first = (devices, *steps, config.batch_size // devices)
    else:
        first = (*steps, config.batch_size)
    layout = of_each_image(config.image_size, config.data.fit, config.augment_on_device)
    batch = {
        name: jax.ShapeDtypeStruct((*first, *shape), dtype)
        for name, (shape, dtype) in layout.items()
    }
    return _abstract_state(config, build_recipe(config)), batch, Hyperparameters.of(config)


def step_operations(config: Config, devices: int) -> int:
    """Returns the operations of one device's part of a step, by `flops.count`."""
    recipe = build_recipe(config)
    shape = (config.batch_size // devices, config.image_size, config.image_size, 1)
    batch = {domain: jax.ShapeDtypeStruct(shape, "float32") for domain in DOMAINS}
    return flops.count(
        functools.partial(train_step, recipe=recipe),
        _abstract_state(config, recipe),
        batch,
        Hyperparameters.of(config),
    )


def _abstract_state(config: Config, recipe: Recipe) -> Any:
    return jax.eval_shape(functools.partial(create_state, config, recipe, config.seed))


def parameter_bytes(config: Config) -> int:
    """Returns the bytes of the parameters of the four networks."""
    state = _abstract_state(config, build_recipe(config))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.params))
