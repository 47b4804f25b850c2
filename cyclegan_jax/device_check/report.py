"""The report of a check: `report.txt` to read, and `report.json` with every number."""

import json
from pathlib import Path
from typing import Any

from cyclegan_jax.device_check.comparison import FACTOR, LEAST, WINDOW
from cyclegan_jax.render.text_table import Table, as_text
from cyclegan_jax.system.files import write_whole

_GIB = 2**30
_NUMERICS = (
    "the largest relative difference from the losses of the same training in float32 on the CPU, "
    f"at the first step and in means of {WINDOW} steps. Rounding lets trainings drift apart. A "
    f"tolerance is {FACTOR} times what other rounding does on the CPU (float32 with sums in "
    f"another order for the first row, bfloat16 for the others), and at least {LEAST:g}"
)
_STEPS = (
    "one device, random images, the networks of cyclegan-jax benchmark. Images of both domains are "
    "counted. Peak is what the device held; planned is what XLA planned on it; predicted is what "
    "cyclegan-jax compile says"
)


def write(report: dict[str, Any], folder: Path) -> None:
    """Writes both files, or replaces them."""
    write_whole(folder / "report.txt", text(report) + "\n")
    write_whole(folder / "report.json", json.dumps(report, indent=1) + "\n")


def text(report: dict[str, Any]) -> str:
    """Returns what `check.run` has found so far, for a person."""
    parts = [as_text(_facts(report))]
    if error := report["numerics"].get("error"):
        parts.append(f"numerics: not compared ({error})")
    else:
        parts.append(as_text(_numerics(report)))
    if report.get("steps"):
        parts.append(as_text(_steps(report)))
        parts += [
            f"batch {row['batch']}, {row['dtype']}: {error}"
            for row in report["steps"]
            for error in (row.get("error"), row.get("prediction_error"))
            if error
        ]
    return "\n\n".join(parts)


def _facts(report: dict[str, Any]) -> Table:
    device, host = report["device"] or {"kind": "unknown"}, report["host"]
    rows = [
        ("date", report["date"]),
        *(("device, " + name.replace("_", " "), _one_line(v)) for name, v in device.items()),
        *(("host, " + name, str(value)) for name, value in host.items()),
        *report["versions"].items(),
    ]
    return Table("", "", ("device check", ""), [(name, value) for name, value in rows])


def _numerics(report: dict[str, Any]) -> Table:
    rows = [
        (
            f"{row['dtype']}, {row['matmul_precision']}",
            f"{row['first_step']:.1e} ({row['tolerance']['first_step']:.0e})",
            f"{row['means']:.1e} ({row['tolerance']['means']:.0e})",
            row["where"],
            "yes" if row["is_inside"] else "NO",
        )
        for row in report["numerics"]["types"]
    ]
    header = ("type, precision", "first step (tolerance)", "means (tolerance)", "where", "inside")
    return Table(
        f"{report['extent']['train_steps']} steps of the quick start", _NUMERICS, header, rows
    )


def _steps(report: dict[str, Any]) -> Table:
    rows = []
    for row in report["steps"]:
        is_timed = "seconds_per_step" in row
        too_large = "RESOURCE_EXHAUSTED" in row.get("error", "")
        rows.append(
            (
                f"{row['size']}x{row['size']}, batch {row['batch']}, {row['dtype']}",
                f"{1e3 * row['seconds_per_step']['median']:.2f}"
                if is_timed
                else ("does not fit" if too_large else "failed"),
                f"{row['images_per_second']:.1f}" if is_timed else "-",
                f"{row['gflops_per_second'] / 1e3:.2f}" if is_timed else "-",
                f"{row['compile_seconds']:.0f}" if is_timed else "-",
                *(_gib(row.get(f"{kind}_bytes")) for kind in ("peak", "planned", "predicted")),
            )
        )
    header = ("step", "ms", "images/s", "TFLOP/s", "compiled in, s")
    memory = ("GiB: peak", "planned", "predicted")
    return Table("training step", _STEPS, (*header, *memory), rows)


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / _GIB:.3f}"


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())
