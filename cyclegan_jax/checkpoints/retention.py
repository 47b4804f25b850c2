"""Which checkpoint is the best, and which are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Scores = Mapping[int, float | None]  # by step; higher is better, None: not evaluated


def best(scores: Scores) -> int | None:
    """The step with the best score, the earliest of equals; None without a finite one."""
    scored = [step for step in sorted(scores) if rank(scores[step]) > -np.inf]
    return max(scored, key=lambda step: rank(scores[step]), default=None)


def rank(score: float | None) -> float:
    """A number to order scores by; what is no finite score comes last."""
    return score if score is not None and np.isfinite(score) else -np.inf


class LatestAndBest:
    """A preservation policy of orbax: the newest `keep` checkpoints, and that of the best score."""

    def __init__(self, keep: int, scores: Scores):
        """Looks at `scores` anew at every save."""
        self._keep, self._scores = keep, scores

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """As orbax defines it: for each of `checkpoints`, ascending, whether it stays."""
        del context
        steps = [info.step for info in checkpoints]
        kept = {*steps[-self._keep :], best({s: self._scores.get(s) for s in steps})}
        return [step in kept for step in steps]
