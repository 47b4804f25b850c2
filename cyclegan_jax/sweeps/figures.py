"""Pictures of a sweep: scores over two keys, curves of the best and the worst setting."""

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclegan_jax.evaluate import DIRECTIONS
from cyclegan_jax.sweeps.results import Setting

_PANELS = ((None, "mean of both"), (DIRECTIONS[0], "T1→T2"), (DIRECTIONS[1], "T2→T1"))
_LARGEST_GRID = 12  # values of a key that a heat map still shows readably


def score_map(settings: Sequence[Setting], metric: str, name: str) -> Figure | None:
    """Scores over the first two swept keys: a heat map, or points where values are many.

    Further keys are averaged over. None when nothing but the seed is swept.
    """
    keys = list(settings[0].values)[:2]
    if not keys:
        return None
    figure = Figure(figsize=(13, 4))
    figure.suptitle(f"{name}, validation" + _averaged(settings, keys))
    for axes, (direction, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        axes.set_title(title)
        cells = _cells(settings, keys, metric, direction)
        rows, columns = (sorted({cell[i] for cell in cells}, key=_order) for i in (0, 1))
        if max(len(rows), len(columns)) <= _LARGEST_GRID and 2 * len(cells) > len(rows) * len(
            columns
        ):
            _heat_map(axes, cells, rows, columns, metric)
        else:
            _points(axes, cells)
        axes.set_ylabel(keys[0])
        axes.set_xlabel(keys[1] if len(keys) > 1 else "")
    figure.tight_layout()
    return figure


def curves(settings: Sequence[Setting], metric: str) -> Figure:
    """Validation scores by step for the best and the worst setting that are done."""
    done = [s for s in settings if s.scores(metric)]
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for setting, colour in ((done[0], "tab:blue"), (done[-1], "tab:red"))[: len(done)]:
        label = setting.name
        for result in setting.results:
            both = [result.curves[f"{direction}/{metric}"] for direction in DIRECTIONS]
            points = [
                (step, (a + b) / 2)
                for (step, a), (other, b) in zip(*both, strict=False)
                if step == other
            ]
            if points:
                axes.plot(*zip(*points, strict=True), ".-", color=colour, label=label)
                label = "_"  # one entry in the legend for all seeds
    axes.set_xlabel("step")
    axes.set_ylabel(metric)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return figure


def corners(settings: Sequence[Setting]) -> list[Setting]:
    """The settings nearest to the extremes of the first two keys, and the best and worst."""
    keys = list(settings[0].values)[:2]
    chosen = {settings[0].name: settings[0]}
    for extremes in itertools.product((min, max), repeat=len(keys)):
        wanted = [
            extreme((s.values[key] for s in settings), key=_order)
            for extreme, key in zip(extremes, keys, strict=True)
        ]
        match = next((s for s in settings if [s.values[k] for k in keys] == wanted), None)
        if match is not None:
            chosen.setdefault(match.name, match)
    chosen.setdefault(settings[-1].name, settings[-1])
    return list(chosen.values())


def _cells(
    settings: Sequence[Setting], keys: Sequence[str], metric: str, direction: str | None
) -> dict[tuple[Any, Any], list[float]]:
    """Scores of all seeds (and of further keys' values) for each pair of values."""
    cells: dict[tuple[Any, Any], list[float]] = {}
    for setting in settings:
        values = [_plain(setting.values[key]) for key in keys]
        row, column = (*values, "")[:2]
        cells.setdefault((row, column), []).extend(setting.scores(metric, direction))
    return cells


def _heat_map(
    axes: Axes, cells: dict[Any, list[float]], rows: list[Any], columns: list[Any], metric: str
) -> None:
    means = np.full((len(rows), len(columns)), np.nan)
    for (row, column), scores in cells.items():
        if scores:
            means[rows.index(row), columns.index(column)] = statistics.fmean(scores)
    axes.imshow(means, cmap="viridis", aspect="auto")
    middle = np.nanmean([np.nanmin(means), np.nanmax(means)]) if np.isfinite(means).any() else 0
    digits = 2 if metric == "psnr" else 3
    for (row, column), scores in cells.items():
        text = f"{statistics.fmean(scores):.{digits}f}" if scores else "none"
        if len(scores) > 1:
            text += f"\n± {statistics.stdev(scores):.{digits}f}"
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


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list) else value


def _order(value: Any) -> Any:
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))
