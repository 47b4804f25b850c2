"""Compares the losses of two trainings, at the first step and in means of several steps.

Rounding that differs lets two trainings of a GAN drift apart. So single steps agree only at the
start; means of several steps agree for longer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

WINDOW = 20  # steps of a mean

Losses = Mapping[str, Sequence[float]]


FACTOR = 3  # times the difference that rounding makes on a CPU; chosen, not measured
LEAST = 1e-4  # is always allowed: sums in another order may happen to agree


def differences(ours: Losses, reference: Losses) -> dict[str, Any]:
    """Returns the largest relative differences of any loss from those of another training.

    Args:
      ours: `{name: a number for each step}`.
      reference: the same names and steps.

    Returns:
      `first_step`, of the first step; `means`, of the means of `WINDOW` steps; `where`, the loss
      and the steps of the second one.
    """
    first = max(_relative(ours[name][:1], reference[name][:1]).max() for name in reference)
    of_each = {name: _relative(_means(ours[name]), _means(reference[name])) for name in reference}
    name = max(of_each, key=lambda name: of_each[name].max())
    index = int(of_each[name].argmax())
    last = min((index + 1) * WINDOW, len(reference[name]))
    return {
        "first_step": float(first),
        "means": float(of_each[name][index]),
        "where": f"{name}, steps {index * WINDOW + 1} to {last}",
    }


def judged(found: Mapping[str, Any], of_rounding: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `found` with its tolerances, and whether it is inside of both.

    Args:
      found: of `differences`, between the device and a CPU.
      of_rounding: of `differences`, between two trainings on a CPU that differ in rounding alone.
    """
    kinds = ("first_step", "means")
    tolerance = {kind: max(LEAST, FACTOR * of_rounding[kind]) for kind in kinds}
    # an infinite difference is never inside, not even of an infinite tolerance
    inside = all(found[kind] <= tolerance[kind] and np.isfinite(found[kind]) for kind in kinds)
    return {**found, "tolerance": tolerance, "is_inside": inside}


def _means(values: Sequence[float]) -> np.ndarray:
    return np.array([np.mean(values[i : i + WINDOW]) for i in range(0, len(values), WINDOW)])


def _relative(ours: Any, reference: Any) -> np.ndarray:
    """Returns |ours - reference| / |reference|; infinite where a number is not finite."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    least = np.finfo(np.float32).tiny
    difference = np.abs(ours - reference) / np.maximum(np.abs(reference), least)
    return np.where(np.isfinite(difference), difference, np.inf)
