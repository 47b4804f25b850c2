"""Times the reference recipe's training step, translation and input pipeline.

The networks are those of the usual comparison: widths from `base` to 8 times that, as many levels
as bring the generator to 2x2 and the discriminator to 4x4. Data are random. Every figure is of this
process on this machine; compare programs by runs in turn.
"""

import functools
import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax import InputError, __version__
from cyclegan_jax.config import Config, base_config, validate
from cyclegan_jax.data import batches as batches_lib
from cyclegan_jax.data import from_config
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.models.networks import init_params
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.training.compiled import Programs

_VOLUME_SLICES = 180  # of a whole head at 1 mm
_COARSE_SLICES = 90  # of a whole head at 2 mm
_WARM_UP = 3


def reference_config(size: int, batch: int, base: int, dtype: str, parallel: str) -> Config:
    """Returns the config that is timed.

    Raises:
      InputError: `size` is no power of two from 32, or another value is not possible.
    """
    levels = size.bit_length() - 2  # down to 2x2
    if size < 32 or size != 2 ** (levels + 1):
        raise InputError(f"--size={size}: must be a power of two from 32, for example 256")
    c = base_config()
    c.image_size, c.batch_size, c.dtype, c.parallel = size, batch, dtype, parallel
    widths = tuple(base * min(2**level, 8) for level in range(levels))
    c.generator.features, c.discriminator.features = widths, widths[:-1]
    c.discriminator.strides = (2,) * (levels - 1)
    validate(c)
    return c.lock()


