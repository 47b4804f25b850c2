"""Translates one volume, at its own voxel size or at that of training."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cyclegan_jax.data import limits
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.formats.resampling import resample as resample_volume
from cyclegan_jax.data.formats.resampling import resampled_shape
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.translation.translator import Translator


@dataclasses.dataclass(frozen=True)
class TranslatedVolume:
    """A translation on the grid of its source.

    Attributes:
      data: float32 `[X, Y, Z]` in the target domain's reference range.
      cycle_error: see `Translator.cycle_error`; None if it was not asked for.
      source_range: the intensities of the source that became -1 and 1.
      notes: what the user must know, a line each.
      sd: the standard deviation of several models, in the intensities of `data`; None for one.
      interval: lower and upper end of the calibrated interval; None if it was not asked for.
    """

    data: np.ndarray
    cycle_error: np.ndarray | None
    source_range: IntensityRange
    notes: list[str]
    sd: np.ndarray | None = None
    interval: tuple[np.ndarray, np.ndarray] | None = None


def translate_volume(
    translator: Translator,
    volume: Volume,
    *,
    resample: bool = True,
    cycle_error: bool = False,
    level: float | None = None,
) -> TranslatedVolume:
    """Translates a volume.

    Args:
      translator: of one checkpoint and direction.
      volume: what to translate.
      resample: whether a volume in which the networks would see pixels of another size than in
        training is brought to the voxel size of training first, and its translation back to its
        own grid. Where that size is not known, nothing is resampled.
      cycle_error: whether the cycle error is computed too.
      level: of the interval that is computed too, one of `intervals.LEVELS`; None computes none.

    Raises:
      ValueError: the volume has no head, or too many voxels at the voxel size of training.
      InputError: a translated value is not finite.
    """
    wanted = _Wanted(cycle_error, level)
    made = _translate_at(translator, volume, wanted, resample=resample)
    seen = volume.data, volume.spacing
    notes = [note for note in (translator.head_note(*seen), translator.below_note(*seen)) if note]
    return dataclasses.replace(made, notes=[*notes, *made.notes])


class _Wanted(NamedTuple):
    """What is computed besides a translation."""

    cycle_error: bool
    level: float | None


def _translate_at(
    translator: Translator, volume: Volume, also: _Wanted, *, resample: bool
) -> TranslatedVolume:
    note = translator.pixel_note(volume.data.shape, volume.spacing)
    wanted = translator.spacing_wanted(volume.spacing) if resample and note else None
    jump = translator.slice_jump_at(wanted or volume.spacing)
    translator = dataclasses.replace(translator, slice_jump=jump)
    if wanted is None:
        made = _translate(translator, volume.data, volume.spacing, also)
        return dataclasses.replace(made, notes=[*made.notes, note]) if note else made
    # At the pixels that the networks saw, no slice has to be scaled.
    translator = dataclasses.replace(translator, mode="pad")
    shape = resampled_shape(volume.data.shape, volume.spacing, wanted)
    sizes = _mm(volume.spacing), _mm(wanted)
    if math.prod(shape) > limits.MOST_VOXELS:
        raise ValueError(f"too many voxels if {sizes[0]} become {sizes[1]}; crop it")
    data = resample_volume(volume.data, volume.spacing, wanted)
    made = _translate(translator, data, wanted, also)

    def back(data: np.ndarray) -> np.ndarray:
        return resample_volume(data, wanted, volume.spacing, volume.data.shape)

    note = (
        f"the scan was resampled from {sizes[0]} to {sizes[1]}, as in training, and the result back"
    )
    return TranslatedVolume(
        back(made.data),
        None if made.cycle_error is None else back(made.cycle_error),
        made.source_range,
        [*made.notes, note],
        interval=None if made.interval is None else _ordered(*map(back, made.interval)),
    )


def _ordered(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of intervals after resampling, which overshoots at edges."""
    return np.minimum(lower, upper), np.maximum(lower, upper)


def _translate(
    translator: Translator,
    data: np.ndarray,
    spacing: tuple[float, float, float],
    also: _Wanted,
) -> TranslatedVolume:
    view = translator.view(data)
    made = translator.volume(data, view)
    error = translator.cycle_error(data, view, made) if also.cycle_error else None
    interval = None
    if also.level is not None:
        interval = translator.interval(data, view, made, spacing, also.level)
    return TranslatedVolume(made, error, view.range, view.notes, interval=interval)


def _mm(sizes: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in sizes) + " mm"
