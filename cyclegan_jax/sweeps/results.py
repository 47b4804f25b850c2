"""What the trials of a sweep scored, ranked by a validation metric."""

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax.evaluation.scoring import DIRECTIONS, scalar_name
from cyclegan_jax.sweeps.grammar import SEED, Sweep
from cyclegan_jax.sweeps.runner import DONE, ending
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training.metric_log import read_metrics

UNFINISHED = "unfinished"
_BETTER = {"ssim": 1, "psnr": 1, "mae": -1}  # whether higher or lower is better

Curve = list[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Result:
    """One trial: its length, the values of the swept keys, how it ended, and validation curves.

    `given` are the swept keys that the trial itself sets; the others have the base config's values.
    `curves` has `(step, score)` for each "direction/metric", of validation subjects.
    """

    index: int
    steps: int
    values: dict[str, Any]
    given: list[str]
    status: str
    message: str
    curves: dict[str, Curve]

    @property
    def setting(self) -> tuple[tuple[str, Any], ...]:
        """The values without the seed: trials of one setting are repetitions."""
        return tuple((k, _hashable(v)) for k, v in self.values.items() if k != SEED)

    def score(self, metric: str, direction: str | None = None) -> float | None:
        """Of the last step, the mean of both directions or one.

        None unless the trial is done and the score is a finite number.
        """
        if self.status != DONE:
            return None
        names = [direction] if direction else DIRECTIONS
        curves = (dict(self.curves[f"{name}/{metric}"]) for name in names)
        score = statistics.fmean(curve.get(self.steps, math.nan) for curve in curves)
        return score if math.isfinite(score) else None


@dataclasses.dataclass(frozen=True)
class Setting:
    """Trials that differ in nothing but the seed."""

    results: list[Result]

    @property
    def values(self) -> dict[str, Any]:
        """Of the swept keys, without the seed."""
        return {k: v for k, v in self.results[0].values.items() if k != SEED}

    @property
    def name(self) -> str:
        """The values that its trials set, as text."""
        named = (f"{k} = {self.values[k]}" for k in self.results[0].given if k != SEED)
        return ", ".join(named) or "the config as it is"

    def scores(self, metric: str, direction: str | None = None) -> list[float]:
        """One for each seed that is done."""
        found = (r.score(metric, direction) for r in self.results)
        return [score for score in found if score is not None]

    def shown(self, metric: str, direction: str | None = None) -> str:
        """Mean ± sd over seeds; without sd for a single one."""
        scores = self.scores(metric, direction)
        if not scores:
            return "none"
        text = mean_sd(scores, digits(metric))
        missing = len(scores) < len(self.results)
        return f"{text} ({len(scores)} of {len(self.results)} seeds)" if missing else text


def digits(metric: str) -> int:
    """Decimals to show."""
    return 2 if metric == "psnr" else 3


def mean_sd(scores: Sequence[float], decimals: int, separator: str = " ") -> str:
    """Mean ± sd as text; the mean alone of a single score."""
    mean = f"{statistics.fmean(scores):.{decimals}f}"
    if len(scores) == 1:
        return mean
    return f"{mean}{separator}± {statistics.stdev(scores):.{decimals}f}"


def check_metric(metric: str) -> None:
    """Raises `InputError` for a metric that training does not compute."""
    if metric not in _BETTER:
        raise InputError(f"--metric={metric}: computed are {', '.join(_BETTER)}")


def read(sweep: Sweep, workdir: Path) -> list[Result]:
    """The results of all trials so far, in their order."""
    return [_read(sweep, workdir, index) for index in sweep.indices]


def ranked(results: Sequence[Result], metric: str) -> list[Setting]:
    """Settings, the best first: by the mean over seeds, then those that have no score.

    A setting with a failed seed ranks below all that have none: it is not to be relied on.
    """
    groups: dict[Any, list[Result]] = {}
    for result in results:
        groups.setdefault(result.setting, []).append(result)

    def order(setting: Setting) -> tuple[bool, bool, float]:
        scores = setting.scores(metric)
        failed = any(r.status != UNFINISHED and r.score(metric) is None for r in setting.results)
        mean = statistics.fmean(scores) if scores else 0.0
        return not scores, failed, -_BETTER[metric] * mean

    return sorted(map(Setting, groups.values()), key=order)


def write_csv(results: Sequence[Result], path: Path) -> None:
    """One line for each trial: number, status, values, and every validation score of its end."""
    scores = [(direction, metric) for metric in _BETTER for direction in (*DIRECTIONS, None)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(
        ["trial", "status", *results[0].values]
        + [f"{metric}_{direction or 'mean'}" for direction, metric in scores]
        + ["message"]
    )
    for r in results:
        numbers = [r.score(metric, direction) for direction, metric in scores]
        shown = ["" if n is None else f"{n:.6g}" for n in numbers]
        writer.writerow([r.index, r.status, *r.values.values(), *shown, r.message])
    write_whole(path, buffer.getvalue())


def _read(sweep: Sweep, workdir: Path, index: int) -> Result:
    status, message = ending(workdir, index) or (UNFINISHED, "")
    folder = Workdir(workdir).trial(index)
    lines = read_metrics(folder) if Workdir(folder).metrics.exists() else []
    curves = {
        f"{direction}/{metric}": sorted(
            (int(line["step"]), line[name])
            for line in lines
            if (name := scalar_name(direction, metric)) in line
        )
        for direction in DIRECTIONS
        for metric in _BETTER
    }
    values = {key: sweep.value(index, key) for key in sweep.keys}
    steps, given = sweep.configs[index].steps, sweep.given(index)
    return Result(index, steps, values, given, status, message, curves)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
