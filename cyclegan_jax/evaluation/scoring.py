"""Scores of translated pairs: of each image, of each subject, and their means."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.domains import BASELINES, DIRECTIONS, TARGETS, Direction
from cyclegan_jax.evaluation.metrics import (
    BRAIN,
    ENERGY,
    METRICS,
    PROTOCOLS,
    mean_and_sd,
    scores,
    ssim_map,
)

WHOLE = "fixed"  # the protocol of whole images
RANKED_BY = "ssim"  # the score that chooses the best checkpoint, by the mean of both directions
_CHUNK = 16  # images scored at once: bounds the memory

TranslateTo = Callable[[Direction, np.ndarray], np.ndarray]  # [N, H, W, 1] to [N, H, W, 1]
MeanScores = dict[str, dict[str, dict[str, Any]]]  # {direction: {metric: {mean, sd, n, left_out}}}
PerImage = dict[str, dict[str, np.ndarray]]  # {direction: {metric: [N]}}


def headline(pairs: Pairs) -> str:
    """Returns the protocol by which checkpoints, sweeps and pictures of pairs are ranked.

    It is `brain` where the pairs have labels, and else `fixed`.
    """
    return WHOLE if pairs.labels is None else BRAIN


def headline_of(found: Mapping[str, Any]) -> str:
    """Returns the headline protocol of the content of a `scores.json`; an older one says none."""
    return found.get("headline", WHOLE)


def protocols_for(pairs: Pairs) -> tuple[str, ...]:
    """Returns the protocols under which the pairs can be scored."""
    return tuple(p for p in PROTOCOLS if p != BRAIN or pairs.labels is not None)


def scalar_name(direction: str, metric: str, protocol: str = WHOLE) -> str:
    """Returns the name of a score in `metrics.jsonl` and in TensorBoard.

    It names the protocol, but for `fixed`, which was the only one in earlier runs.
    """
    return "/".join(["eval", *([protocol] if protocol != WHOLE else []), direction, metric])


def parts_of_scalar(name: str) -> tuple[str, str, str] | None:
    """Returns protocol, direction and metric of a name of `scalar_name`; None for another name."""
    words = name.split("/")
    if words[0] != "eval" or len(words) not in (3, 4):
        return None
    protocol = words[1] if len(words) == 4 else WHOLE
    return protocol, words[-2], words[-1]


def untranslated(pairs: Pairs) -> dict[str, np.ndarray]:
    """Returns the sources as if they were translations, by the names in `BASELINES`."""
    return dict(zip(BASELINES, (pairs.x, pairs.y), strict=True))


def score_pairs(
    pairs: Pairs,
    images: Mapping[str, np.ndarray],
    head: np.ndarray | None = None,
    protocols: tuple[str, ...] = (WHOLE,),
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
    truths = {"x": pairs.x, "y": pairs.y}
    found = {
        name: score_images(made, truths[TARGETS[name]], pairs.mask, head, protocols, pairs.brain)
        for name, made in images.items()
    }
    return {p: {direction: scored[p] for direction, scored in found.items()} for p in protocols}


def score_images(
    prediction: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    head: np.ndarray | None = None,
    protocols: tuple[str, ...] = (WHOLE,),
    brain: np.ndarray | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Returns `metrics.scores` of any number of host images, `{protocol: {metric: [N]}}`.

    The device scores a bounded number at a time.
    """
    joined = _in_chunks(
        functools.partial(scores, protocols=protocols), prediction, truth, mask, head, brain
    )
    kept = (*METRICS, ENERGY)
    return {p: {m: joined[p][m] for m in kept if m in joined[p]} for p in protocols}


def ssim_maps(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns `metrics.ssim_map` of any number of host images, `[N, H, W]`."""
    return _in_chunks(ssim_map, prediction, truth, mask)[..., 0]


def _in_chunks(score: Callable[..., Any], *images: np.ndarray | None) -> Any:
    """Returns what `score` makes of any number of host images; None is handed on as it is."""
    count = next(len(a) for a in images if a is not None)
    size = min(count, _CHUNK)
    parts = []
    for start in range(0, count, size):
        # the last chunk is filled up from the front, so that one program serves all
        chosen = np.arange(start, start + size) % count
        parts.append(jax.device_get(score(*(None if a is None else a[chosen] for a in images))))
    return jax.tree.map(lambda *chunks: np.concatenate(chunks)[:count], *parts)


def by_subject(metrics: Mapping[str, np.ndarray], names: list[str]) -> dict[str, dict[str, float]]:
    """Returns each subject's score of each metric, `{metric: {subject: score}}`.

    It is the mean over the subject's slices, and for NMSE the ratio of the sums over them, since a
    slice with hardly any head, whose NMSE is huge, would rule a mean of ratios. Slices without a
    score (NaN) do not count; a subject without any score gets NaN. Subjects are sorted.

    Args:
      metrics: the scores of each image, as `score_images` returns them.
      names: the names of the images.
    """
    subjects = np.array([subject_of_slice(name) for name in names])
    weights = {"nmse": metrics[ENERGY]} if ENERGY in metrics else {}
    return {
        metric: {
            str(s): _mean(
                values[subjects == s], weights.get(metric, np.ones(len(names)))[subjects == s]
            )
            for s in np.unique(subjects)
        }
        for metric, values in metrics.items()
        if metric != ENERGY
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Returns the weighted mean of the values that are not NaN, or NaN."""
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")


def average_over_subjects(per_image: PerImage, names: list[str]) -> MeanScores:
    """Returns `{direction: {metric: {mean, sd, n, left_out}}}` over subjects.

    A subject counts by its score, see `by_subject`. `left_out` is the number of images for which
    the score is not defined.

    Args:
      per_image: the scores of one protocol, as `score_pairs` returns them.
      names: the names of the pairs; a slice of a volume is `subject#index`.
    """
    return {
        direction: {
            metric: mean_and_sd(list(subjects.values()))
            | {"left_out": int(np.isnan(metrics[metric]).sum())}
            for metric, subjects in by_subject(metrics, names).items()
        }
        for direction, metrics in per_image.items()
    }


def average_by_group(
    per_image: PerImage, names: list[str], groups: Mapping[str, str]
) -> dict[str, MeanScores]:
    """Returns `average_over_subjects` for each group of subjects, sorted.

    Args:
      per_image: the scores of one protocol.
      names: the names of the pairs.
      groups: of subjects; those that have none do not count.
    """
    of = np.array([groups.get(subject_of_slice(name), "") for name in names])
    return {
        group: average_over_subjects(
            {
                d: {m: v[of == group] for m, v in metrics.items()}
                for d, metrics in per_image.items()
            },
            [name for name, own in zip(names, of, strict=True) if own == group],
        )
        for group in map(str, np.unique(of))
        if group
    }


def mean_of_directions(scored: MeanScores, metric: str) -> float:
    """Returns the mean score of both directions, by which the best checkpoint is chosen."""
    return float(np.mean([scored[d][metric]["mean"] for d in DIRECTIONS]))
