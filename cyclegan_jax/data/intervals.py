"""Intervals of intensity that hold the true value with a known frequency, by split conformal.

Held-out pairs say how far translations lie from the truth. Voxels are grouped by the intensity of
the source and that of the translation, and the quantiles of the signed error of each group make an
interval. All intervals are then widened by one factor, so that those of the other subjects hold the
true values of each subject as often as is wanted, on average: conformalised quantile regression
(Romano et al. 2019, https://arxiv.org/abs/1905.03222), across subjects. This holds on average over
the heads of people who are like those that calibrated it, and promises nothing for a single voxel.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cyclegan_jax.data.intensity import head_mask

LEVELS = (0.5, 0.8, 0.9, 0.95)  # shares of the voxels of heads whose true value is inside
MAIN = 0.9  # at which tissues and heights are measured
_GROUPS = 12  # of each of the two intensities
_FEWEST = 200  # voxels of a group; a smaller one gets the quantiles of all voxels
_LEAST = 0.01  # of an interval that is widened
_MOST = 150_000  # voxels of each subject that count
_HEIGHTS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")

# What is known of one direction: "source_edges" and "made_edges" between groups, "low" and "high"
# `{level: [_GROUPS][_GROUPS]}`, what is added to a translation, by groups of the source and of the
# translation, and how it was measured, see `measured`.
Intervals = Mapping[str, Any]


def calibrated(source: np.ndarray, made: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Returns the intervals that the voxels of heads set.

    Args:
      source: `[V]` in [-1, 1], the voxels in the heads of the sources.
      made: of their translations.
      truth: of the true images.
    """
    shares = np.linspace(0, 1, _GROUPS + 1)[1:-1]
    edges = {"source_edges": np.quantile(source, shares), "made_edges": np.quantile(made, shares)}
    groups = _groups(edges, source, made)
    order = np.argsort(groups, kind="stable")
    errors = (truth - made)[order].astype(np.float64)
    tails = np.array([[(1 - level) / 2, (1 + level) / 2] for level in LEVELS]).ravel()
    found = np.tile(np.quantile(errors, tails), (_GROUPS**2, 1))
    ends = np.searchsorted(groups[order], np.arange(_GROUPS**2 + 1))
    for group, (first, last) in enumerate(itertools.pairwise(ends)):
        if last - first >= _FEWEST:
            found[group] = np.quantile(errors[first:last], tails)
    tables = np.round(found, 4).T.reshape(len(LEVELS), 2, _GROUPS, _GROUPS)
    return {
        **{name: np.round(values, 5).tolist() for name, values in edges.items()},
        "low": {str(n): t[0].tolist() for n, t in zip(LEVELS, tables, strict=True)},
        "high": {str(n): t[1].tolist() for n, t in zip(LEVELS, tables, strict=True)},
    }


def bounds(
    intervals: Intervals, level: float, source: np.ndarray, made: np.ndarray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the lower and the upper end of the interval of each voxel, cut to [-1, 1].

    Args:
      intervals: of the direction.
      level: one of `LEVELS`.
      source: of any shape in [-1, 1].
      made: its translation.
    """
    groups = _groups(intervals, source, made)
    ends = []
    for side in ("low", "high"):
        added = np.asarray(intervals[side][str(level)], np.float32).ravel()[groups]
        ends.append(np.clip(made + added, -1, 1).astype(np.float32))
    return ends[0], ends[1]


def head_bounds(
    intervals: Intervals, level: float, source: np.ndarray, made: np.ndarray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns `bounds` of slices `[N, H, W]`; outside the head both ends are the translation."""
    head = head_mask(source[..., None])[..., 0]
    lower, upper = bounds(intervals, level, source, made)
    return np.where(head, lower, made), np.where(head, upper, made)


def measured(
    subjects: Sequence[Mapping[str, np.ndarray]], others: Sequence[Mapping[str, np.ndarray]] = ()
) -> dict[str, Any]:
    """Returns intervals of some subjects, and their coverage of others.

    Args:
      subjects: that calibrate; at least two. Each has the voxels of its head: "source", "made" and
        "truth" `[V]` in [-1, 1], "height" (0 in the lowest slice, 1 in the highest), and "tissue",
        a name for each voxel or "".
      others: whose coverage is measured; if there are none, each of `subjects` is measured by the
        intervals of the rest.

    Returns:
      `Intervals` of all of `subjects`, with "subjects" (their number), "left_out" (whether each was
      measured by the rest), and "coverage" `{level: {mean, least, most, n, width}}` over the
      measured subjects, where width is in parts of the range, and "parts", the coverage at `MAIN`
      for tissues and heights, `{name: {mean, least, most, n}}`.
    """
    subjects, others = [*map(_thinned, subjects)], [*map(_thinned, others)]
    found = _together(subjects)
    tests = [(found, other) for other in others] or [
        (_together([s for s in subjects if s is not own]), own) for own in subjects
    ]
    coverage: dict[str, list[float]] = {str(level): [] for level in LEVELS}
    widths: dict[str, list[float]] = {str(level): [] for level in LEVELS}
    parts: dict[str, list[float]] = {}
    for intervals, test in tests:
        for level in LEVELS:
            low, high = bounds(intervals, level, test["source"], test["made"])
            inside = (test["truth"] >= low) & (test["truth"] <= high)
            coverage[str(level)].append(float(inside.mean()))
            widths[str(level)].append(float((high - low).mean()) / 2)
            if level == MAIN:
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
    }


