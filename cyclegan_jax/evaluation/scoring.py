"""Scores of translated pairs: of every image, of every subject, and their means."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cyclegan_jax.checkpoints.contents import Saved
from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.slicing import subject_of_slice
from cyclegan_jax.evaluation.metrics import METRICS, scores, summary
from cyclegan_jax.parallel.devices import Parallel
from cyclegan_jax.state import Networks, Recipe, build_modules, init_params

PROTOCOL = "fixed"  # of the scores during training, by which checkpoints and sweeps are ranked
DIRECTIONS = ("t1_to_t2", "t2_to_t1")
FLOORS = ("t1_as_t2", "t2_as_t1")  # of the directions: the source, untranslated, as the target
_BATCH = 8  # images translated at once
_CHUNK = 16  # images scored at once: bounds the memory

Translate = Callable[[Any, np.ndarray], np.ndarray]  # parameters, [N, H, W, 1]
TranslateTo = Callable[[str, np.ndarray], np.ndarray]  # direction, [N, H, W, 1]
Summary = dict[str, dict[str, dict[str, Any]]]  # {direction: {metric: {mean, sd, n, left_out}}}
PerImage = dict[str, dict[str, np.ndarray]]  # {direction: {metric: [N]}}


def scalar_name(direction: str, metric: str) -> str:
    """What a score is called in `metrics.jsonl` and TensorBoard."""
    return f"eval/{direction}/{metric}"


def load_generators(saved: Saved, config: Any, parallel: Parallel) -> Networks:
    """The generators of a checkpoint, on the devices; averaged if the run averaged."""
    shapes = jax.eval_shape(lambda: init_params(config, build_modules(config), config.seed))
    return parallel.place_state(saved.generators(shapes))


def compile_translators(recipe: Recipe, parallel: Parallel) -> tuple[Translate, Translate]:
    """G and F on any number of host images."""
    m = recipe.modules
    return (
        parallel.compile_translate_step(m.generator_g, _BATCH),
        parallel.compile_translate_step(m.generator_f, _BATCH),
    )


class Evaluator:
    """Translates and scores pairs, at every evaluation of a run."""

    def __init__(self, translators: tuple[Translate, Translate], pairs: Pairs):
        self.pairs = pairs
        self._g, self._f = translators
        self._floors: PerImage | None = None  # the same at every evaluation

    def summary(self, generators: Networks) -> Summary:
        """Mean scores of all pairs under `PROTOCOL`; see `summarise`."""
        translated = {
            "t1_to_t2": self._g(generators.generator_g, self.pairs.x),
            "t2_to_t1": self._f(generators.generator_f, self.pairs.y),
        }
        if self._floors is None:
            self._floors = score_pairs(self.pairs, floors(self.pairs))[PROTOCOL]
        scored = score_pairs(self.pairs, translated)[PROTOCOL] | self._floors
        return summarise(scored, self.pairs.names)


def floors(pairs: Pairs) -> dict[str, np.ndarray]:
    """What a generator that does nothing makes, by the names in `FLOORS`."""
    return dict(zip(FLOORS, (pairs.x, pairs.y), strict=True))


def score_pairs(
    pairs: Pairs,
    images: Mapping[str, np.ndarray],
    head: np.ndarray | None = None,
    protocols: tuple[str, ...] = (PROTOCOL,),
) -> dict[str, PerImage]:
    """Every metric of every image against the pair's image of the other contrast.

    Args:
      pairs: held-out images.
      images: `[N, H, W, 1]` by the names in `DIRECTIONS` and `FLOORS`.
      head: of `metrics.scores`.
      protocols: of `metrics.scores`.

    Returns:
      `{protocol: {direction: {metric: [N]}}}`.
    """
    to_t2 = (DIRECTIONS[0], FLOORS[0])
    found = {
        name: score_images(made, pairs.y if name in to_t2 else pairs.x, pairs.mask, head, protocols)
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
    """`metrics.scores` of any number of images on the host, `{protocol: {metric: [N]}}`.

    The device sees a bounded number at a time.
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
    """Each subject's mean over its slices, sorted; slices without a score (NaN) do not count.

    NaN for a subject without any.
    """
    subjects = np.array([subject_of_slice(name) for name in names])
    groups = ((str(s), values[(subjects == s) & ~np.isnan(values)]) for s in np.unique(subjects))
    return {s: float(group.mean()) if len(group) else float("nan") for s, group in groups}


def summarise(per_image: PerImage, names: list[str]) -> Summary:
    """`{direction: {metric: {mean, sd, n, left_out}}}` over subjects; a subject counts by its mean.

    `left_out` is the number of images for which the score is not defined.

    Args:
      per_image: of one protocol, as `score_pairs` returns.
      names: of the pairs; a slice of a volume is `subject#index`.
    """
    return {
        direction: {
            metric: summary(list(by_subject(values, names).values()))
            | {"left_out": int(np.isnan(values).sum())}
            for metric, values in metrics.items()
        }
        for direction, metrics in per_image.items()
    }


def mean_score(summarised: Summary, metric: str) -> float:
    """The mean of both directions, by which the best checkpoint is chosen."""
    return float(np.mean([summarised[d][metric]["mean"] for d in DIRECTIONS]))
