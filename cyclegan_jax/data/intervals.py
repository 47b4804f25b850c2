"""Intervals of intensity that hold the true value with a known frequency, by split conformal.

Held-out pairs say how far translations lie from the truth. Voxels are grouped by the intensity of
the source and of the translation, by how deep they lie in the head and how far below its top, and
the quantiles of the signed error of each group make an interval. All intervals are then widened by
one factor, so that those of the other subjects hold the true values of each subject as often as is
wanted, on average: conformalised quantile regression (Romano et al. 2019,
https://arxiv.org/abs/1905.03222), across subjects. This holds on average over the heads of people
who are like those that calibrated it, and promises nothing for a single voxel.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan_jax.data.intensity import head_mask

LEVELS = (0.5, 0.8, 0.9, 0.95)  # shares of the voxels of heads whose true value is inside
MAIN = 0.9  # at which tissues and heights are measured, and by whose width voxels are sorted
KEPT = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of voxels, see `sparsification`
GROUPS = {"source": 6, "made": 6, "depth": 4, "below": 4}  # of each quantity, see `Voxels`
_SIZE = math.prod(GROUPS.values())
_FEWEST = 200  # voxels of a group; a smaller one gets the quantiles of a larger one around it
_LEAST = 0.01  # of an interval that is widened
_MOST = 300_000  # voxels of each subject that count
_HEIGHTS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")

_TAILS = [tail for level in LEVELS for tail in ((1 - level) / 2, (1 + level) / 2)]

# Voxels in heads, `[V]` of each: "source" and "made", intensities of the scan and of its
# translation in [-1, 1]; "depth" and "below", see `places`. For calibration also "truth", the true
# intensities; for measuring also "height" (0 in the lowest slice of a subject, 1 in the highest)
# and "tissue", a name or "".
Voxels = Mapping[str, np.ndarray]

# What is known of one direction: "edges" `{quantity: [n - 1]}` between groups, "low" and "high"
# `{level: text}`, what is added to a translation in each group, as numbers in the order of
# `GROUPS`, and how it was measured, see `measured`.
Intervals = Mapping[str, Any]


def calibrated(voxels: Voxels) -> dict[str, Any]:
    """Returns the quantiles of the errors of voxels as intervals, not widened."""
    edges = {
        name: np.round(np.quantile(voxels[name], np.linspace(0, 1, n + 1)[1:-1]), 5).tolist()
        for name, n in GROUPS.items()
    }
    error = (voxels["truth"] - voxels["made"]).astype(np.float64)
    groups = _groups(edges, voxels)
    inner = GROUPS["depth"] * GROUPS["below"]
    found = np.tile(np.quantile(error, _TAILS), (_SIZE // inner, 1))
    found = _quantiles_of(error, groups // inner, found)
    found = _quantiles_of(error, groups, np.repeat(found, inner, axis=0))
    return {
        "edges": edges,
        "low": {str(level): _text(found[:, 2 * i]) for i, level in enumerate(LEVELS)},
        "high": {str(level): _text(found[:, 2 * i + 1]) for i, level in enumerate(LEVELS)},
    }


def bounds(
    intervals: Intervals, level: float, voxels: Voxels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the lower and the upper end of the interval of each voxel, cut to [-1, 1]."""
    groups = _groups(intervals["edges"], voxels)
    ends = []
    for side in ("low", "high"):
        added = _table(intervals[side][str(level)]).astype(np.float32)[groups]
        ends.append(np.clip(voxels["made"] + added, -1, 1).astype(np.float32))
    return ends[0], ends[1]


