"""Makes the tables that say how far a model can be trusted: intervals and limits of its scans."""

from collections.abc import Mapping
from typing import Any

from cyclegan_jax.data.familiarity import shown
from cyclegan_jax.data.intervals import KEPT, MAIN
from cyclegan_jax.data.scan_measures import QUANTITIES
from cyclegan_jax.domains import CONTRASTS, DOMAINS, label
from cyclegan_jax.render.text_table import Table

_NAMES = {
    "noise": "noise, sd in parts of the range",
    "sharpness": "fine detail in slices (1/2 is smooth, 1 is noise)",
    "sharpness_across": "fine detail from slice to slice",
    "coverage": "share of slices with head",
    "extent_mm": "extent of the head across slices / mm",
    "size_ml": "size of the head / ml",
    "shading_across": "shading from slice to slice, as a logarithm",
    "shading_down": "shading from top to bottom",
    "shading_sideways": "shading from side to side",
    "contrast": "distance of the histogram from the mean",
    "unlike_form": "1 minus the correlation with the mean form",
}


def interval_tables(intervals: Mapping[str, Any]) -> list[Table]:
    """Returns the calibration and sparsification curves of each direction, and parts of the head.

    Args:
      intervals: `{direction: data.intervals.Intervals}`; may be empty.
    """
    tables = []
    for direction, found in intervals.items():
        how = (
            "each measured by the intervals that the others calibrated"
            if found["left_out"]
            else f"other than the {found['subjects']} that calibrated them"
        )
        n = max(entry["n"] for entry in found["coverage"].values())
        note = (
            f"This is the share of voxels in the head whose true value lies in the interval, in "
            f"{n} subjects, {how}. The width is in parts of the intensity range."
        )
        rows = [
            [_percent(float(level)), *_shares(entry), f"{100 * entry['width']:.0f} %"]
            for level, entry in found["coverage"].items()
        ]
        header = ["wanted", "measured", "least", "most", "mean width"]
        tables.append(Table(f"intervals, {label(direction)}", note, header, rows))
        if found["parts"]:
            rows = [[name, *_shares(part)] for name, part in found["parts"].items()]
            title = f"coverage of the intervals of {_percent(MAIN)}, {label(direction)}"
            tables.append(Table(title, "", ["", "measured", "least", "most"], rows))
        if curve := found.get("sparsification"):  # models of earlier versions have none
            tables.append(_sparsification_table(label(direction), curve))
    return tables


def _sparsification_table(direction: str, curve: Mapping[str, Any]) -> Table:
    """Returns the curve as rows of the share of voxels that is left."""
    note = (
        "This is the mean absolute error of the voxels in the head that are left, in parts of the "
        f"intensity range, if those with the widest intervals of {_percent(MAIN)} are left out, "
        "and the least that any order could give. The area above the curve is "
        f"{_percent(curve['order'])} of that above the least errors."
    )
    rows = [
        [_percent(kept), f"{100 * error:.1f} %", f"{100 * best:.1f} %"]
        for kept, error, best in zip(KEPT, curve["error"], curve["best"], strict=True)
    ]
    header = ["voxels left", "by width", "least"]
    return Table(f"sparsification, {direction}", note, header, rows)


def limit_table(training_scans: Mapping[str, Any]) -> list[Table]:
    """Returns a table of what the training scans looked like, or none where it is not known.

    Args:
      training_scans: `{domain: data.familiarity.Limits}`.
    """
    known = {domain: training_scans[domain] for domain in DOMAINS if training_scans.get(domain)}
    if not known:
        return []
    rows = []
    for name in (*QUANTITIES, "contrast", "unlike_form"):
        cells = [_seen(found["limits"].get(name)) for found in known.values()]
        if any(cells):
            rows.append([_NAMES[name], *cells])
    natives = [
        " x ".join(f"{n:.3g}" for n in found["native_mm"]) if found["native_mm"] else ""
        for found in known.values()
    ]
    if any(natives):
        rows.append(["largest voxel / mm", *natives])
    note = "A scan that lies well outside of these gets a note, and is refused with --strict."
    header = ["least to most", *(f"{CONTRASTS[d]}, n = {known[d]['scans']}" for d in known)]
    return [Table("training scans", note, header, rows)]


def _seen(limits: Any) -> str:
    return f"{shown(limits[0])} to {shown(limits[1])}" if limits else ""


def _shares(entry: Mapping[str, float]) -> list[str]:
    return [f"{100 * entry[key]:.1f} %" for key in ("mean", "least", "most")]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
