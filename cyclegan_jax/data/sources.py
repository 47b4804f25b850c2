"""What a data set is made of: scans of both domains, split by subject; those of the phantom.

A `Source` lists scans for each split and domain ("train_x", "train_y", "val_x", …) without reading
their voxels; `mri_slices.prepare` reads them one at a time.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cyclegan_jax.data.intensity import IntensityRange, foreground, normalise, volume_range
from cyclegan_jax.data.phantom import make_phantom


@dataclasses.dataclass(frozen=True)
class ScanImages:
    """The slices of one scan.

    `images` maps a name, unique in its split and the same for the paired slice of the other
    domain, to a `[H, W]` float32 image in [-1, 1]; `intensity` is what -1 and 1 stand for, `shape`
    is that of the whole scan `[N, H, W]`, with the slices that were left out.
    """

    images: dict[str, np.ndarray]
    intensity: IntensityRange
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Scan:
    """One subject's scan of one contrast, read when `read` is called."""

    subject: str
    read: Callable[[], ScanImages]


@dataclasses.dataclass(frozen=True)
class Source:
    """Scans for each split, and facts for the manifest.

    `dtypes` has the stored type of each domain's files: "uint8", "uint16", or "float32" for
    volumes and phantoms, whose values have no fixed scale.
    """

    splits: dict[str, list[Scan]]
    dtypes: dict[str, str]
    facts: dict[str, Any]


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


def volume_images(slices: np.ndarray, subject: str, min_head: float = 0.0) -> ScanImages:
    """Normalises a whole volume `[N, H, W]` at once, never slice by slice."""
    intensity = volume_range(slices)
    head = foreground(slices).mean(axis=(1, 2)) >= min_head
    if not head.any():
        raise ValueError(f"no slice has a head fraction of {min_head}; lower --min_head")
    images = normalise(slices, intensity)
    names = (f"{subject}#{i:03d}" for i in range(len(images)))
    return ScanImages(
        {name: image for name, image, keep in zip(names, images, head, strict=True) if keep},
        intensity,
        images.shape,
    )