def check_intervals(intervals: Any) -> None:
    """Raises KeyError, TypeError, AttributeError or ValueError for what are no `Intervals`."""
    for name in ("source_edges", "made_edges"):
        edges = _numbers(intervals[name], (_GROUPS - 1,))
        if (np.diff(edges) < 0).any():
            raise ValueError(f"no {name} can be {str(intervals[name])[:80]!r}")
    for level in LEVELS:
        low, high = (
            _numbers(intervals[side][str(level)], (_GROUPS, _GROUPS)) for side in ("low", "high")
        )
        if (low > high).any():
            raise ValueError("the low ends of intervals lie above their high ends")
    for entry in (*intervals["coverage"].values(), *intervals["parts"].values()):
        _numbers([entry[key] for key in ("mean", "least", "most", "n")], (4,))
    _numbers([entry["width"] for entry in intervals["coverage"].values()], (len(LEVELS),))
    if type(intervals["subjects"]) is not int or type(intervals["left_out"]) is not bool:
        raise ValueError("intervals do not say which subjects they were measured on")
    if not all(isinstance(name, str) and name.isprintable() for name in intervals["parts"]):
        raise ValueError("a part has no printable name")


def _numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(values)
    if array.shape != shape or array.dtype.kind not in "if" or not (abs(array) < 1e9).all():
        raise ValueError(f"no numbers of shape {shape} can be {str(values)[:80]!r}")
    return array


def _together(subjects: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Returns the intervals of all voxels, widened by what left-out subjects need."""
    found = _quantiles(subjects)
    if len(subjects) < 2:
        return found
    needed: dict[str, list[np.ndarray]] = {str(level): [] for level in LEVELS}
    for own in subjects:
        rest = _quantiles([s for s in subjects if s is not own])
        groups = _groups(rest, own["source"], own["made"])
        error = own["truth"] - own["made"]
        for level, scores in needed.items():
            low, high = (np.array(rest[side][level]).ravel()[groups] for side in ("low", "high"))
            scores.append(np.maximum(low - error, error - high) / np.maximum(high - low, _LEAST))
    for level, scores in needed.items():
        # each subject counts alike, however large its head is
        factor = _weighted_quantile(scores, float(level))
        low, high = (np.array(found[side][level]) for side in ("low", "high"))
        room = factor * np.maximum(high - low, _LEAST)
        ends = np.minimum(low - room, (low + high) / 2), np.maximum(high + room, (low + high) / 2)
        found["low"][level], found["high"][level] = (np.round(e, 4).tolist() for e in ends)
    return found


def _quantiles(subjects: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return calibrated(
        *(np.concatenate([s[name] for s in subjects]) for name in ("source", "made", "truth"))
    )


def _weighted_quantile(values: Sequence[np.ndarray], share: float) -> float:
    weights = np.concatenate([np.full(len(v), 1 / len(v)) for v in values])
    together = np.concatenate(values)
    order = np.argsort(together)
    reached = np.cumsum(weights[order])
    return float(together[order][np.searchsorted(reached, share * reached[-1])])


def _thinned(subject: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    step = max(1, len(subject["source"]) // _MOST)
    return {name: values[::step] for name, values in subject.items()}


def _groups(edges: Mapping[str, Any], source: np.ndarray, made: np.ndarray) -> NDArray[np.intp]:
    rows = np.searchsorted(np.asarray(edges["source_edges"]), source, side="right")
    return rows * _GROUPS + np.searchsorted(np.asarray(edges["made_edges"]), made, side="right")


def _parts(test: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns which voxels make each tissue and each quarter of the height; empty ones are not."""
    quarters = np.minimum((test["height"] * len(_HEIGHTS)).astype(int), len(_HEIGHTS) - 1)
    found = {str(t): test["tissue"] == t for t in np.unique(test["tissue"]) if t}
    if len(np.unique(test["height"])) >= len(_HEIGHTS):
        found |= {name: quarters == i for i, name in enumerate(_HEIGHTS)}
    return {name: where for name, where in found.items() if where.any()}


def _summary(values: Sequence[float]) -> dict[str, float]:
    mean, least, most = (round(float(f(values)), 4) for f in (np.mean, np.min, np.max))
    return {"mean": mean, "least": least, "most": most, "n": len(values)}
