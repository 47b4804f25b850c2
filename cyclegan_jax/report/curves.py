"""Curves of one run: every loss term and every score by step, a small figure for each quantity."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from cyclegan_jax.render import html

Line = Mapping[str, float]  # of metrics.jsonl: {"step", "time", name: value, ...}

_LOSS, _SCORE = "loss/", "eval/"


class _Panel(NamedTuple):
    title: str
    note: str
    terms: Mapping[str, str]  # {name of the term: what its curve is called}


_UNDECIDED = "0.69 (bce) or 0.25 (lsgan) where the discriminator cannot tell."
_LOSSES = (
    _Panel(
        "Adversarial",
        f"How well the discriminators see through the translations. {_UNDECIDED}",
        {"adversarial_g": "G, T1→T2", "adversarial_f": "F, T2→T1"},
    ),
    _Panel(
        "Discriminators",
        f"Mean over real and translated images. {_UNDECIDED}",
        {"discriminator_y": "judging T2", "discriminator_x": "judging T1"},
    ),
    _Panel(
        "Cycle consistency",
        "Mean absolute error after there and back; images are in [-1, 1].",
        {"cycle_x": "T1→T2→T1", "cycle_y": "T2→T1→T2"},
    ),
    _Panel(
        "Identity",
        "Mean absolute change of an image that is in the target contrast already.",
        {"identity_y": "G of T2", "identity_x": "F of T1"},
    ),
    _Panel(
        "Generators' total",
        "The weighted sum that the generators minimise.",
        {"generators_total": "total"},
    ),
    _Panel(
        "Generators' gradients",
        "Norm of the gradient of the weighted sum.",
        {"gradient_generator_g": "G, T1→T2", "gradient_generator_f": "F, T2→T1"},
    ),
    _Panel(
        "Discriminators' gradients",
        "Norm of the gradient of the discriminators' losses.",
        {"gradient_discriminator_y": "judging T2", "gradient_discriminator_x": "judging T1"},
    ),
)
_METRICS = {"ssim": "SSIM", "psnr": "PSNR / dB", "mae": "MAE", "nmse": "NMSE"}
_LABELS = {
    "t1_to_t2": "T1→T2",
    "t2_to_t1": "T2→T1",
    "t1_as_t2": "T1 as T2",
    "t2_as_t1": "T2 as T1",
}
_COLOURS = ("tab:blue", "tab:orange", "tab:gray", "tab:green")


def loss_curves(lines: Sequence[Line]) -> list[html.Figure]:
    """A drawing of each loss term, both directions in one, as parts of a page.

    Args:
      lines: as `writer.read_metrics` returns them; terms that are unknown here are drawn too.

    Returns:
      None of them where no loss is logged.
    """
    left = dict.fromkeys(name for line in lines for name in line if name.startswith(_LOSS))
    parts = []
    for panel in _LOSSES:
        names = {_LOSS + term: label for term, label in panel.terms.items() if _LOSS + term in left}
        left = {name: None for name in left if name not in names}
        parts += _drawn(panel.title, panel.note, names, lines)
    for name in left:
        term = name.removeprefix(_LOSS)
        parts += _drawn(term, "", {name: term}, lines)
    return parts


def score_curves(lines: Sequence[Line]) -> list[html.Figure]:
    """A drawing of each score of the monitored pairs, `eval/<direction>/<metric>` in `lines`."""
    metrics: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(n for line in lines for n in line if n.startswith(_SCORE)):
        direction, metric = name.removeprefix(_SCORE).rsplit("/", 1)
        metrics.setdefault(metric, {})[name] = _LABELS.get(direction, direction)
    ordered = sorted(metrics, key=lambda m: list(_METRICS).index(m) if m in _METRICS else 99)
    return [part for m in ordered for part in _drawn(_METRICS.get(m, m), "", metrics[m], lines)]


def _drawn(
    title: str, note: str, names: Mapping[str, str], lines: Sequence[Line]
) -> list[html.Figure]:
    """The drawing of the quantities `{name in lines: label}`, or nothing where there are none."""
    curves = {
        label: [(int(line["step"]), line[name]) for line in lines if name in line]
        for name, label in names.items()
    }
    if not any(curves.values()):
        return []
    figure = Figure(figsize=(4.4, 2.9))
    axes = figure.subplots()
    said = []
    for (label, points), colour in zip(curves.items(), _COLOURS * len(curves), strict=False):
        steps, values = zip(*points, strict=True)
        # a marker alone shows where a single point is the whole curve
        axes.plot(steps, values, ".-", markersize=3, color=colour, label=label)
        said.append(f"{label} {values[0]:.4g} at first, {values[-1]:.4g} at last")
    axes.set_title(
        title, fontsize="medium", pad=20 if len(curves) > 1 else 6
    )  # the legend fits below it
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(
            fontsize="small", frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.97)
        )
    first, last = (
        end(step for points in curves.values() for step, _ in points) for end in (min, max)
    )
    alternative = f"{title} by step, from step {first} to {last}: " + "; ".join(said)
    latest = ", ".join(f"{label} {points[-1][1]:.4g}" for label, points in curves.items())
    return [html.drawing(figure, alternative, f"{title}, at last {latest}. {note}".strip())]
