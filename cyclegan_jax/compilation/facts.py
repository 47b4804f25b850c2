"""Gathers all that is known of a config compiled for a target."""

import dataclasses
import math
from typing import Any

import jax

from cyclegan_jax import InputError, __version__
from cyclegan_jax.compilation import devices as devices_lib
from cyclegan_jax.compilation import largest_batch, lower_bound
from cyclegan_jax.compilation.program import (
    Program,
    compile_step,
    parameter_bytes,
    step_operations,
)
from cyclegan_jax.compilation.targets import Target
from cyclegan_jax.config import Config
from cyclegan_jax.ops import augmentation


def gather(config: Config, target: Target, find_largest: bool) -> dict[str, Any]:
    """Compiles the training step of `config` for `target`, and returns facts for JSON.

    Args:
      config: validated.
      target: of `targets.parse`.
      find_largest: compiles further batches, to find the largest one that fits.

    Raises:
      InputError: the target or the config is impossible, or the step does not compile.
    """
    found = devices_lib.devices_of(target)
    program = _compiled(config, found, target)
    if isinstance(program, str):
        raise InputError(
            f"--target={target.text}: batch_size = {config.batch_size} does not fit: {program}"
        )
    chip = target.accelerator
    flops = step_operations(config, target.devices)
    largest = None
    if find_largest and chip.memory is not None:
        largest = _largest(config, found, target, program)
    return {
        "target": target.text,
        "devices": target.devices,
        "processes": len({device.process_index for device in found}),
        "batch_size": config.batch_size,
        "image_size": config.image_size,
        "dtype": config.dtype,
        "parallel": config.parallel,
        "matmul_precision": config.matmul_precision,
        "remat": config.remat,
        "microbatches": config.microbatches,
        "steps_per_call": config.steps_per_call,
        "augment_on_device": config.augment_on_device,
        "lowering_seconds": program.lowering_seconds,
        "compile_seconds": program.compile_seconds,
        "bytes": {
            "state": program.state,
            "temporaries": program.temporaries,
            "other": program.results + program.code,
            "peak": program.peak,
        },
        "memory": chip.memory,
        "usable": chip.usable,
        "largest_batch": None if largest is None else largest._asdict(),
        "flops": flops,
        "convolutions": _convolutions(config, program),
        "copies": program.copies,
        "parameter_bytes": parameter_bytes(config),
        "collectives": [dataclasses.asdict(part) for part in program.collectives],
        "lower_bound_seconds": lower_bound.seconds(config, target, program, flops),
        "versions": ", ".join(
            (
                f"cyclegan_jax {__version__}",
                f"jax {jax.__version__}",
                devices_lib.compiler(target),
            )
        ),
    }


def _compiled(config: Config, devices: list[Any], target: Target) -> Program | str:
    """Returns the program, or one line of why it does not fit."""
    try:
        return compile_step(config, devices)
    except jax.errors.JaxRuntimeError as error:
        lines = str(error).strip().split("\n")
        if "RESOURCE_EXHAUSTED" in lines[0]:
            return lines[0]
        raise InputError(f"--target={target.text}: XLA cannot compile it: {lines[0]}") from error


def _largest(
    config: Config, devices: list[Any], target: Target, program: Program
) -> largest_batch.Largest | None:
    def peak_of(batch: int) -> int | None:
        if batch == config.batch_size:
            return program.peak
        changed = config.copy_and_resolve_references().unlock()
        changed.batch_size = batch
        other = _compiled(changed, devices, target)
        return None if isinstance(other, str) else other.peak

    chip = target.accelerator
    assert chip.memory is not None
    multiple = math.lcm(target.devices * config.microbatches, config.data.views)
    start = max(multiple, config.batch_size // multiple * multiple)
    return largest_batch.find(peak_of, start, multiple, chip.usable * chip.memory)


def _convolutions(config: Config, program: Program) -> str:
    """Returns in words whether the convolutions are native, or products of patches."""
    count = program.operations.get
    native, products = count("convolution", 0), count("dot_general", 0)
    products -= augmentation.PRODUCTS if config.augment_on_device else 0
    if not products:
        return f"all native ({native} in the program)"
    return f"{native} native, {products} as matrix products of patches"
