"""The rule which checkpoint is the best, and which checkpoints are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Scores = Mapping[int, float | None]  # by step; higher is better; None where it was not evaluated


def best_first(scores: Scores) -> list[int]:
    """Returns the steps that have a finite score, the best first; of equals the earliest first."""
    finite = {s: score for s, score in scores.items() if score is not None and np.isfinite(score)}
    return sorted(finite, key=lambda step: (-finite[step], step))


class LatestAndBest:
    """Keeps the newest checkpoints and the one with the best score; a preservation policy of orbax.

    Not orbax's own `BestN`: it ranks by metrics that orbax saves in each checkpoint. Our scores are
    in `meta`, under its digest, and may come after the save (`Checkpoints.rate`).
    """

    def __init__(self, keep: int, scores: Scores):
        """Keeps `keep` newest checkpoints; `scores` are looked up anew at every save."""
        self._keep, self._scores = keep, scores

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Returns for each of `checkpoints`, in ascending order, whether it is kept."""
        del context
        steps = [info.step for info in checkpoints]
        best = best_first({step: self._scores.get(step) for step in steps})[:1]
        kept = {*steps[-self._keep :], *best}
        return [step in kept for step in steps]
