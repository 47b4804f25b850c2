"""From prepared records to batches: framing, augmentation, pairing, order.

A training batch is a pure function of (seed, step): `batches` can start at any step and gives the
same images with threads or any number of worker processes. Nothing but the step is stored. Of
processes that train together each reads its share of the same batch.
"""

import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.data.intensity import HEAD, from_storage

AIR = -1.0
_IMAGES = 10**9  # more than any run; an endless repeat overflows where batches hold one image


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image; see `config.data` for units."""

    views: int
    flip: bool
    contrast: float
    shift: int


def fit(image: np.ndarray, frame: tuple[int, int], mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Brings an image to the networks' size.

    Args:
      image: `[H, W]` float32 in [-1, 1].
      frame: height and width to bring it to.
      mode: "pad" centres it without resampling, filling with air and cropping what does not fit;
        "resize" first scales it (bilinear, anti-aliased) so that it just fits.

    Returns:
      The image `[*frame]`, and a bool mask `[*frame]` of the pixels that come from the image.
    """
    if mode == "resize":
        image = resize(image, fitted_size(image.shape, frame))
    framed = np.full(frame, AIR, np.float32)
    mask = np.zeros(frame, bool)
    target, origin = _centred(image.shape, frame)
    framed[target] = image[origin]
    mask[target] = True
    return framed, mask


