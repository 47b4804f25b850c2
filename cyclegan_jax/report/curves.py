"""Draws the curves of one run: every loss term and every score by step, one figure for each."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cyclegan_jax.domains import CONTRASTS, DIRECTIONS, label
from cyclegan_jax.evaluation.scoring import parts_of_scalar
from cyclegan_jax.render import html

Line = Mapping[str, float]  # of metrics.jsonl: {"step", "time", name: value, ...}

_LOSS = "loss/"  # how the names of losses begin
_X, _Y = CONTRASTS["x"], CONTRASTS["y"]
_TO_Y, _TO_X = map(label, DIRECTIONS)


class _Panel(NamedTuple):
    title: str
    note: str
    curves: Mapping[str, str]  # {loss term: label of its curve}


_UNDECIDED = (
    "It is 0.69 (bce) or 0.25 (lsgan) if the discriminator cannot distinguish real from translated "
    "images."
)
_PANELS = (
    _Panel(
        "Adversarial",
        f"A higher loss means that the discriminator recognises more translations. {_UNDECIDED}",
        {"adversarial_g": f"G, {_TO_Y}", "adversarial_f": f"F, {_TO_X}"},
    ),
    _Panel(
        "Discriminators",
        f"The mean over real and translated images. {_UNDECIDED}",
        {"discriminator_y": f"judging {_Y}", "discriminator_x": f"judging {_X}"},
    ),
    _Panel(
        "Cycle consistency",
        "The mean absolute error after a translation there and back; images are in [-1, 1].",
        {f"cycle_{direction.source}": label(direction.cycle) for direction in DIRECTIONS},
    ),
    _Panel(
        "Identity",
        "The mean absolute change of an image that is in the target contrast already.",
        {"identity_y": f"G of {_Y}", "identity_x": f"F of {_X}"},
    ),
    _Panel(
        "Start",
        "The mean absolute difference from an image with reversed intensities; it has a weight in "
        "the first steps only.",
        {"start_g": f"G, {_TO_Y}", "start_f": f"F, {_TO_X}"},
    ),
    _Panel(
        "Structure",
        "How much edges differ between an image and its translation, whatever the contrast.",
        {"structure_g": f"G, {_TO_Y}", "structure_f": f"F, {_TO_X}"},
    ),
    _Panel(
        "Generators' total",
        "The weighted sum that the generators minimise.",
        {"generators_total": "total"},
    ),
    _Panel(
        "Generators' gradients",
        "The norm of the gradient of the weighted sum.",
        {"gradient_generator_g": f"G, {_TO_Y}", "gradient_generator_f": f"F, {_TO_X}"},
    ),
    _Panel(
        "Discriminators' gradients",
        "The norm of the gradient of the discriminators' losses.",
        {
            "gradient_discriminator_y": f"judging {_Y}",
            "gradient_discriminator_x": f"judging {_X}",
        },
    ),
)
_METRIC_TITLES = {
    "ssim": "SSIM",
    "psnr": "PSNR / dB",
    "mae": "MAE",
    "nmse": "NMSE",
    "patch_distance": "Distance",
}
_COLOURS = ("tab:blue", "tab:orange", "tab:gray", "tab:green")


def loss_curves(lines: Sequence[Line]) -> list[html.Figure]:
    """Draws the loss terms, those of both directions in one figure.

    Args:
      lines: as `metric_log.read_metrics` returns them. A term that is unknown here has a figure of
        its own.

    Returns:
      The figures, as parts of a page; none if no loss is logged.
    """
    left = dict.fromkeys(name for line in lines for name in line if name.startswith(_LOSS))
    figures = []
    for panel in _PANELS:
        names = {_LOSS + term: text for term, text in panel.curves.items() if _LOSS + term in left}
        left = {name: None for name in left if name not in names}
        figures += _drawn(panel.title, panel.note, names, lines)
    for name in left:
        term = name.removeprefix(_LOSS)
        figures += _drawn(term, "", {name: term}, lines)
    return figures


def score_curves(lines: Sequence[Line]) -> list[html.Figure]:
    """Draws the scores of the monitored pairs, all directions and baselines in one figure.

    Args:
      lines: as `metric_log.read_metrics` returns them, see `scoring.scalar_name`.

    Returns:
      One figure for each protocol and metric, as parts of a page; none if no score is logged.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name in dict.fromkeys(n for line in lines for n in line):
        if parts := parts_of_scalar(name):
            protocol, direction, metric = parts
            found.setdefault((protocol, metric), {})[name] = label(direction)
    known = list(_METRIC_TITLES)
    order = sorted(found, key=lambda k: known.index(k[1]) if k[1] in known else len(known))
    return [
        figure
        for protocol, metric in order
        for figure in _drawn(
            f"{_METRIC_TITLES.get(metric, metric)}, {protocol}", "", found[protocol, metric], lines
        )
    ]


def _drawn(
    title: str, note: str, names: Mapping[str, str], lines: Sequence[Line]
) -> list[html.Figure]:
    """Returns a figure of the quantities `{name in lines: label}`, or nothing without a value."""
    curves = {
        text: [(int(line["step"]), line[name]) for line in lines if name in line]
        for name, text in names.items()
    }
    if not any(curves.values()):
        return []
    figure = Figure(figsize=(4.4, 2.9))
    axes = figure.subplots()
    changes = []
    for (text, points), colour in zip(curves.items(), _COLOURS * len(curves), strict=False):
        steps, values = zip(*points, strict=True)
        # markers, since a single point has no line
        axes.plot(steps, values, ".-", markersize=3, color=colour, label=text)
        changes.append(f"{text} begins at {values[0]:.4g} and ends at {values[-1]:.4g}")
    legend_rows = math.ceil(len(curves) / 2) if len(curves) > 1 else 0
    axes.set_title(title, fontsize="medium", pad=6 + 14 * legend_rows)  # above the legend
    if legend_rows:
        axes.legend(
            fontsize="small", frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 0.97)
        )
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.3)
    all_steps = [step for points in curves.values() for step, _ in points]
    alternative = f"{title} by step, from step {min(all_steps)} to {max(all_steps)}: "
    latest = "; ".join(f"{text} {points[-1][1]:.4g}" for text, points in curves.items())
    caption = f"{title}. Last values: {latest}. {note}".strip()
    return [html.drawing(figure, alternative + "; ".join(changes), caption)]
