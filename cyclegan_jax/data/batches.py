"""Makes unpaired training batches in a random order, and reads them ahead of their use.

A batch is a pure function of (seed, step): reading can start at any step and gives the same images
with threads or any number of worker processes. Nothing but the step is stored. Of processes that
train together, each reads its share of the same batch.
"""

import itertools
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grain
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data.augmentation import (
    CHANGES,
    COLUMNS,
    Augmentation,
    augmented,
    random_changes,
)
from cyclegan_jax.data.frames import Frames, frame_type, normalised
from cyclegan_jax.data.order import RandomOrder
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.system import runtime

_SHARED_MEMORY = "/dev/shm"
_LOST_WORKER = ("No space left", "terminated unexpectedly", "Cannot allocate memory")
_STEPS = 2**31  # more than any run has
_AHEAD = 4  # batches that a process keeps


def of_each_image(size: int, mode: str, on_device: bool) -> dict[str, tuple[Any, str]]:
    """Returns shape and type of what a batch has for each image, by the names in the batch.

    Args:
      size: height and width of the images.
      mode: "pad" or "resize", see `framing.fit`.
      on_device: whether images are changed on the device.
    """
    image: tuple[Any, str] = (size, size, 1), frame_type(mode) if on_device else "float32"
    parts = {domain: image for domain in DOMAINS}  # noqa: C420 - the type of its keys
    changes: tuple[Any, str] = (1, 1, COLUMNS), "float32"
    return parts | {domain + CHANGES: changes for domain in DOMAINS if on_device}


def unpaired_batches(
    x: Frames,
    y: Frames,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
    on_device: bool = False,
) -> grain.MapDataset:
    """Returns a random-access data set of unpaired batches; element i is the batch of step i.

    It has no end in practice.

    Args:
      x: the images of "train_x".
      y: the images of "train_y", at the same size.
      augmentation: the random changes of the training images.
      batch_size: number of images of each domain in a batch, views counted.
      seed: fixes order and augmentation; each domain is shuffled on its own.
      share: (i, n) is the i-th of n equal, contiguous parts of each batch. The batch is the same
        for every n, and nothing outside the part is read. n must divide `batch_size`.
      on_device: leaves the changes to the training step, see below.

    Returns:
      Elements `{"x": [B / n, H, W, 1], "y": [B / n, H, W, 1]}` float32 in [-1, 1]. With `on_device`
      these are the plain images, in the type of the frames, and "x_changes" and "y_changes" float32
      `[B / n, 1, 1, 4]` lie beside them (`augmentation.random_changes`).
    """
    part, parts = share
    whole, views = batch_size // augmentation.views, augmentation.views
    begin, end = (batch_size * p // parts for p in (part, part + 1))
    # the records whose views are in the share; a record's views may lie in two shares
    first, last = begin // views, -(-end // views)
    skipped = begin - first * views
    layout = of_each_image(x.size, x.mode, on_device)
    # an own seed for each domain, or both would be shuffled alike and come out paired
    seeds = (np.random.SeedSequence([seed, number]).generate_state(1)[0] for number in (0, 1))
    orders = [RandomOrder(len(r), int(s)) for r, s in zip((x, y), seeds, strict=True)]

    def batch(step: int) -> dict[str, np.ndarray]:
        count = (last - first) * views
        made = {name: np.empty((count, *shape), dtype) for name, (shape, dtype) in layout.items()}
        for domain, frames, order in zip(DOMAINS, (x, y), orders, strict=True):
            for i in range(last - first):
                position = step * whole + first + i
                frame, rng = frames[order.record(position)], order.generator(position)
                here = slice(i * views, (i + 1) * views)
                if on_device:
                    made[domain][here, ..., 0] = frame
                    made[domain + CHANGES][here] = random_changes(augmentation, rng)
                else:
                    made[domain][here, ..., 0] = augmented(normalised(frame), augmentation, rng)
        return {name: values[skipped : skipped + end - begin] for name, values in made.items()}

    return grain.MapDataset.range(_STEPS).map(batch)


def read_ahead(
    batches: grain.MapDataset, start_step: int, workers: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches from `start_step` on, read ahead by threads or by `workers` processes.

    Raises:
      InputError: a worker process has ended, as when the shared memory is too small.
    """
    if workers:
        # by default each worker would keep 500 batches
        one = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
        rest = batches[start_step:].to_iter_dataset(one)
        options = grain.MultiprocessingOptions(num_workers=workers)
        return _of_workers(lambda: rest.mp_prefetch(options, worker_init_fn=_begin_worker), workers)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=_AHEAD)
    return iter(batches[start_step:].to_iter_dataset(options))


def in_calls(
    batches: Iterator[dict[str, np.ndarray]], step: int, steps_per_call: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields what each call of the training step takes: a batch, or those of several steps.

    A call ends with a multiple of `steps_per_call`. So the first one is shorter if the run resumes
    from another step.

    Args:
      batches: of the steps from `step` on.
      step: number of steps done.
      steps_per_call: if it is 1, the batches are yielded as they are; else `[K, B, H, W, 1]`.
    """
    if steps_per_call == 1:
        yield from batches
        return
    while joined := list(itertools.islice(batches, steps_per_call - step % steps_per_call)):
        yield {name: np.stack([batch[name] for batch in joined]) for name in joined[0]}
        step += len(joined)


def of_steps(values: Mapping[str, Any], is_joined: bool) -> list[Mapping[str, Any]]:
    """Returns the batches, or the metrics, of each step of a call; `in_calls` joins batches."""
    if not is_joined:
        return [values]
    steps = len(next(iter(values.values())))
    return [{name: value[i] for name, value in values.items()} for i in range(steps)]


def _of_workers(start: Callable[[], Iterable[Any]], workers: int) -> Iterator[Any]:
    """Yields what `start()` yields; an end of its processes becomes an `InputError`."""
    try:
        yield from start()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        if not any(words in reason for words in _LOST_WORKER):
            raise
        free = ""
        if Path(_SHARED_MEMORY).is_dir():
            usage = shutil.disk_usage(_SHARED_MEMORY)
            free = f", of which {usage.free / 2**20:.1f} of {usage.total / 2**20:.1f} MiB are free"
        raise InputError(
            f"config.data.workers = {workers}: the worker processes cannot pass on their batches "
            f"({reason}); they do so in {_SHARED_MEMORY}{free}: make it larger (docker run "
            "--shm-size=1g), or set config.data.workers to 0"
        ) from error


def _begin_worker(index: int, count: int) -> None:
    """Makes a worker process live exactly as long as the run, and use its memory again."""
    del index, count
    runtime.keep_freed_memory()
    # a terminal's Ctrl-C and a scheduler's SIGTERM may go to the workers too, but the run still has
    # a step to finish
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends a worker whose run was killed; otherwise it would wait for the run for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
