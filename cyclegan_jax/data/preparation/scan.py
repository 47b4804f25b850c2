"""Says what a data set is made of: scans of both domains, divided into splits.

A `Source` lists scans for each split and domain ("train_x", "train_y", "val_x", …) and does not
read their voxels; `write.prepare` reads a few scans at a time.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax.data.intensity import (
    IntensityRange,
    foreground,
    normalise,
    saturated,
    stack_range,
    volume_range,
)
from cyclegan_jax.data.scan_measures import Voxel, measure, measure_volume
from cyclegan_jax.data.slicing import index_of_slice, slice_name, subject_of_slice

_MOST_BELOW_AIR = 0.1  # of a stack's values that are not 0; z-scored tissue has half


@dataclasses.dataclass(frozen=True)
class ScanImages:
    """The normalised slices of one scan.

    Attributes:
      images: maps a name to a `[H, W]` float32 image in [-1, 1]. A name is unique in its split, and
        it is the same for the paired slice of the other domain.
      intensity: the source intensities that became -1 and 1.
      shape: of the whole scan `[N, H, W]`, the slices that were left out included.
      clipped: the fraction of a volume's head voxels that lie on its maximum.
      corners: `[8, 3]`, where a volume lies, see `Volume.corners`; None for other scans.
      notes: what a user must know of how the scan was read, see `Volume.notes`.
      head_ml: how much of a volume is brighter than air, in ml; None where it is not known.
      labels: maps the names of `images` to uint16 `[H, W]` labels; empty if there is no label map.
      measures: what the whole scan looks like, see `scan_measures`; empty where it is not measured.
      native_mm: the voxel of a volume's file in mm, from slice to slice, in height and in width.
    """

    images: dict[str, np.ndarray]
    intensity: IntensityRange
    shape: tuple[int, ...]
    clipped: float = 0.0
    corners: np.ndarray | None = None
    notes: Sequence[str] = ()
    head_ml: float | None = None
    labels: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    measures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    native_mm: Voxel | None = None

    def with_labels(self, slices: np.ndarray | None) -> "ScanImages":
        """Returns the same images with labels: `slices` `[N, H, W]` of the whole scan, or None."""
        if slices is None:
            return self
        names = list(self.images)
        chosen = [0] if len(slices) == 1 else [index_of_slice(name) for name in names]
        labels = {n: slices[i].astype(np.uint16) for n, i in zip(names, chosen, strict=True)}
        return dataclasses.replace(self, labels=labels)

    @classmethod
    def of_image(cls, image: np.ndarray, name: str, intensity: IntensityRange) -> "ScanImages":
        """Normalises one image `[H, W]` by the range of its domain's training images."""
        shown = normalise(image, intensity)
        return cls({name: shown}, intensity, (1, *image.shape), measures=measure(shown[None]))

    @classmethod
    def of_volume(
        cls,
        slices: np.ndarray,
        name: str,
        min_head: float = 0.0,
        below: int | None = None,
        voxel: Voxel | None = None,
    ) -> "ScanImages":
        """Normalises a whole volume `[N, H, W]` at once, never slice by slice.

        Slices with a smaller fraction of head than `min_head` are left out. So are those more than
        `below` slices before the last one that is left, the vertex if slices are axial. `voxel` is
        the size of `slices` in mm, where it is known.
        Raises ValueError if none is left, or if the volume has no foreground.
        """
        head = foreground(slices)
        intensity = volume_range(slices, head)
        chosen = head.mean(axis=(1, 2)) >= min_head
        if not chosen.any():
            raise ValueError(f"no slice has a head fraction of {min_head}; lower --min_head")
        if below is not None:
            chosen[: max(0, np.flatnonzero(chosen)[-1] - below)] = False
        images = {
            slice_name(name, i): normalise(s, intensity) for i, s in enumerate(slices) if chosen[i]
        }
        measures = measure_volume(slices, voxel)
        return cls(images, intensity, slices.shape, saturated(slices, head), measures=measures)

    @classmethod
    def of_stack(cls, slices: np.ndarray, name: str) -> "ScanImages":
        """Normalises a stack `[N, H, W]` by its maximum and keeps all slices.

        Raises ValueError if no value is above 0, or if 0 cannot be air.
        """
        intensity = stack_range(slices)
        if np.count_nonzero(slices < 0) > _MOST_BELOW_AIR * np.count_nonzero(slices):
            raise ValueError(
                "more than a tenth of its values is below 0, which is taken for air; give a stack "
                "that is not z-scored, or shift it so that air is 0"
            )
        images = {slice_name(name, i): normalise(s, intensity) for i, s in enumerate(slices)}
        return cls(images, intensity, slices.shape)


@dataclasses.dataclass(frozen=True)
class Scan:
    """One scan of one contrast, which is read when `read` is called.

    `name` is the subject's, followed by `#` and more if the subject has several scans. It is unique
    in its split and domain, and the partner in a pair has the same. `path` is the file or the
    folder of a DICOM series, and None for a phantom. `labels` is its label map, if one is read.
    """

    name: str
    read: Callable[[], ScanImages]
    path: Path | None = None
    labels: Path | None = None

    @property
    def subject(self) -> str:
        """The name of the person."""
        return subject_of_slice(self.name)


@dataclasses.dataclass(frozen=True)
class Source:
    """The scans of a data set to be prepared, and what its manifest says of them.

    Attributes:
      splits: scans for each split and domain, for example "train_x".
      dtypes: the stored type of each domain's files: "uint8", "uint16", or "float32" for volumes
        and phantoms, whose values have no fixed scale.
      facts: where the scans come from and how they were chosen, for the manifest.
      notes: lines that a user must know and that are no errors.
      pixels: height and width in mm of a pixel of each domain, if they are known.
      label_names: the labels of each tissue that has a name.
      region_names: the own name of each label that has one.
      groups: of subjects that belong to one, such as "patient".
    """

    splits: dict[str, list[Scan]]
    dtypes: dict[str, str]
    facts: dict[str, Any]
    notes: list[str] = dataclasses.field(default_factory=list)
    pixels: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    label_names: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    region_names: dict[int, str] = dataclasses.field(default_factory=dict)
    groups: dict[str, str] = dataclasses.field(default_factory=dict)
