"""The jobs of the check that need JAX. Each uses the first device that JAX finds."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from cyclegan_jax import InputError, benchmark
from cyclegan_jax import config as config_lib
from cyclegan_jax.compilation import facts, targets
from cyclegan_jax.compilation.program import compile_step
from cyclegan_jax.data import from_config
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel import jax_settings
from cyclegan_jax.step import GRADIENT
from cyclegan_jax.system import shipped
from cyclegan_jax.training.compiled import Programs


def train(
    steps: int, trainings: Sequence[tuple[str, str, int]], cpu_is_enough: bool = True
) -> dict[str, Any]:
    """Trains the quick start for some steps, once for each of `trainings`.

    Args:
      steps: of each training.
      trainings: `config.dtype`, `config.matmul_precision` and `config.microbatches`.
      cpu_is_enough: whether the device may be a CPU.

    Returns:
      Facts of the device, and the losses of each training, `{name: a number for each step}`.

    Raises:
      InputError: JAX finds no device, or only a CPU where that is not enough.
    """
    device = jax_settings.devices()[0]
    if device.platform == "cpu" and not cpu_is_enough:
        raise InputError(
            "JAX finds no accelerator; install the JAX of yours (pip install 'jax[cuda12]', "
            "'jax[cuda13]' or 'jax[tpu]'), or give --quick to try the check on this CPU"
        )
    return {
        "device": {
            "kind": device.device_kind,
            "platform": device.platform,
            "platform_version": device.client.platform_version,
            "devices": jax.local_device_count(),
        },
        "losses": [_losses(device, steps, *training) for training in trainings],
    }


def _losses(
    device: Any, steps: int, dtype: str, precision: str, microbatches: int
) -> dict[str, list[float]]:
    config = config_lib.load_file(shipped.folder() / "quickstart.py").get_config()
    config.dtype, config.matmul_precision, config.microbatches = dtype, precision, microbatches
    programs = Programs(config, [device])
    parallel, train_step = programs.parallel, programs.train_step
    state = programs.create_state(config.seed)
    hyper = parallel.place_state(Hyperparameters.of(config))
    batches: Any = from_config.training_batches(config, from_config.open_data(config))
    found: dict[str, list[float]] = {}
    for step in range(steps):
        state, metrics = train_step(state, parallel.place_batch(batches[step]), hyper)
        for name, value in jax.device_get(metrics).items():
            if not name.startswith(GRADIENT):
                found.setdefault(name, []).append(float(value))
    return found


def times(size: int, batch: int, base: int, dtype: str, steps: int) -> dict[str, Any]:
    """Times the step of the reference networks, and says what memory it took.

    Returns:
      The result of `benchmark.training`; `peak_bytes`, the most that the device held, None where
      it does not say; `planned_bytes`, what XLA planned when it compiled on the device.
    """
    device = jax_settings.devices()[0]
    config = benchmark.reference_config(size, batch, base, dtype, "pmap")
    timed = benchmark.training(config, steps, None, time.perf_counter(), [device])
    memory = device.memory_stats() or {}
    planned = compile_step(config, [device])  # after the peak is read
    return timed | {"peak_bytes": memory.get("peak_bytes_in_use"), "planned_bytes": planned.peak}


def predict(size: int, batch: int, base: int, dtype: str, target: str) -> dict[str, Any]:
    """Returns as `predicted_bytes` the peak that `cyclegan-jax compile` says of the same step."""
    config = benchmark.reference_config(size, batch, base, dtype, "pmap")
    found = facts.gather(config, targets.parse(target), find_largest=False)
    return {"predicted_bytes": found["bytes"]["peak"]}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "train": train,
    "times": times,
    "predict": predict,
}