def head_bounds(
    intervals: Intervals, level: float, source: np.ndarray, made: np.ndarray, below: np.ndarray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns `bounds` of slices; outside the head both ends are the translation.

    Args:
      intervals: of the direction.
      level: one of `LEVELS`.
      source: `[N, H, W]` in [-1, 1].
      made: its translation.
      below: `[N]`, see `places`.
    """
    head, depth, below = places(source, below)
    low, high = made.astype(np.float32), made.astype(np.float32)
    voxels = {"source": source, "made": made, "depth": depth, "below": below}
    low[head], high[head] = bounds(intervals, level, {k: v[head] for k, v in voxels.items()})
    return low, high


def places(
    source: np.ndarray, below: np.ndarray
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Returns where the voxels of slices lie.

    Args:
      source: `[N, H, W]` in [-1, 1].
      below: `[N]`, how far each slice lies below the highest one in mm; 0 where it is not known.

    Returns:
      The head, bool `[N, H, W]`; the depth of each voxel in it, the distance to its edge in its
      slice in parts of the root of its area there; and `below` of each voxel.
    """
    from scipy.ndimage import distance_transform_edt  # late: it would delay every start

    head = head_mask(source[..., None])[..., 0]
    depth = np.zeros(head.shape, np.float32)
    for own, mask in zip(depth, head, strict=True):
        if mask.any():
            own[:] = np.asarray(distance_transform_edt(mask)) / math.sqrt(mask.sum())
    of_slices = np.asarray(below, np.float32)[:, None, None]
    return head, depth, np.broadcast_to(of_slices, head.shape)


def measured(subjects: Sequence[Voxels], others: Sequence[Voxels] = ()) -> dict[str, Any]:
    """Returns intervals of some subjects, and their coverage of others.

    Args:
      subjects: the voxels of each that calibrates; at least two.
      others: whose coverage is measured; if there are none, each of `subjects` is measured by the
        intervals of the rest.

    Returns:
      `Intervals` of all of `subjects`, with "subjects" (their number), "left_out" (whether each was
      measured by the rest), and "coverage" `{level: {mean, least, most, n, width}}` over the
      measured subjects, where width is in parts of the range; "parts", the coverage at `MAIN` for
      tissues and heights, `{name: {mean, least, most, n}}`; and "sparsification", the means over
      the measured subjects of what that function returns.
    """
    subjects, others = [*map(_thinned, subjects)], [*map(_thinned, others)]
    found = _together(subjects)
    tests = [(found, other) for other in others] or [
        (_together([s for s in subjects if s is not own]), own) for own in subjects
    ]
    coverage: dict[str, list[float]] = {str(level): [] for level in LEVELS}
    widths: dict[str, list[float]] = {str(level): [] for level in LEVELS}
    parts: dict[str, list[float]] = {}
    curves = []
    for intervals, test in tests:
        for level in LEVELS:
            low, high = bounds(intervals, level, test)
            inside = (test["truth"] >= low) & (test["truth"] <= high)
            coverage[str(level)].append(float(inside.mean()))
            widths[str(level)].append(float((high - low).mean()) / 2)
            if level == MAIN:
                curves.append(sparsification(np.abs(test["truth"] - test["made"]), high - low))
                for name, where in _parts(test).items():
                    parts.setdefault(name, []).append(float(inside[where].mean()))
    return {
        **found,
        "subjects": len(subjects),
        "left_out": not others,
        "coverage": {
            level: _summary(values) | {"width": round(float(np.mean(widths[level])), 4)}
            for level, values in coverage.items()
        },
        "parts": {name: _summary(values) for name, values in parts.items()},
        "sparsification": {
            key: np.round(np.mean([curve[key] for curve in curves], axis=0), 4).tolist()
            for key in curves[0]
        },
    }


def sparsification(error: np.ndarray, uncertainty: np.ndarray) -> dict[str, Any]:
    """Returns how far the mean error falls if the most uncertain voxels are left out.

    This is the sparsification curve (Ilg et al. 2018, https://arxiv.org/abs/1802.07095).

    Args:
      error: absolute errors `[V]`, in [0, 2].
      uncertainty: `[V]`, larger where a voxel is trusted less.

    Returns:
      "error", the mean error in parts of the intensity range for each share in `KEPT` of the
      voxels, the least uncertain ones; "best", the same if voxels are left out by their error; and
      "order", the area between the whole error and the curve over the area to the best curve: 1 if
      voxels are sorted as by their error, 0 as at random.
    """
    # without their places, which would decide between voxels that are equally uncertain
    shuffled = np.random.default_rng(0).permutation(len(error))
    error, uncertainty = error[shuffled].astype(np.float64) / 2, uncertainty[shuffled]
    left = np.arange(1, len(error) + 1)
    curve, best = (
        np.cumsum(error[np.argsort(key, kind="stable")]) / left for key in (uncertainty, error)
    )
    places = np.ceil(np.array(KEPT) * len(error)).astype(int) - 1
    whole = error.mean()
    order = (whole - curve.mean()) / max(whole - best.mean(), np.finfo(float).tiny)
    return {"error": curve[places], "best": best[places], "order": order}


def check_intervals(intervals: Any) -> None:
    """Raises KeyError, TypeError, AttributeError or ValueError for what are no `Intervals`."""
    for name, n in GROUPS.items():
        edges = _numbers(intervals["edges"][name], (n - 1,))
        if (np.diff(edges) < 0).any():
            raise ValueError(f"no edges of {name} can be {str(intervals['edges'])[:80]!r}")
    for level in LEVELS:
        low, high = (_table(intervals[side][str(level)]) for side in ("low", "high"))
        if low.shape != (_SIZE,) or high.shape != (_SIZE,) or not (abs(low + high) < 1e9).all():
            raise ValueError(f"no interval can be {intervals['low'][str(level)][:80]!r}")
        if (low > high).any():
            raise ValueError("the low ends of intervals lie above their high ends")
    for entry in (*intervals["coverage"].values(), *intervals["parts"].values()):
        _numbers([entry[key] for key in ("mean", "least", "most", "n")], (4,))
    _numbers([entry["width"] for entry in intervals["coverage"].values()], (len(LEVELS),))
    if type(intervals["subjects"]) is not int or type(intervals["left_out"]) is not bool:
        raise ValueError("intervals do not say which subjects they were measured on")
    if curve := intervals.get("sparsification"):  # models of earlier versions have none
        for key, shape in (("error", (len(KEPT),)), ("best", (len(KEPT),)), ("order", ())):
            _numbers(curve[key], shape)
    if not all(isinstance(name, str) and name.isprintable() for name in intervals["parts"]):
        raise ValueError("a part has no printable name")


def _numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(values)
    if array.shape != shape or array.dtype.kind not in "if" or not (abs(array) < 1e9).all():
        raise ValueError(f"no numbers of shape {shape} can be {str(values)[:80]!r}")
    return array


def _together(subjects: Sequence[Voxels]) -> dict[str, Any]:
    """Returns the intervals of all voxels, widened by what left-out subjects need."""
    found = calibrated(_joined(subjects))
    if len(subjects) < 2:
        return found
    needed: dict[str, list[np.ndarray]] = {str(level): [] for level in LEVELS}
    for own in subjects:
        rest = calibrated(_joined([s for s in subjects if s is not own]))
        groups, error = _groups(rest["edges"], own), own["truth"] - own["made"]
        for level, scores in needed.items():
            low, high = (_table(rest[side][level])[groups] for side in ("low", "high"))
            scores.append(np.maximum(low - error, error - high) / np.maximum(high - low, _LEAST))
    for level, scores in needed.items():
        # each subject counts alike, however large its head is
        factor = _weighted_quantile(scores, float(level))
        low, high = (_table(found[side][level]) for side in ("low", "high"))
        room, middle = factor * np.maximum(high - low, _LEAST), (low + high) / 2
        found["low"][level] = _text(np.minimum(low - room, middle))
        found["high"][level] = _text(np.maximum(high + room, middle))
    return found


def _joined(subjects: Sequence[Voxels]) -> Voxels:
    return {name: np.concatenate([s[name] for s in subjects]) for name in (*GROUPS, "truth")}


def _quantiles_of(error: np.ndarray, groups: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Returns the quantiles `_TAILS` of each group, or `otherwise` of a group that is small."""
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(len(otherwise) + 1))
    sorted_, found = error[order], otherwise.copy()
    for group, (first, last) in enumerate(itertools.pairwise(ends)):
        if last - first >= _FEWEST:
            found[group] = np.quantile(sorted_[first:last], _TAILS)
    return found


def _weighted_quantile(values: Sequence[np.ndarray], share: float) -> float:
    weights = np.concatenate([np.full(len(v), 1 / len(v)) for v in values])
    together = np.concatenate(values)
    order = np.argsort(together)
    reached = np.cumsum(weights[order])
    return float(together[order][np.searchsorted(reached, share * reached[-1])])


def _thinned(subject: Voxels) -> dict[str, np.ndarray]:
    step = max(1, len(subject["source"]) // _MOST)
    return {name: values[::step] for name, values in subject.items()}


def _groups(edges: Mapping[str, Any], voxels: Voxels) -> NDArray[np.intp]:
    groups = np.zeros(voxels["source"].shape, np.intp)
    for name, n in GROUPS.items():
        groups = groups * n + np.searchsorted(np.asarray(edges[name]), voxels[name], side="right")
    return groups


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _table(text: str) -> NDArray[np.float64]:
    return np.array([float(word) for word in text.split(" ")])


def _parts(test: Voxels) -> dict[str, np.ndarray]:
    """Returns which voxels make each tissue and each quarter of the height; empty ones are not."""
    quarters = np.minimum((test["height"] * len(_HEIGHTS)).astype(int), len(_HEIGHTS) - 1)
    found = {str(t): test["tissue"] == t for t in np.unique(test["tissue"]) if t}
    if len(np.unique(test["height"])) >= len(_HEIGHTS):
        found |= {name: quarters == i for i, name in enumerate(_HEIGHTS)}
    return {name: where for name, where in found.items() if where.any()}


def _summary(values: Sequence[float]) -> dict[str, float]:
    mean, least, most = (round(float(f(values)), 4) for f in (np.mean, np.min, np.max))
    return {"mean": mean, "least": least, "most": most, "n": len(values)}
