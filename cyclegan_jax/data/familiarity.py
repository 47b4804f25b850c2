"""Says where a scan is not like the training scans, by limits that the training scans set."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.data.scan_measures import (
    BINS,
    QUANTITIES,
    Voxel,
    check_measures,
    form_of,
    form_text,
)

# Of a scan like those of training, that a measure lies beyond its limit.
_ALARM = 1e-3
_COARSER = 1.5  # than the voxels of training
_FEWEST = 3  # scans that set limits
_NEARER = 0.5  # of the distance from the own contrast: what makes a scan one of the other contrast
_TURNED = 0.5  # of the distance from the form of training: that of the right orientation
_AXES_WITH_SIGNS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]

# What the scans of one domain set: "scans" (their number), "kind" ("volume" or "image"), "voxel_mm"
# (at which they were measured, see `scan_measures.Voxel`, or null), "native_mm" (the largest
# voxels of their files, or null), "histogram" and "form" (their means), and "limits":
# `{measure: [least, most, low, high]}`, where the first two were seen, and the last two are where a
# note begins. Besides `QUANTITIES` the measures are "contrast", the distance of a histogram from
# the mean, and "unlike_form", 1 minus the correlation of a form with the mean.
Limits = Mapping[str, Any]


def limits_of(
    measures: Sequence[Mapping[str, Any]],
    kind: str,
    voxel: Sequence[float] | None,
    native: Sequence[float] | None,
) -> dict[str, Any]:
    """Returns what the scans of a domain set, `Limits`, or nothing for fewer than three.

    A limit is the end of the interval in which the next scan of the same population lies with a
    probability of 0.999, if the measure is normally distributed.

    Args:
      measures: of each scan, see `scan_measures.measure`.
      kind: "volume" or "image".
      voxel: at which they were measured.
      native: the largest voxels of their files.
    """
    whole = [found for found in measures if found]
    if len(whole) < _FEWEST:
        return {}
    values = {
        name: np.array([found[name] for found in whole])
        for name in QUANTITIES
        if all(name in found for found in whole)
    }
    histograms = np.array([found["histogram"] for found in whole])
    forms = np.array([form_of(found["form"]) for found in whole])
    values["contrast"] = _left_out(histograms, _distance)
    values["unlike_form"] = _left_out(forms, _unlike)
    return {
        "scans": len(whole),
        "kind": kind,
        "voxel_mm": None if voxel is None else list(voxel),
        "native_mm": None if native is None else list(native),
        "histogram": np.round(histograms.mean(axis=0), 5).tolist(),
        "form": form_text(forms.mean(axis=0)),
        "limits": {name: _limit(found) for name, found in values.items()},
    }


def verdicts(
    own: Limits,
    other: Limits,
    measures: Mapping[str, Any],
    native: Voxel | None,
    contrasts: tuple[str, str],
) -> list[str]:
    """Returns a line for each measure of a scan that lies outside of the limits.

    Args:
      own: of the training scans of the scan's own domain.
      other: of the other domain; may be empty.
      measures: of the scan, at the voxel size of `own`.
      native: the voxels of its file in mm, or None.
      contrasts: the labels of the own and the other domain.
    """
    lines = [_contrast(own, other, measures, contrasts), _coarse(own, native)]
    for name, quantity in QUANTITIES.items():
        if name not in own["limits"] or name not in measures:
            continue
        least, most, low, high = own["limits"][name]
        value = measures[name]
        if value > high and quantity.more:
            seen = f"{shown(value)} against at most {shown(most)}{quantity.unit}"
            lines.append(f"{quantity.more} than any training scan: {seen}")
        if value < low and quantity.less:
            seen = f"{shown(value)} against at least {shown(least)}{quantity.unit}"
            lines.append(f"{quantity.less} than any training scan: {seen}")
    lines.append(_form(own, measures))
    return [line for line in lines if line]


def check_limits(limits: Any) -> None:
    """Raises KeyError, TypeError, AttributeError or ValueError for what are no `Limits`."""
    if not limits:
        return
    check_measures({"histogram": limits["histogram"], "form": limits["form"]})
    if limits["kind"] not in ("volume", "image") or type(limits["scans"]) is not int:
        raise ValueError(f"no kind of limits can be {str(limits['kind'])[:80]!r}")
    numbers = [*limits["limits"].values()]
    for size in (limits["voxel_mm"], limits["native_mm"]):
        if size is not None:
            numbers.append([*size, 1.0])
            if min(size) <= 0:
                raise ValueError(f"no voxel can be {str(size)[:80]!r}")
    if not {"contrast", "unlike_form"} <= limits["limits"].keys():
        raise ValueError("limits lack a measure")
    for four in numbers:
        if len(four) != 4 or not all(type(v) in (int, float) and abs(v) < 1e12 for v in four):
            raise ValueError(f"no limits can be {str(four)[:80]!r}")


def shown(value: float) -> str:
    """Returns a measure as messages and tables show it."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _limit(values: np.ndarray) -> list[float]:
    """Returns least, most, and where the interval of the next value begins and ends."""
    from scipy.special import stdtrit  # late: it would delay every start

    n, mean = len(values), float(values.mean())
    reach = float(stdtrit(n - 1, 1 - _ALARM / 2) * values.std(ddof=1) * math.sqrt(1 + 1 / n))
    least, most = float(values.min()), float(values.max())
    limits = (least, most, min(mean - reach, least), max(mean + reach, most))
    return [float(f"{v:.5g}") for v in limits]


