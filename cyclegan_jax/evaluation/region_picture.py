"""Draws the regions of a brain in the colours of their errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import CONTRASTS, DIRECTIONS, label
from cyclegan_jax.render.image_grid import save_drawing

_SLICES = 3
_COLOURS = "viridis"
_BACKGROUND, _TEXT = "#282828", "white"  # as those of `image_grid.save_grid`
_MARGIN = 4  # pixels around the head
_NAMED = 3  # regions with the largest errors that the alternative text names


def save_region_picture(
    path: Path, pairs: Pairs, summary: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    """Writes slices of one subject whose regions have the colour of their mean absolute error.

    There is a row for each direction. Around the regions is the true image. The subject is the one
    with the most labelled pixels; the errors are means over all subjects. The PNG states in words
    what it shows.

    Args:
      path: the PNG to write.
      pairs: held-out images with labels.
      summary: the result of `region_scores.summarised`.
    """
    chosen = _slices(pairs)
    assert pairs.labels is not None
    errors = {
        direction: {int(n): entry["mae"]["mean"] for n, entry in regions.items()}
        for direction, regions in summary.items()
    }
    top = max(error for regions in errors.values() for error in regions.values())
    scale = ScalarMappable(Normalize(0, top or 1), _COLOURS)
    rows, columns = _extent(pairs.head[chosen, ..., 0])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    figure = Figure(
        figsize=(2.6 * len(chosen) + 1.2, 2 * (2.6 * height / width + 0.3)), facecolor=_BACKGROUND
    )
    axes = figure.subplots(
        len(DIRECTIONS), len(chosen), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.12}
    )
    for line, direction in zip(axes, DIRECTIONS, strict=True):
        truth = getattr(pairs, direction.target)
        colour_of = np.full(int(pairs.labels.max()) + 1, np.nan)
        for number, error in errors.get(direction, {}).items():
            colour_of[number] = error
        for place, i in zip(line, chosen, strict=True):
            grey = np.repeat((truth[i, rows, columns] + 1) / 2, 3, axis=-1)
            error = colour_of[pairs.labels[i, rows, columns]]
            known = ~np.isnan(error)
            grey[known] = scale.to_rgba(error[known])[..., :3]
            place.imshow(np.clip(grey, 0, 1), interpolation="nearest")
            place.set_axis_off()
        line[0].set_title(
            f"{label(direction)}, around it the true {CONTRASTS[direction.target]}",
            color=_TEXT,
            fontsize=9,
            loc="left",
        )
    bar = figure.colorbar(scale, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("mean absolute error, images in [-1, 1]", color=_TEXT, fontsize=9)
    bar.ax.tick_params(colors=_TEXT, labelsize=8)
    save_drawing(path, figure, _in_words(summary, [pairs.names[i] for i in chosen], top))


def _slices(pairs: Pairs) -> list[int]:
    """Returns the places of slices that are spread over the labels of the subject with the most."""
    assert pairs.labels is not None
    pixels = np.count_nonzero(pairs.labels, axis=(1, 2))
    subjects = np.array([subject_of_slice(name) for name in pairs.names])
    most = max(np.unique(subjects), key=lambda s: pixels[subjects == s].sum())
    own = np.flatnonzero((subjects == most) & (pixels > 0))
    # not the first and the last, which show little of the brain
    shares = np.linspace(0, 1, _SLICES + 2)[1:-1]
    return list(dict.fromkeys(own[np.round(shares * (len(own) - 1)).astype(int)].tolist()))


def _extent(head: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and the columns of the heads `[S, H, W]`, with a margin."""
    sides = []
    for axes in ((0, 2), (0, 1)):
        found = np.flatnonzero(head.any(axis=axes))
        first, last = (found[0], found[-1]) if len(found) else (0, head.shape[3 - axes[1]] - 1)
        sides.append(slice(max(0, int(first) - _MARGIN), int(last) + _MARGIN + 1))
    return sides[0], sides[1]


def _in_words(summary: Mapping[str, Any], slices: list[str], top: float) -> str:
    said = [
        f"Slices {', '.join(slices)}; a row for each direction; regions are coloured from dark "
        f"blue (no error) to yellow (a mean absolute error of {top:.3f})."
    ]
    for direction, regions in summary.items():
        worst = sorted(regions.values(), key=lambda entry: -entry["mae"]["mean"])[:_NAMED]
        names = ", ".join(f"{entry['name']} {entry['mae']['mean']:.3f}" for entry in worst)
        said.append(f"Largest errors in {label(direction)}: {names}.")
    return " ".join(said)
