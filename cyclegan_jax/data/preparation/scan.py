"""What a data set is made of: scans of both domains, split by subject; those of the phantom.

A `Source` lists scans for each split and domain ("train_x", "train_y", "val_x", …) without reading
their voxels; `mri_slices.prepare` reads a few at a time, on as many threads as there are cores.
"""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cyclegan_jax.data.intensity import (
    IntensityRange,
    foreground,
    normalise,
    saturated,
    volume_range,
)
from cyclegan_jax.data.phantom.head import make_phantom

_MOST_WORKERS = 8  # each holds a scan in memory
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclasses.dataclass(frozen=True)
class ScanImages:
    """The slices of one scan.

    `images` maps a name, unique in its split and the same for the paired slice of the other
    domain, to a `[H, W]` float32 image in [-1, 1]; `intensity` is what -1 and 1 stand for, `shape`
    is that of the whole scan `[N, H, W]`, with the slices that were left out. `clipped` is the
    fraction of a volume's head voxels that lie on its maximum. `corners` `[8, 3]` are where a
    volume lies, see `Volume.corners`; None of other scans.
    """

    images: dict[str, np.ndarray]
    intensity: IntensityRange
    shape: tuple[int, ...]
    clipped: float = 0.0
    corners: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Scan:
    """One scan of one contrast, read when `read` is called.

    `name` is the subject's, followed by `#` and more where the subject has several; it is unique
    in its split and domain, and the partner's in a pair. `path` is the file or the folder of a
    DICOM series, None of a phantom.
    """

    name: str
    read: Callable[[], ScanImages]
    path: Path | None = None

    @property
    def subject(self) -> str:
        return self.name.split("#")[0]


@dataclasses.dataclass(frozen=True)
class Source:
    """Scans for each split, facts for the manifest, and notes: what a user must know of them.

    `dtypes` has the stored type of each domain's files: "uint8", "uint16", or "float32" for
    volumes and phantoms, whose values have no fixed scale. `pixels` has the height and width in mm
    of a pixel of each domain, where that is known.
    """

    splits: dict[str, list[Scan]]
    dtypes: dict[str, str]
    facts: dict[str, Any]
    notes: list[str] = dataclasses.field(default_factory=list)
    pixels: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


def in_order(
    function: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None
) -> Iterator[_R]:
    """`function` of each item, in their order, worked out by threads a little ahead of its use.

    At most `workers` results (default: one for each core, at most 8) exist at once, the one in use
    among them, so that memory does not grow with the number of items.
    """
    workers = workers or min(os.cpu_count() or 1, _MOST_WORKERS)
    ahead: collections.deque[Future[_R]] = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            if len(ahead) == workers:
                yield ahead.popleft().result()
            ahead.append(pool.submit(function, item))
        while ahead:
            yield ahead.popleft().result()


def phantom_source(
    *,
    subjects: int,
    held_out: int,
    unpaired: str,
    slices: int,
    lesions: bool,
    noise: float,
    bias: float,
    size: int,
) -> Source:
    """Phantom heads to train on, further ones to validate on and others to test on.

    Args:
      subjects: number of training heads, at least 2.
      held_out: number of heads in each of "val" and "test"; they come in both contrasts.
      unpaired: "disjoint" divides the training heads between the domains, "shared" trains both
        domains on all.
      slices: axial slices of each head.
      lesions: whether white-matter lesions occur.
      noise: sd of the noise, relative to white matter.
      bias: largest relative change by the bias field.
      size: height and width in pixels.
    """

    def scan(subject: int, domain: str) -> Scan:
        def read() -> ScanImages:
            phantom = make_phantom(
                subject, size=size, slices=slices, lesions=lesions, noise=noise, bias=bias
            )
            return volume_images(phantom.t1 if domain == "x" else phantom.t2, name)

        name = f"phantom{subject:04d}"
        return Scan(name, read)

    heads = list(range(subjects + 2 * held_out))
    val, test, train = heads[:held_out], heads[held_out : 2 * held_out], heads[2 * held_out :]
    members = {"train_x": train, "train_y": train}
    if unpaired == "disjoint":
        members = {"train_x": train[::2], "train_y": train[1::2]}
    for name, group in (("val", val), ("test", test)):
        members |= {f"{name}_x": group, f"{name}_y": group}
    splits = {name: [scan(s, name[-1]) for s in group] for name, group in members.items()}
    facts = {"kind": "phantom", "unpaired": unpaired, "slices_per_head": slices}
    facts |= {"lesions": lesions, "noise": noise, "bias": bias}
    return Source(splits, {"x": "float32", "y": "float32"}, facts)


def volume_images(slices: np.ndarray, name: str, min_head: float = 0.0) -> ScanImages:
    """Normalises a whole volume `[N, H, W]` at once, never slice by slice.

    Slices with a smaller fraction of head than `min_head` are left out.
    Raises ValueError where none is left or the volume has no foreground.
    """
    head = foreground(slices)
    intensity = volume_range(slices, head)
    chosen = head.mean(axis=(1, 2)) >= min_head
    if not chosen.any():
        raise ValueError(f"no slice has a head fraction of {min_head}; lower --min_head")
    kept = {f"{name}#{i:03d}": normalise(s, intensity) for i, s in enumerate(slices) if chosen[i]}
    return ScanImages(kept, intensity, slices.shape, saturated(slices, head))


def stack_images(slices: np.ndarray, name: str) -> ScanImages:
    """All slices of a stack `[N, H, W]`, whose maximum is 1 and whose 0 is -1.

    So SynDiff scales its stacks, which hold slices that somebody has chosen, of several heads.
    Raises ValueError where no value is above 0.
    """
    intensity = IntensityRange(0.0, float(slices.max()))
    if intensity.high <= 0:
        raise ValueError("no value is above 0; give a stack with contrast")
    named = {f"{name}#{i:03d}": normalise(s, intensity) for i, s in enumerate(slices)}
    return ScanImages(named, intensity, slices.shape)
