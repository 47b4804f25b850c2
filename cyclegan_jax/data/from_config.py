"""Gives what a config's `data` section stands for: the data set, its batches and its pairs."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grain

from cyclegan_jax import InputError, __version__
from cyclegan_jax.config import Config, image_size_multiple
from cyclegan_jax.data.augmentation import Augmentation
from cyclegan_jax.data.batches import unpaired_batches
from cyclegan_jax.data.dataset import Dataset, open_dataset
from cyclegan_jax.data.frames import Frames
from cyclegan_jax.data.framing import cropped_share, pixel_as_seen
from cyclegan_jax.data.intensity import HEAD, from_storage
from cyclegan_jax.data.manifest import labels_of
from cyclegan_jax.data.pairs import Pairs, paired_images, spread
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW
from cyclegan_jax.data.phantom.source import phantom_source
from cyclegan_jax.data.phantom.truth import is_phantom
from cyclegan_jax.data.preparation.write import prepare
from cyclegan_jax.domains import CONTRASTS, DOMAINS
from cyclegan_jax.system.runtime import cache_folder

# Training images of both domains that are kept at the networks' size, in every process that reads;
# larger sets are read again in each epoch.
_KEPT_BYTES = 2**30
_PHANTOM_HAS = "labels, measures"  # what a cached phantom must have that earlier ones lack
_SAGITTAL = "sagittal"
_LOOKED_AT = 64  # images of each split, to see whether heads fit
_MOST_CROPPED = 0.01  # of a head: noise and artefacts in the air count as head too


def data_folder(config: Config) -> Path:
    """Returns the folder of a config's prepared data set.

    Phantoms are kept in `runtime.cache_folder()`, in one folder for each setting and version, which
    need not exist yet.
    """
    if config.data.dir:
        return Path(config.data.dir).expanduser()
    key = json.dumps(_phantom_settings(config), sort_keys=True) + __version__ + _PHANTOM_HAS
    return cache_folder() / f"phantom-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def open_data(config: Config) -> Dataset:
    """Opens the prepared data set of a validated config; prepares phantoms on first use.

    Raises:
      InputError: `config.data.dir` is no prepared data set, or the cache cannot be written.
    """
    folder = data_folder(config)
    if config.data.dir or folder.exists():
        return open_dataset(folder)
    print(f"preparing phantom heads in {folder}", flush=True)
    try:
        return prepare(phantom_source(**_phantom_settings(config)), folder)
    except InputError as error:
        if folder.exists():  # another process finished the same phantoms first
            return open_dataset(folder)
        raise InputError(
            f"{error}; the phantoms need a cache folder: set XDG_CACHE_HOME to a folder of yours "
            "with room"
        ) from error


def _phantom_settings(config: Config) -> dict[str, Any]:
    return {**config.data.phantom.to_dict(), "size": config.image_size}


def training_batches(
    config: Config, dataset: Dataset, share: tuple[int, int] = (0, 1)
) -> grain.MapDataset:
    """Returns the endless random-access data set of training batches; element i is step i's.

    `share` is (i, n) for the i-th of n equal parts of each batch, see `batches.unpaired_batches`.

    Slices along the sagittal axis are never mirrored: left and right of their pixels are the front
    and the back of the head, which are not alike.

    Raises:
      InputError: the data set has no training image of a domain, or mirrored images are asked for
        of sagittal slices.
    """
    d = config.data
    if dataset.axis == _SAGITTAL and d.views > 1:
        raise InputError(
            f"config.data.views = {d.views}: {dataset.folder} has sagittal slices, and half of the "
            "views would have front and back of the head interchanged; set it to 1"
        )
    if dataset.axis == _SAGITTAL and config.average_mirrored:
        raise InputError(
            f"config.average_mirrored = True: {dataset.folder} has sagittal slices, whose mirror "
            "images have front and back of the head interchanged; set it to False"
        )
    for domain, contrast in CONTRASTS.items():
        if not dataset.names(f"train_{domain}"):
            raise InputError(f"{dataset.folder} has no {contrast} training image")
    return unpaired_batches(
        *_frames(config, dataset),
        Augmentation(d.views, d.flip and dataset.axis != _SAGITTAL, d.contrast, d.shift),
        batch_size=config.batch_size,
        seed=config.seed,
        share=share,
        on_device=config.augment_on_device,
    )


def _frames(config: Config, dataset: Dataset) -> tuple[Frames, Frames]:
    """Returns the training images of both domains, which stay in memory if there is room."""
    made = [
        Frames(dataset.split(f"train_{domain}"), config.image_size, config.data.fit)
        for domain in DOMAINS
    ]
    keep = sum(frames.bytes for frames in made) <= _KEPT_BYTES
    x, y = (frames.kept() if keep else frames for frames in made)
    return x, y


def cropped_heads(config: Config, dataset: Dataset, splits: Iterable[str] = ()) -> str:
    """Says that `data.fit = "pad"` crops heads and what to do, or returns "" if it crops only air.

    It looks at some images of each of `splits`, by default of all, and only where the images are
    larger than the networks' frame.
    """
    size = config.image_size
    worst, largest = 0.0, (0, 0)
    for split in splits or dataset.image_splits:
        height, width = (max(sides) for sides in zip(*dataset.sizes(split), strict=True))
        if config.data.fit != "pad" or max(height, width) <= size:
            continue
        largest = (max(largest[0], height), max(largest[1], width))
        records = dataset.split(split)
        for index in spread(len(records), _LOOKED_AT):
            image = from_storage(records[index]["image"][..., 0])
            worst = max(worst, cropped_share(image > HEAD, (size, size)))
    if worst <= _MOST_CROPPED:
        return ""
    multiple = image_size_multiple(config)
    enough = -(-max(largest) // multiple) * multiple
    return (
        f"{dataset.folder}: images of up to {largest[1]}x{largest[0]} pixels are cropped to "
        f"config.image_size = {size}, up to {100 * worst:.0f} % of the head in an image; set "
        f"config.data.fit=resize, or config.image_size={enough}"
    )


def notes_on_training(config: Config, dataset: Dataset) -> list[str]:
    """Returns what a user must know of how the data are trained on, a line each."""
    notes = [cropped] if (cropped := cropped_heads(config, dataset)) else []
    if config.data.flip and config.data.views == 1 and dataset.axis == _SAGITTAL:
        notes.append(
            "sagittal slices are not flipped, though config.data.flip is True: front and back of "
            "the head would be interchanged"
        )
    return notes


def scored_pairs(config: Config, dataset: Dataset, split: str, at_most: int | None = None) -> Pairs:
    """Returns the pairs of `split` ("val" or "test") at the config's image size.

    These are all of them, or `at_most` of them, spread evenly over all.

    Raises:
      InputError: the data set has no such split, or no pairs in it.
    """
    x, y = f"{split}_x", f"{split}_y"
    if not (dataset.has(x) and dataset.has(y)):
        flag = "--holdout" if split == "test" else "--validation"
        raise InputError(
            f"{dataset.folder} has no {split} pairs; prepare it with {flag}, or --{x} and --{y}"
        )
    labels = labels_of(split)
    has_labels = dataset.has(labels)
    return paired_images(
        dataset.split(x),
        dataset.split(y),
        dataset.names(x),
        dataset.names(y),
        image_size=config.image_size,
        mode=config.data.fit,
        at_most=at_most,
        labels=dataset.split(labels) if has_labels else (),
        names_labels=dataset.names(labels) if has_labels else (),
        tissues=dataset.label_names,
        regions=dataset.region_names,
    )


def voxel_of_pairs(
    config: Config, dataset: Dataset, split: str
) -> tuple[float, float, float] | None:
    """Returns height, width and distance in mm of the voxels of pairs as the networks see them.

    It is None where one of them is not known, as of images and stacks, or where images of several
    sizes are scaled to the networks' frame.
    """
    pixel = dataset.manifest["domains"]["x"].get("pixel_mm")
    between = dataset.manifest["source"].get("slice_mm", {}).get("x")
    sizes = dataset.sizes(f"{split}_x")
    if pixel is None or between is None or (config.data.fit == "resize" and len(sizes) > 1):
        return None
    height, width = pixel_as_seen(
        (pixel[0], pixel[1]), sizes[0], image_size=config.image_size, mode=config.data.fit
    )
    return height, width, between


def pixels_seen(config: Config, dataset: Dataset) -> dict[str, tuple[float, float]]:
    """Returns height and width in mm of the training images' pixels as the networks see them.

    Domains of which it is not known are left out: images and stacks have no pixel size.
    """
    found = {}
    for domain in DOMAINS:
        sizes = dataset.manifest["splits"][f"train_{domain}"]["sizes"]
        pixel = dataset.manifest["domains"][domain].get("pixel_mm")
        if not sizes or not (pixel or is_phantom(dataset)):
            continue
        size = sizes[len(sizes) // 2]
        height, width = pixel or (FIELD_OF_VIEW / size[0], FIELD_OF_VIEW / size[1])
        found[domain] = pixel_as_seen(
            (height, width), size, image_size=config.image_size, mode=config.data.fit
        )
    return found


def monitoring_split(dataset: Dataset) -> str | None:
    """Returns the split that is scored during training: "val", else "test", else None."""
    return next((s for s in ("val", "test") if dataset.has(f"{s}_x")), None)


def scored_split(dataset: Dataset, wanted: str = "") -> str:
    """Returns the split that a checkpoint is scored on.

    It is `wanted` if that is given, else "test", else "val", else "train".

    Raises:
      InputError: there is no such split with both domains.
    """
    held_out = [s for s in ("test", "val") if dataset.has(f"{s}_x") and dataset.has(f"{s}_y")]
    there_are = [*held_out, "train"]
    if wanted and wanted not in there_are:
        raise InputError(f"--split={wanted}: {dataset.folder} has {', '.join(there_are)}")
    return wanted or there_are[0]
