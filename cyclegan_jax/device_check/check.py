"""Runs the jobs of the check one after the other, and gathers what they find. It imports no JAX."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cyclegan_jax import InputError
from cyclegan_jax.compilation import targets
from cyclegan_jax.device_check.comparison import differences, judged

_PACKAGES = (
    *("cyclegan-jax", "jax", "jaxlib", "flax", "optax", "numpy", "libtpu"),
    *(f"jax-cuda{n}-{part}" for n in (12, 13) for part in ("plugin", "pjrt")),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
)
# config.dtype, config.matmul_precision and config.microbatches of the trainings on the CPU. Two
# microbatches add the same numbers up in another order. bfloat16 rounds at least as much as what
# an accelerator makes of float32 by default.
_ON_CPU = {
    "float32": ("float32", "highest", 1),
    "reordered": ("float32", "highest", 2),
    "rounded": ("bfloat16", "default", 1),
}
# the same of those on the device, and the one on the CPU that says what rounding does
_TYPES = (
    ("float32", "highest", 1, "reordered"),
    ("bfloat16", "default", 1, "rounded"),
    ("float32", "default", 1, "rounded"),
)


class Extent(NamedTuple):
    """How much is checked.

    Attributes:
      types: how many of the types are trained.
      train_steps: of each short training.
      size: height and width of the images of the timed step.
      batches: that are timed.
      base: width of the first layers of the timed step.
      dtypes: that are timed.
      timed_steps: of each batch.
    """

    types: int
    train_steps: int
    size: int
    batches: tuple[int, ...]
    base: int
    dtypes: tuple[str, ...]
    timed_steps: int


FULL = Extent(3, 200, 256, (1, 8, 32), 64, ("bfloat16", "float32"), 10)
QUICK = Extent(2, 3, 64, (1,), 8, ("float32",), 2)

Report = dict[str, Any]


def run(extent: Extent, show: Callable[[Report], None]) -> None:
    """Checks the first device that JAX finds.

    Args:
      extent: FULL or QUICK. FULL needs an accelerator.
      show: takes the report after each job, so that nothing is lost when a later one is stopped.

    Raises:
      InputError: JAX finds no device, or FULL is asked for and it finds a CPU alone.
    """
    report: Report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "extent": extent._asdict(),
        "host": _host(),
        "versions": _versions(),
    }
    steps, types = extent.train_steps, _TYPES[: extent.types]
    trainings = [training for *training, _ in types]
    _say(f"training {steps} steps on the device")
    found = _job("train", steps=steps, trainings=trainings, cpu_is_enough=extent is QUICK)
    report |= {"device": found.get("device")}
    if "error" in found:
        report["numerics"] = found
    else:
        _say(f"training {steps} steps on the CPU")
        on_cpu = _job(
            "train", {"JAX_PLATFORMS": "cpu"}, steps=steps, trainings=list(_ON_CPU.values())
        )
        report["numerics"] = _numerics(types, found, on_cpu)
    show(report)
    report["steps"] = []
    kind = (found.get("device") or {}).get("kind", "")
    for dtype in extent.dtypes:
        for batch in extent.batches:
            step = {"size": extent.size, "batch": batch, "base": extent.base, "dtype": dtype}
            _say(f"timing batch {batch}, {dtype}")
            row = step | _job("times", steps=extent.timed_steps, **step)
            report["steps"].append(row)
            show(report)
            if target := targets.of_one_chip(kind):
                _say(f"predicting the memory of batch {batch}, {dtype}")
                predicted = _job("predict", target=target, **step)
                row |= {"predicted_for": target, "prediction_error": predicted.get("error")}
                row["predicted_bytes"] = predicted.get("predicted_bytes")
                show(report)


def _say(what: str) -> None:
    print(f"{what} ...", flush=True)


def _numerics(types: Sequence[tuple[str, str, int, str]], found: Report, on_cpu: Report) -> Report:
    if "error" in on_cpu:
        return on_cpu
    cpu = dict(zip(_ON_CPU, on_cpu["losses"], strict=True))
    of_rounding = {name: differences(losses, cpu["float32"]) for name, losses in cpu.items()}
    compared = [
        {"dtype": dtype, "matmul_precision": precision}
        | judged(differences(losses, cpu["float32"]), of_rounding[rounding])
        for (dtype, precision, _, rounding), losses in zip(types, found["losses"], strict=True)
    ]
    return {"types": compared, "losses": {"device": found["losses"], "cpu": cpu}}


def _job(name: str, environment: Mapping[str, str] | None = None, **values: Any) -> Report:
    """Returns the result of a job of `jobs.JOBS`, or `{"error": ...}`.

    Raises:
      InputError: the job raised it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "cyclegan_jax.device_check", name, json.dumps(values)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:  # XLA stops the process at what it cannot do; the kernel when memory is out
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": f"the process ended with status {done.returncode}: {lines[-1]}"}
    result = json.loads(done.stdout.splitlines()[-1])
    if "mistake" in result:
        raise InputError(result["mistake"])
    return result


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _host() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": f"{sys.platform} {platform.machine()}",
        "cpu": names[0] if names else "unknown",
        "cores": os.cpu_count(),
    }