def training(
    config: Config,
    steps: int,
    profile: Path | None,
    started: float,
    devices: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """Times the start and `steps` training steps on random images.

    Args:
      config: of the networks.
      steps: that are timed, after some that are not.
      profile: folder for a trace of three more steps, or None.
      started: `time.perf_counter()` when the program started.
      devices: to train on; default: all.
    """
    programs = Programs(config, devices)
    parallel = programs.parallel
    state, init_seconds = _clocked(
        lambda: jax.block_until_ready(programs.create_state(config.seed))
    )
    batch = parallel.place_batch(_random_batch(config))
    hyper = parallel.place_state(Hyperparameters.of(config))
    train_step: Any = programs.train_step
    compiled, compile_seconds = _clocked(lambda: train_step.compile(state, batch, hyper))
    start_seconds = time.perf_counter() - started

    def run() -> None:
        nonlocal state
        state, metrics = train_step(state, batch, hyper)
        jax.block_until_ready(metrics)

    _, first_step_seconds = _clocked(run)
    times = _summary(_timed(run, steps))
    if profile is not None:
        with jax.profiler.trace(str(profile)):
            for _ in range(3):
                run()
    flops = step_flops(config)
    return {
        "seconds_per_step": times,
        "images_per_second": 2 * config.batch_size / times["median"],  # x and y
        "flops": {"analytic": flops, "xla": _xla_flops(compiled)},
        "gflops_per_second": flops / times["median"] / 1e9,
        "init_seconds": init_seconds,
        "compile_seconds": compile_seconds,
        "start_seconds": start_seconds,
        "first_step_seconds": first_step_seconds,
    }


def translation(config: Config, repetitions: int) -> dict[str, Any]:
    """Times a batch through one generator, and a volume of 180 slices, host to host."""
    recipe = build_recipe(config)
    parallel = Parallel(config.parallel, precision=config.matmul_precision)
    params = parallel.place_state(
        jax.jit(lambda: init_params(config, recipe.modules, config.seed))()
    )
    translate = parallel.compile_translate_step(recipe.modules.generator_g, config.batch_size)
    images = _random_batch(config)["x"]
    volume = np.resize(images, (_VOLUME_SLICES, *images.shape[1:]))

    def timed(slices: np.ndarray) -> dict[str, float]:
        return _summary(_timed(lambda: translate(params.generator_g, slices), repetitions))

    batch = timed(images)
    return {
        "seconds_per_batch": batch,
        "slices_per_second": config.batch_size / batch["median"],
        "seconds_per_volume": timed(volume),
    }


def against(
    ours: Callable[[np.ndarray], np.ndarray],
    theirs: Callable[[np.ndarray], np.ndarray],
    size: int,
    repetitions: int,
) -> dict[str, Any]:
    """Times our translation of a volume of 90 random slices and another program's, in turn.

    Args:
      ours: maps images `[N, H, W, 1]` to their translations.
      theirs: does the same.
      size: H and W.
      repetitions: of both; each gives one ratio, so that what else the machine does counts less.
    """
    shape = (_COARSE_SLICES, size, size, 1)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    difference = float(np.abs(ours(images) - theirs(images)).max())
    rounds = [
        [_clocked(functools.partial(program, images))[1] for program in (ours, theirs)]
        for _ in range(repetitions)
    ]
    return {
        "slices": _COARSE_SLICES,
        "largest_difference": difference,
        "seconds_ours": _summary([round_[0] for round_ in rounds]),
        "seconds_theirs": _summary([round_[1] for round_ in rounds]),
        "theirs_over_ours": _summary([round_[1] / round_[0] for round_ in rounds]),
    }


def input_pipeline(size: int, batches: int) -> dict[str, Any]:
    """Times the input pipeline alone, on phantoms, with every augmentation that is not views.

    Args:
      size: height and width of the images.
      batches: that are timed, of 32 images of each domain.

    Returns:
      The images of both domains in a second, with 0, 1 and 2 worker processes, and without workers
      in a second of processor time; with augmentation on the host, and in the step
      (`config.augment_on_device`).
    """
    c = base_config()
    c.image_size, c.data.contrast, c.data.shift = size, 0.2, 8
    c.data.phantom.subjects, c.data.phantom.held_out = 8, 1
    dataset = from_config.open_data(c)
    found: dict[str, Any] = {"batch": c.batch_size, "images": len(dataset.names("train_x"))}
    for c.augment_on_device, where in ((False, "host"), (True, "device")):
        found[f"images_per_second_augmented_on_{where}"] = rates = {}
        for c.data.workers in (0, 1, 2):
            seconds, busy = _seconds_per_batch(c, dataset, batches)
            rates[f"{c.data.workers}_workers"] = 2 * c.batch_size / seconds
            if c.data.workers == 0:
                rates["of_a_core"] = 2 * c.batch_size / busy
    return found


def _seconds_per_batch(config: Config, dataset: Dataset, batches: int) -> tuple[float, float]:
    """Returns the seconds of a batch, and those of processor time of this process."""
    # a pass over the images, which stay in memory from then on
    workers = max(config.data.workers, 1)  # each of them has its own memory
    first = workers * -(-len(dataset.names("train_x")) // config.batch_size) + _WARM_UP
    source = from_config.training_batches(config, dataset)
    ahead = batches_lib.read_ahead(source, 0, config.data.workers)
    clocks = [
        (time.perf_counter(), time.process_time())
        for _ in itertools.islice(ahead, first + batches + 1)
    ]
    seconds, busy = (
        (end - begin) / batches for begin, end in zip(clocks[first], clocks[-1], strict=True)
    )
    return seconds, busy


def peak_gflops(dtype: str) -> float:
    """Returns the GFLOP/s of the best of some large matrix products with float32 sums."""
    side = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((side, side), dtype)
    dot = jax.jit(lambda a: jnp.dot(a, a, preferred_element_type=jnp.float32))
    return 2 * side**3 / min(_timed(lambda: jax.block_until_ready(dot(a)), 10)) / 1e9


def peak_bytes() -> int:
    """Returns the most bytes held so far: by the fullest device, or on a CPU by the process."""
    statistics_of = [device.memory_stats() for device in jax.local_devices()]
    if all(statistics_of):
        return max(s["peak_bytes_in_use"] for s in statistics_of)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else 1024 * kilobytes


def step_flops(config: Config) -> int:
    """Returns the operations of the convolutions in a step: two for a multiplication and addition.

    Six generator and six discriminator passes for each pair of images. A pass costs its forward
    operations again for the gradient in its input and again for that in its kernels, which the
    two discriminator passes of the generators' loss do not need.
    """
    g, d = generator_flops(config), discriminator_flops(config)
    return config.batch_size * (6 * 3 * g + (2 * 2 + 4 * 3) * d)


def generator_flops(config: Config) -> int:
    """Returns the operations of a reference generator's convolutions for one image."""
    widths, k = config.generator.features, config.generator.kernel_size
    pixels = _pixels(config.image_size, len(widths))
    down = zip(pixels, (1, *widths), widths, strict=False)
    inputs = (widths[-1], *(2 * width for width in widths[-2::-1]))
    up = zip(reversed(pixels), inputs, (*widths[-2::-1], 1), strict=True)
    return sum(2 * k * k * math.prod(layer) for layer in itertools.chain(down, up))


def discriminator_flops(config: Config) -> int:
    """Returns the operations of a reference discriminator's convolutions for one image."""
    widths, k = config.discriminator.features, config.discriminator.kernel_size
    pixels = _pixels(config.image_size, len(widths))
    layers = zip((*pixels, pixels[-1]), (1, *widths), (*widths, 1), strict=True)
    return sum(2 * k * k * math.prod(layer) for layer in layers)


def _pixels(size: int, levels: int) -> list[int]:
    """Returns the pixels of the map after each stride-2 layer."""
    return [(size >> level) ** 2 for level in range(1, levels + 1)]


def versions() -> dict[str, Any]:
    """Returns the versions and the device that a measurement was made with."""
    device = jax.local_devices()[0]
    return {
        "cyclegan_jax": __version__,
        "jax": jax.__version__,
        "device": device.device_kind,
        "devices": jax.local_device_count(),
    }


def _random_batch(config: Config) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.image_size, config.image_size, 1)
    return {domain: rng.uniform(-1, 1, shape).astype(np.float32) for domain in "xy"}


def _timed(function: Callable[[], Any], repetitions: int) -> list[float]:
    return [_clocked(function)[1] for _ in range(_WARM_UP + repetitions)][_WARM_UP:]


def _clocked(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def _summary(seconds: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(seconds, n=4)
    return {"median": median, "min": min(seconds), "q1": q1, "q3": q3}


def _xla_flops(compiled: Any) -> float | None:
    """Returns the operations that XLA counts, without those of libraries, or None."""
    analysis = compiled.cost_analysis()
    return analysis.get("flops") if isinstance(analysis, dict) else None
