"""Draws a sweep: the scores over two keys, and the curves of the best and the worst setting."""

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclegan_jax.domains import DIRECTIONS, label
from cyclegan_jax.sweeps.results import Setting, decimals, mean_sd

_PANELS = ((None, "mean of both"), *((direction, label(direction)) for direction in DIRECTIONS))
_LARGEST_GRID = 12  # values of a key that a heat map still shows readably


def score_map(settings: Sequence[Setting], metric: str, name: str) -> Figure | None:
    """Draws the scores over the first two swept keys, for both directions and their mean.

    The figure is a heat map, or points where the keys have many values, or a line where a single
    key is swept. Scores are averaged over further keys.

    Args:
      settings: at least one, as `results.ranked_settings` returns them.
      metric: the score, such as "ssim".
      name: what the title calls it.

    Returns:
      The figure, or None if nothing but the seed is swept.
    """
    keys = list(settings[0].values)[:2]
    if not keys:
        return None
    figure = Figure(figsize=(10, 3.4))
    figure.suptitle(f"{name}, validation" + _averaged(settings, keys))
    for axes, (direction, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        axes.set_title(title)
        cells = _cells(settings, keys, metric, direction)
        if len(keys) == 1:
            _line(axes, cells)
            axes.set_xlabel(keys[0])
            continue
        rows, columns = (sorted({cell[i] for cell in cells}, key=_order) for i in (0, 1))
        largest, full = max(len(rows), len(columns)), len(rows) * len(columns)
        if largest <= _LARGEST_GRID and 2 * len(cells) > full:
            _heat_map(axes, cells, rows, columns, metric)
        else:
            _points(axes, cells)
        axes.set_ylabel(keys[0])
        axes.set_xlabel(keys[1])
    figure.tight_layout()
    return figure


def training_curves(settings: Sequence[Setting], metric: str) -> Figure:
    """Draws the validation scores by step of the best and the worst setting, one line a seed.

    Args:
      settings: as `results.ranked_settings` returns them; at least one has a score.
      metric: the score, such as "ssim"; the figure shows the mean of both directions.
    """
    done = [s for s in settings if s.scores(metric)]
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for setting, colour in ((done[0], "tab:blue"), (done[-1], "tab:red"))[: len(done)]:
        name = setting.name
        for result in setting.results:
            both = [result.curves[f"{direction}/{metric}"] for direction in DIRECTIONS]
            points = [(step, (a + b) / 2) for (step, a), (_, b) in zip(*both, strict=True)]
            if points:
                axes.plot(*zip(*points, strict=True), ".-", color=colour, label=name)
                name = "_"  # one entry in the legend for all seeds
    axes.set_xlabel("step")
    axes.set_ylabel(metric)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return figure


def corner_settings(settings: Sequence[Setting]) -> list[Setting]:
    """Returns the best setting, those nearest to the extremes of the first two keys, and the worst.

    A setting is returned once only.
    """
    keys = list(settings[0].values)[:2]
    places = {}  # of each value of a key, from 0 to 1 by rank
    for key in keys:
        values = sorted({_plain(s.values[key]) for s in settings}, key=_order)
        places[key] = {v: i / max(len(values) - 1, 1) for i, v in enumerate(values)}
    chosen = {settings[0].name: settings[0]}
    for corner in itertools.product((0, 1), repeat=len(keys)):

        def distance(setting: Setting, corner: tuple[int, ...] = corner) -> float:
            here = (places[key][_plain(setting.values[key])] for key in keys)
            return sum(abs(a - b) for a, b in zip(here, corner, strict=True))

        nearest = min(settings, key=distance)
        chosen.setdefault(nearest.name, nearest)
    chosen.setdefault(settings[-1].name, settings[-1])
    return list(chosen.values())


def _cells(
    settings: Sequence[Setting], keys: Sequence[str], metric: str, direction: str | None
) -> dict[tuple[Any, ...], list[float]]:
    """Returns the scores for each combination of the keys' values.

    There is one score for each seed. If more keys are swept than `keys`, there is one score for
    each setting instead, the mean over its seeds.
    """
    cells: dict[tuple[Any, ...], list[float]] = {}
    for setting in settings:
        scores = setting.scores(metric, direction)
        if len(setting.values) > len(keys) and scores:
            scores = [statistics.fmean(scores)]
        cells.setdefault(tuple(_plain(setting.values[key]) for key in keys), []).extend(scores)
    return cells


def _line(axes: Axes, cells: dict[tuple[Any, ...], list[float]]) -> None:
    """Draws means, with bars of one sd where there are several scores."""
    scored = sorted(((cell[0], scores) for cell, scores in cells.items() if scores), key=_first)
    values = [value for value, _ in scored]
    if not all(isinstance(value, int | float) for value in values):
        values = [str(value) for value in values]
    sds = [statistics.stdev(scores) if len(scores) > 1 else 0.0 for _, scores in scored]
    means = [statistics.fmean(scores) for _, scores in scored]
    axes.errorbar(values, means, yerr=sds, fmt=".-", capsize=3)
    axes.grid(alpha=0.3)


def _heat_map(
    axes: Axes, cells: dict[Any, list[float]], rows: list[Any], columns: list[Any], metric: str
) -> None:
    means = np.full((len(rows), len(columns)), np.nan)
    for (row, column), scores in cells.items():
        if scores:
            means[rows.index(row), columns.index(column)] = statistics.fmean(scores)
    axes.imshow(means, cmap="viridis", aspect="auto")
    middle = np.nanmean([np.nanmin(means), np.nanmax(means)]) if np.isfinite(means).any() else 0
    for (row, column), scores in cells.items():
        text = mean_sd(scores, decimals(metric), "\n") if scores else "none"
        dark = bool(scores) and statistics.fmean(scores) < middle
        axes.text(
            columns.index(column),
            rows.index(row),
            text,
            ha="center",
            va="center",
            fontsize="small",
            color="white" if dark else "black",
        )
    axes.set_xticks(range(len(columns)), [str(c) for c in columns])
    axes.set_yticks(range(len(rows)), [str(r) for r in rows])


def _points(axes: Axes, cells: dict[Any, list[float]]) -> None:
    scored = {cell: statistics.fmean(scores) for cell, scores in cells.items() if scores}
    ys, xs = zip(*scored, strict=True) if scored else ((), ())
    drawn = axes.scatter(xs, ys, c=list(scored.values()), cmap="viridis")
    for values, scale in ((xs, axes.set_xscale), (ys, axes.set_yscale)):
        if values and all(isinstance(v, int | float) and v > 0 for v in values):
            scale("log")
    if axes.figure is not None:
        axes.figure.colorbar(drawn, ax=axes)


def _averaged(settings: Sequence[Setting], keys: Sequence[str]) -> str:
    rest = [key for key in settings[0].values if key not in keys]
    return f" (mean over {', '.join(rest)})" if rest else ""


def _first(pair: tuple[Any, list[float]]) -> Any:
    return _order(pair[0])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list) else value


def _order(value: Any) -> Any:
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))
