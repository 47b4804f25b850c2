"""Compares a scan with what is known of the training scans, before it is translated."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity, limits, slicing
from cyclegan_jax.data.familiarity import Limits, verdicts
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.formats.resampling import resample, resampled_shape
from cyclegan_jax.data.scan_measures import Voxel, measure, measure_volume
from cyclegan_jax.domains import CONTRASTS
from cyclegan_jax.translation.ensemble import Ensemble
from cyclegan_jax.translation.translator import Translator

_NAMED = 3  # differences that a refusal names; notes name all
_MADE_HERE = "cyclegan_jax "  # begins the description of what this program writes


def unlike_training(
    translator: Translator | Ensemble, scan: Volume | np.ndarray, source: Path, *, strict: bool
) -> list[str]:
    """Returns a line for everything in which a scan is not like the scans of training.

    Models that do not say what their training scans looked like, or learned from images and get a
    volume, say nothing.

    Args:
      translator: of one direction; of several models, each says its own.
      scan: a volume with dark air, or an image `[H, W]` of uint8 or uint16.
      source: where it came from, for the message.
      strict: whether such a scan is refused.

    Raises:
      InputError: the scan is refused.
    """
    members = translator.members if isinstance(translator, Ensemble) else (translator,)
    said = [
        _of_volume(member, scan) if isinstance(scan, Volume) else _of_image(member, scan)
        for member in members
    ]
    lines = translator.notes_of(said) if isinstance(translator, Ensemble) else said[0]
    if isinstance(scan, Volume) and _made_here(scan):
        lines = ["its header says that this program made it: it is a translation itself", *lines]
    if strict and lines:
        more = [f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
        raise InputError(
            f"{source}: is not like the training scans ({'; '.join([*lines[:_NAMED], *more])}); "
            "give a scan that is, or omit --strict"
        )
    return lines


def _of_volume(translator: Translator, volume: Volume) -> list[str]:
    own = _limits(translator, "volume")
    if own is None:
        return []
    voxel = own["voxel_mm"]
    if voxel is None:
        wanted = translator.spacing_wanted(volume.spacing)
    else:
        wanted = slicing.voxel((voxel[1], voxel[2]), voxel[0], translator.axis)
    data = volume.data
    if wanted is not None and not slicing.alike(wanted, volume.spacing):
        shape = resampled_shape(data.shape, volume.spacing, wanted)
        if math.prod(shape) > limits.MOST_VOXELS:
            return []  # translating says so
        data = resample(data, volume.spacing, wanted)
    try:
        slices = slicing.to_slices(data, translator.axis)
        found = measure_volume(slices, None if voxel is None else tuple(voxel))
    except ValueError:  # no head, as translating says
        return []
    return _verdicts(translator, own, found, slicing.slice_voxel(volume.spacing, translator.axis))


def _of_image(translator: Translator, pixels: np.ndarray) -> list[str]:
    own = _limits(translator, "image")
    if own is None:
        return []
    range_ = intensity.own_image_range(pixels, translator.source)
    found = measure(intensity.normalise(pixels, range_)[None])
    return _verdicts(translator, own, found, None)


def _limits(translator: Translator, kind: str) -> Limits | None:
    own = translator.training_scans.get(translator.direction.source)
    return own if own and own["kind"] == kind else None


def _verdicts(
    translator: Translator, own: Limits, found: dict[str, Any], native: Voxel | None
) -> list[str]:
    if not found:
        return []
    way = translator.direction
    other = translator.training_scans.get(way.target, {})
    contrasts = CONTRASTS[way.source], CONTRASTS[way.target]
    return verdicts(own, other, found, native, contrasts)


def _made_here(volume: Volume) -> bool:
    text = volume.source.header["descrip"].tobytes().rstrip(b"\0").decode(errors="replace")
    return text.startswith(_MADE_HERE)
