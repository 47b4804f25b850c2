"""Scores of translated pairs: of each image, of each subject, and their means."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import BASELINES, DIRECTIONS, Direction
from cyclegan_jax.evaluation.metrics import METRICS, mean_and_sd, scores
from cyclegan_jax.inference import CompiledGenerators
from cyclegan_jax.models.networks import Networks

PROTOCOL = "fixed"  # of the scores during training, by which checkpoints and sweeps are ranked
RANKED_BY = "ssim"  # the score that chooses the best checkpoint, by the mean of both directions
_CHUNK = 16  # images scored at once: bounds the memory

TranslateTo = Callable[[Direction, np.ndarray], np.ndarray]  # [N, H, W, 1] to [N, H, W, 1]
MeanScores = dict[str, dict[str, dict[str, Any]]]  # {direction: {metric: {mean, sd, n, left_out}}}
PerImage = dict[str, dict[str, np.ndarray]]  # {direction: {metric: [N]}}


def scalar_name(direction: str, metric: str) -> str:
    """Returns the name of a score in `metrics.jsonl` and in TensorBoard."""
    return f"eval/{direction}/{metric}"


class Evaluator:
    """Translates and scores the same pairs at every evaluation of a run."""

    def __init__(self, compiled: CompiledGenerators, pairs: Pairs):
        self.pairs = pairs
        self._compiled = compiled
        self._baselines: PerImage | None = None  # the same at every evaluation

    def mean_scores(self, generators: Networks) -> MeanScores:
        """Returns the mean scores of all pairs under `PROTOCOL`; see `average_over_subjects`."""
        sources = {"x": self.pairs.x, "y": self.pairs.y}
        translated: dict[str, np.ndarray] = {
            direction: self._compiled.translate(generators, direction, sources[direction.source])
            for direction in DIRECTIONS
        }
        if self._baselines is None:
            self._baselines = score_pairs(self.pairs, untranslated(self.pairs))[PROTOCOL]
        scored = score_pairs(self.pairs, translated)[PROTOCOL] | self._baselines
        return average_over_subjects(scored, self.pairs.names)


def untranslated(pairs: Pairs) -> dict[str, np.ndarray]:
    """Returns the sources as if they were translations, by the names in `BASELINES`."""
    return dict(zip(BASELINES, (pairs.x, pairs.y), strict=True))


def score_pairs(
    pairs: Pairs,
    images: Mapping[str, np.ndarray],
    head: np.ndarray | None = None,
    protocols: tuple[str, ...] = (PROTOCOL,),
) -> dict[str, PerImage]:
    """Scores every image against the pair's image of the other contrast.

    Args:
      pairs: held-out images.
      images: `[N, H, W, 1]` by the names in `DIRECTIONS` and `BASELINES`.
      head: the head mask; see `metrics.scores`.
      protocols: see `metrics.scores`.

    Returns:
      `{protocol: {direction: {metric: [N]}}}`.
    """
    truths = {
        name: pairs.y if direction.target == "y" else pairs.x
        for direction in DIRECTIONS
        for name in (direction, direction.baseline)
    }
    found = {
        name: score_images(made, truths[name], pairs.mask, head, protocols)
        for name, made in images.items()
    }
    return {p: {direction: scored[p] for direction, scored in found.items()} for p in protocols}


def score_images(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    head: np.ndarray | None = None,
    protocols: tuple[str, ...] = (PROTOCOL,),
) -> dict[str, dict[str, np.ndarray]]:
    """Returns `metrics.scores` of any number of host images, `{protocol: {metric: [N]}}`.

    The device scores a bounded number at a time.
    """
    count = len(prediction)
    size = min(count, _CHUNK)
    parts = []
    for start in range(0, count, size):
        # the last chunk is filled up from the front, so that one program serves all
        chosen = np.arange(start, start + size) % count
        images = [None if a is None else a[chosen] for a in (prediction, truth, mask, head)]
        parts.append(jax.device_get(scores(*images, protocols=protocols)))  # type: ignore[arg-type]
    joined = jax.tree.map(lambda *chunks: np.concatenate(chunks)[:count], *parts)
    return {p: {m: joined[p][m] for m in METRICS if m in joined[p]} for p in protocols}


def by_subject(values: np.ndarray, names: list[str]) -> dict[str, float]:
    """Returns each subject's mean over its slices, sorted by subject.

    Slices without a score (NaN) do not count; a subject without any score gets NaN.
    """
    subjects = np.array([subject_of_slice(name) for name in names])
    groups = ((str(s), values[(subjects == s) & ~np.isnan(values)]) for s in np.unique(subjects))
    return {s: float(group.mean()) if len(group) else float("nan") for s, group in groups}


def average_over_subjects(per_image: PerImage, names: list[str]) -> MeanScores:
    """Returns `{direction: {metric: {mean, sd, n, left_out}}}` over subjects.

    A subject counts by the mean of its slices. `left_out` is the number of images for which the
    score is not defined.

    Args:
      per_image: the scores of one protocol, as `score_pairs` returns them.
      names: the names of the pairs; a slice of a volume is `subject#index`.
    """
    return {
        direction: {
            metric: mean_and_sd(list(by_subject(values, names).values()))
            | {"left_out": int(np.isnan(values).sum())}
            for metric, values in metrics.items()
        }
        for direction, metrics in per_image.items()
    }


def mean_of_directions(scored: MeanScores, metric: str) -> float:
    """Returns the mean score of both directions, by which the best checkpoint is chosen."""
    return float(np.mean([scored[d][metric]["mean"] for d in DIRECTIONS]))