def unfit(framed: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Undoes `fit`: the part of `framed` `[h, w]` that came from an image of `size` `[H, W]`.

    Pixels that `fit` cropped come back as air.
    """
    inner = fitted_size(size, framed.shape) if mode == "resize" else size
    target, origin = _centred(inner, framed.shape)
    image = np.full(inner, AIR, np.float32)
    image[origin] = framed[target]
    return resize(image, size) if mode == "resize" else image


def fitted_size(size: tuple[int, ...], frame: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of an image of `size` scaled to just fit `frame`."""
    scale = min(frame[0] / size[0], frame[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Scales `[H, W]` float32 to `size`: bilinear, anti-aliased when it gets smaller."""
    if image.shape == size:
        return image
    pixels = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _centred(size: tuple[int, ...], frame: tuple[int, ...]) -> tuple[Any, Any]:
    """Slices into the frame and into the image where a centred image and the frame overlap."""
    target, origin = [], []
    for n, room in zip(size, frame, strict=True):
        length, offset = min(n, room), (room - n) // 2
        target.append(slice(max(offset, 0), max(offset, 0) + length))
        origin.append(slice(max(-offset, 0), max(-offset, 0) + length))
    return tuple(target), tuple(origin)


def train_batches(
    x: Sequence[Any],
    y: Sequence[Any],
    augmentation: Augmentation,
    *,
    image_size: int,
    mode: str,
    batch_size: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> grain.MapDataset:
    """A random-access data set of unpaired batches, without end in practice; element i is step i's.

    Args:
      x: records of `Dataset.split("train_x")`.
      y: records of `Dataset.split("train_y")`.
      augmentation: of the training images.
      image_size: height and width of the batches.
      mode: of `fit`.
      batch_size: images of each domain in a batch, views counted.
      seed: of the order and the augmentation; both domains are shuffled on their own.
      share: (i, n) is the i-th of n equal, contiguous parts of each batch, whatever n is of the
        same batch; nothing else is read. n must divide `batch_size`.

    Returns:
      Elements `{"x": [B / n, H, W, 1], "y": [B / n, H, W, 1]}` float32 in [-1, 1].
    """
    part, parts = share
    whole, views_each = batch_size // augmentation.views, augmentation.views
    begin, end = (batch_size * p // parts for p in (part, part + 1))
    # the records whose views are in the share; a record's views may lie in two shares
    first, own = begin // views_each, -(-end // views_each) - begin // views_each
    skipped = begin - first * views_each

    def views(record: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
        image, _ = fit(from_storage(record["image"][..., 0]), (image_size, image_size), mode)
        return augmented(image, augmentation, rng)[..., None]

    def domain(records: Sequence[Any], number: int) -> grain.MapDataset:
        # an own seed for each domain, or both would be shuffled alike and come out paired
        order = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        source: Any = records
        shuffled = grain.MapDataset.source(source).seed(int(order)).shuffle()
        return shuffled.repeat(_IMAGES)[:_IMAGES].random_map(views)

    def merge_views(pair: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        images = (a.reshape(-1, *a.shape[2:]) for a in pair)
        return {d: a[skipped : skipped + end - begin] for d, a in zip("xy", images, strict=True)}

    zipped = grain.experimental.ZipMapDataset([domain(x, 0), domain(y, 1)])

    def record(index: int) -> Any:
        """The share's records, one batch after the other."""
        return zipped[index // own * whole + first + index % own]

    chosen = grain.MapDataset.range(_IMAGES // whole * own).map(record)
    return chosen.batch(own).map(merge_views)


def augmented(image: np.ndarray, a: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Random views of one image.

    Args:
      image: `[H, W]` in [-1, 1].
      a: what may change. The contrast change is a gamma curve with log gamma uniform in
        `[-contrast, contrast]`: it keeps air at -1 and the brightest at 1.
      rng: the randomness of this image at this step.

    Returns:
      `[views, H, W]`; four views are the image, its mirror image, its contrast change and both.
    """
    if a.shift:
        down, right = rng.integers(-a.shift, a.shift, size=2, endpoint=True).tolist()
        image = _shifted(image, down, right)
    gamma = float(np.exp(rng.uniform(-a.contrast, a.contrast))) if a.contrast else 1.0
    changed = _gamma(image, gamma) if a.contrast else image
    if a.views == 1:
        return (changed[:, ::-1] if a.flip and rng.random() < 0.5 else changed)[None]
    return np.stack([image, image[:, ::-1], changed, changed[:, ::-1]])


def _gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    return 2 * ((image + 1) / 2) ** np.float32(gamma) - 1


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = image.shape
    padded = np.pad(image, ((abs(down),) * 2, (abs(right),) * 2), constant_values=AIR)
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + height, left : left + width]


def batches(
    dataset: grain.MapDataset, start_step: int, workers: int
) -> Iterator[dict[str, np.ndarray]]:
    """Batches from `start_step` on, read ahead by threads or by `workers` processes."""
    if workers:
        rest = dataset[start_step:].to_iter_dataset(grain.ReadOptions(num_threads=1))
        options = grain.MultiprocessingOptions(num_workers=workers)
        return iter(rest.mp_prefetch(options, worker_init_fn=_begin_worker))
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return iter(dataset[start_step:].to_iter_dataset(options))


def _begin_worker(index: int, count: int) -> None:
    """Makes a worker process live as long as the run: neither shorter nor longer."""
    del index, count
    # a terminal's Ctrl-C and a scheduler's SIGTERM may go to the workers too, but the run still has
    # a step to finish
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A run that is killed cannot end its workers, which would wait for it for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Paired test images: `x` and `y` `[N, H, W, 1]`, `mask` of their own pixels, and `names`."""

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    names: list[str]

    @functools.cached_property
    def head(self) -> np.ndarray:
        """`head_mask` of the pairs."""
        return head_mask(self.x, self.y)


def head_mask(*images: np.ndarray) -> np.ndarray:
    """Where the head is: one mask for images of the same anatomy.

    Args:
      images: each `[N, H, W, 1]` in [-1, 1].

    Returns:
      bool `[N, H, W, 1]`: pixels above `intensity.HEAD`, a tenth of the range, in all images,
      and the holes of that within each slice, such as bone, and fluid in T1.
    """
    from scipy.ndimage import binary_fill_holes  # late: it would delay every start

    bright = np.logical_and.reduce([image > HEAD for image in images])
    return np.stack([np.asarray(binary_fill_holes(m[..., 0])) for m in bright])[..., None]


def spread(count: int, at_most: int) -> list[int]:
    """Indices of `at_most` of `count` things, spread evenly from the first to the last."""
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(int).tolist()


def subject_of_slice(name: str) -> str:
    """A slice of a volume is called `subject#index`, an image as its subject."""
    return name.split("#")[0]


def paired_images(
    x: Sequence[Any],
    y: Sequence[Any],
    names_x: Sequence[str],
    names_y: Sequence[str],
    *,
    image_size: int,
    mode: str,
    at_most: int | None = None,
) -> Pairs:
    """The slices that both domains have under one name, brought to `image_size`.

    All of them, or `at_most` that are spread evenly over them.

    Raises:
      InputError: no name is in both, or the two images of a pair differ in size.
    """
    index_x, index_y = ({n: i for i, n in enumerate(names)} for names in (names_x, names_y))
    common = [name for name in names_x if name in index_y]
    if not common:
        raise InputError("the data set has test images but no pair of equal names")
    common = [common[i] for i in spread(len(common), at_most or len(common))]
    shape = (len(common), image_size, image_size, 1)
    images = {"x": np.empty(shape, np.float32), "y": np.empty(shape, np.float32)}
    own = np.empty(shape, bool)
    for i, name in enumerate(common):
        a, b = x[index_x[name]]["image"][..., 0], y[index_y[name]]["image"][..., 0]
        if a.shape != b.shape:
            raise InputError(
                f"pair {name!r}: x is {a.shape[1]}x{a.shape[0]} pixels, y {b.shape[1]}x"
                f"{b.shape[0]}; register and resample one to the other"
            )
        for key, image in (("x", a), ("y", b)):
            framed, mask = fit(from_storage(image), (image_size, image_size), mode)
            images[key][i], own[i] = framed[..., None], mask[..., None]
    return Pairs(**images, mask=own, names=common)
