"""Reads the scores of the trials of a sweep and ranks them by a validation metric."""

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation.metrics import PROTOCOLS
from cyclegan_jax.evaluation.scoring import WHOLE, scalar_name
from cyclegan_jax.sweeps.grammar import SEED, Sweep
from cyclegan_jax.sweeps.runner import DONE, ending
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training.metric_log import read_metrics

UNFINISHED = "unfinished"
_BETTER = {"ssim": 1, "psnr": 1, "mae": -1}  # 1 if a higher score is better, -1 if a lower one

Curve = list[tuple[int, float]]  # (step, score)


@dataclasses.dataclass(frozen=True)
class Result:
    """One trial: its values, how it ended, and its validation scores.

    Attributes:
      index: the number of the trial.
      steps: the number of steps that its config asks for.
      values: the swept keys and the trial's values.
      given: the swept keys that the trial itself sets; the others have the base config's values.
      status: `DONE`, `FAILED` or `UNFINISHED`.
      message: why it failed; else empty.
      curves: the mean score of the validation subjects by step, for each "direction/metric".
      protocol: that of the scores, the same for all trials.
    """

    index: int
    steps: int
    values: dict[str, Any]
    given: list[str]
    status: str
    message: str
    curves: dict[str, Curve]
    protocol: str = WHOLE

    @property
    def setting(self) -> tuple[tuple[str, Any], ...]:
        """The values without the seed. Trials with the same setting are repetitions."""
        return tuple((k, _hashable(v)) for k, v in self.values.items() if k != SEED)

    def score(self, metric: str, direction: str | None = None) -> float | None:
        """Returns the score at the last step: of one direction, or the mean of both.

        It is None unless the trial is done and the score is a finite number.
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
        """The values of the swept keys, without the seed."""
        return {k: v for k, v in self.results[0].values.items() if k != SEED}

    @property
    def name(self) -> str:
        """The values that its trials set, as text."""
        named = (f"{k} = {self.values[k]}" for k in self.results[0].given if k != SEED)
        return ", ".join(named) or "the config as it is"

    def scores(self, metric: str, direction: str | None = None) -> list[float]:
        """Returns one score for each seed that is done, as `Result.score` does."""
        found = (r.score(metric, direction) for r in self.results)
        return [score for score in found if score is not None]

    def score_text(self, metric: str, direction: str | None = None) -> str:
        """Returns mean ± sd over seeds as text; a single seed has no sd."""
        scores = self.scores(metric, direction)
        if not scores:
            return "none"
        text = mean_sd(scores, decimals(metric))
        missing = len(scores) < len(self.results)
        return f"{text} ({len(scores)} of {len(self.results)} seeds)" if missing else text


def decimals(metric: str) -> int:
    """Returns how many decimals of a score are shown."""
    return 2 if metric == "psnr" else 3


def mean_sd(scores: Sequence[float], digits: int, separator: str = " ") -> str:
    """Returns mean ± sd as text with `digits` decimals; a single score has no sd."""
    mean = f"{statistics.fmean(scores):.{digits}f}"
    if len(scores) == 1:
        return mean
    return f"{mean}{separator}± {statistics.stdev(scores):.{digits}f}"


def check_metric(metric: str) -> None:
    """Raises `InputError` if training does not compute the metric."""
    if metric not in _BETTER:
        raise InputError(f"--metric={metric}: choose one of {', '.join(_BETTER)}")


def read_results(sweep: Sweep, workdir: Path) -> list[Result]:
    """Returns the result of each trial so far, in the order of the trials.

    Scores of two protocols must not be compared: those under which most trials are scored count,
    and a trial that is scored by another one alone has no score and says so.
    """
    logs = {}
    for index in sweep.indices:
        folder = Workdir(workdir).trial(index)
        logs[index] = read_metrics(folder) if Workdir(folder).metrics.exists() else []
    counts = {p: sum(_is_scored(lines, p) for lines in logs.values()) for p in PROTOCOLS}
    protocol = max(PROTOCOLS, key=lambda p: counts[p]) if any(counts.values()) else WHOLE
    return [_read_result(sweep, workdir, index, logs[index], protocol) for index in sweep.indices]


def _is_scored(lines: Sequence[dict[str, float]], protocol: str) -> bool:
    return any(scalar_name(DIRECTIONS[0], "ssim", protocol) in line for line in lines)


def ranked_settings(results: Sequence[Result], metric: str) -> list[Setting]:
    """Returns the settings, the best first: by the mean score over their seeds.

    A setting with a failed seed comes after all settings without one, because nobody can rely on
    it. Settings without a score come last.
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
    """Writes a CSV file with one line for each trial.

    The line has the number of the trial, its status, its values, every validation score at its last
    step (empty if there is none), and the message of a failure.
    """
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


def _read_result(
    sweep: Sweep, workdir: Path, index: int, lines: Sequence[dict[str, float]], protocol: str
) -> Result:
    status, message = ending(workdir, index) or (UNFINISHED, "")
    others = [p for p in PROTOCOLS if p != protocol and _is_scored(lines, p)]
    if others and not _is_scored(lines, protocol):
        message = message or f"its scores are under {others[0]}, those of most trials {protocol}"
    curves = {
        f"{direction}/{metric}": sorted(
            (int(line["step"]), line[name])
            for line in lines
            if (name := scalar_name(direction, metric, protocol)) in line
        )
        for direction in DIRECTIONS
        for metric in _BETTER
    }
    values = {key: sweep.value(index, key) for key in sweep.swept_keys}
    steps, given = sweep.configs[index].steps, sweep.given(index)
    return Result(index, steps, values, given, status, message, curves, protocol)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