def _left_out(values: np.ndarray, distance: Any) -> np.ndarray:
    """Returns the distance of each of `values` from the mean of the others."""
    total = values.sum(axis=0)
    return np.array([distance(v, (total - v) / (len(values) - 1)) for v in values])


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the earth mover's distance of two histograms, in parts of the range."""
    return float(np.abs(np.cumsum(np.asarray(a) - np.asarray(b))).sum() / BINS)


def _unlike(a: np.ndarray, b: np.ndarray) -> float:
    """Returns 1 minus the correlation of two forms; a constant one is like nothing."""
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return 1 - float((a * b).sum()) / norm if norm else 1.0


def _contrast(
    own: Limits, other: Limits, measures: Mapping[str, Any], contrasts: tuple[str, str]
) -> str:
    _, most, _, high = own["limits"]["contrast"]
    found = _distance(measures["histogram"], own["histogram"])
    if found <= high:
        return ""
    seen = f"{found:.3g} against at most {most:.3g}"
    if other and other["kind"] == own["kind"]:
        apart = _distance(measures["histogram"], other["histogram"])
        if apart < _NEARER * found:
            return (
                f"intensities in the head more like a {contrasts[1]} scan than a {contrasts[0]} "
                f"scan: they differ by {seen} from the {contrasts[0]} training scans, and by "
                f"{apart:.3g} from the {contrasts[1]} training scans"
            )
    return (
        f"intensities in the head unlike any {contrasts[0]} training scan: they differ by {seen} "
        "(another contrast or sequence, shading, or no whole head)"
    )


def _coarse(own: Limits, native: Voxel | None) -> str:
    trained = own["native_mm"]
    if trained is None or native is None:
        return ""
    if all(size <= _COARSER * most for size, most in zip(native, trained, strict=True)):
        return ""
    sizes = [" x ".join(f"{n:.4g}" for n in size) for size in (native, trained)]
    return (
        f"larger voxels than any training scan: {sizes[0]} mm against at most {sizes[1]} mm (from "
        "slice to slice, height, width)"
    )


def _form(own: Limits, measures: Mapping[str, Any]) -> str:
    """Says that the head lies otherwise than in training, or has another form."""
    _, most, _, high = own["limits"]["unlike_form"]
    form, mean = form_of(measures["form"]), form_of(own["form"])
    if form.shape != mean.shape:
        return ""
    if (found := _unlike(form, mean)) <= high:
        return ""
    turned = min(
        _unlike(form.transpose(order)[::a, ::b, ::c], mean)
        for order, (a, b, c) in _AXES_WITH_SIGNS
        if len(form) > 1 or (order[0] == 0 and a == 1)
    )
    if turned <= high and turned < _TURNED * found:
        return (
            "the head lies otherwise than in training, and fits once its axes are interchanged or "
            f"reversed (correlation {1 - turned:.2f} against {1 - found:.2f}): the orientation in "
            "the file's header may be wrong"
        )
    return (
        "a head of another form than any training scan (its parts missing or cut off, or another "
        f"body part): correlation {1 - found:.2f} against at least {1 - most:.2f}"
    )
