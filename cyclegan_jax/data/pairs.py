"""Matches the slices of validation and test scans that both domains have under one name."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data.framing import fit, fit_labels
from cyclegan_jax.data.intensity import from_storage, head_mask


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Paired images of the two domains.

    Attributes:
      x: `[N, H, W, 1]` float32 in [-1, 1].
      y: the same anatomy in the other contrast.
      mask: bool `[N, H, W, 1]`, the pixels that come from the images and are no padding.
      names: of the N slices.
      labels: uint16 `[N, H, W]`, the label of each pixel, 0 outside the brain; None if no pair has
        labels.
      tissues: the labels of each tissue that has a name.
      regions: the own name of each label that has one.
    """

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    names: list[str]
    labels: np.ndarray | None = None
    tissues: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    regions: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def brain(self) -> np.ndarray | None:
        """The pixels inside the labels, bool `[N, H, W, 1]`; None if no pair has labels."""
        return None if self.labels is None else self.labels[..., None] > 0

    @functools.cached_property
    def head(self) -> np.ndarray:
        """The head mask of each pair, bool `[N, H, W, 1]`; see `intensity.head_mask`."""
        return head_mask(self.x, self.y)


def paired_images(
    x: Sequence[Any],
    y: Sequence[Any],
    names_x: Sequence[str],
    names_y: Sequence[str],
    *,
    image_size: int,
    mode: str,
    at_most: int | None = None,
    labels: Sequence[Any] = (),
    names_labels: Sequence[str] = (),
    tissues: Mapping[str, Sequence[int]] | None = None,
    regions: Mapping[int, str] | None = None,
) -> Pairs:
    """Returns the slices that both domains have under one name, brought to `image_size`.

    These are all of them, or `at_most` of them, spread evenly over all.

    Args:
      x: records of the T1-weighted images, see `dataset.Dataset.split`.
      y: records of the T2-weighted images.
      names_x: of the slices of `x`, in the order of the records.
      names_y: of the slices of `y`.
      image_size: height and width of the result.
      mode: "pad" or "resize", see `framing.fit`.
      at_most: the largest number of pairs; None takes all.
      labels: records of the labels of pairs, if there are any; pairs without get labels of 0.
      names_labels: of the slices of `labels`.
      tissues: the labels of each tissue that has a name.
      regions: the own name of each label that has one.

    Raises:
      InputError: no name is in both, or the images and the labels of a pair differ in size.
    """
    index_x, index_y, index_labels = (
        {n: i for i, n in enumerate(names)} for names in (names_x, names_y, names_labels)
    )
    common = [name for name in names_x if name in index_y]
    if not common:
        raise InputError(
            "no slice has one name in both domains; give the two scans of a pair equal names"
        )
    common = [common[i] for i in spread(len(common), at_most or len(common))]
    shape = (len(common), image_size, image_size, 1)
    images = {"x": np.empty(shape, np.float32), "y": np.empty(shape, np.float32)}
    own = np.empty(shape, bool)
    of_slices = np.zeros(shape[:-1], np.uint16)
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
        if name in index_labels:
            of_pixels = labels[index_labels[name]]["image"][..., 0]
            if of_pixels.shape != a.shape:
                raise InputError(f"pair {name!r}: its labels have another size; prepare them again")
            of_slices[i] = fit_labels(of_pixels, (image_size, image_size), mode)
    known = of_slices if of_slices.any() else None
    names = {"tissues": tissues or {}, "regions": regions or {}}
    return Pairs(**images, mask=own, names=common, labels=known, **names)


def spread(count: int, at_most: int) -> list[int]:
    """Returns indices of `at_most` of `count` things, spread evenly from the first to the last."""
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(int).tolist()
