"""Scores a run again and again while it trains: on held-out pairs, or without any.

The score that ranks its checkpoints is the SSIM of the pairs. Without pairs it is the distance of
patches of the translations to those of real images, see `unpaired.patch_distances`.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.domains import DIRECTIONS
from cyclegan_jax.evaluation import regions, unpaired
from cyclegan_jax.evaluation.metrics import PROTOCOLS
from cyclegan_jax.evaluation.scoring import (
    RANKED_BY,
    PerImage,
    average_over_subjects,
    headline,
    mean_of_directions,
    scalar_name,
    score_pairs,
    untranslated,
)
from cyclegan_jax.evaluation.tables import distance_table, protocol_table
from cyclegan_jax.inference import CompiledGenerators
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.render.text_table import Table

PATCHES = "patches"  # the protocol of the scores without pairs
_DISTANCE = "patch_distance"

# The scores by which runs, those of earlier versions too, may have ranked a checkpoint.
RANKING_SCALARS = (
    *(scalar_name(DIRECTIONS[0], RANKED_BY, protocol) for protocol in PROTOCOLS),
    scalar_name(DIRECTIONS[0], _DISTANCE, PATCHES),
)


class Scored(NamedTuple):
    """The scores of one state.

    Attributes:
      rank: the score that chooses the best checkpoint, higher is better; NaN if there is none.
      scalars: all scores, by their names in `metrics.jsonl`.
      table: the same, to print.
      polarity: of the tissues, see `regions.polarity`; empty if they are not known.
    """

    rank: float
    scalars: dict[str, float]
    table: Table
    polarity: Mapping[str, Any]


class Monitor(Protocol):
    """Scores generators on the same images each time.

    Attributes:
      protocol: of its scores; those of two protocols must not be compared.
    """

    protocol: str

    def scored(self, generators: Networks) -> Scored:
        """Translates and scores.

        Args:
          generators: parameters, on the devices.
        """
        ...


class PairMonitor:
    """Scores translated pairs, under the headline protocol."""

    def __init__(self, compiled: CompiledGenerators, pairs: Pairs):
        """Keeps the pairs; the untranslated ones are scored once, when they are first needed."""
        self.protocol = headline(pairs)
        self._compiled, self._pairs = compiled, pairs
        self._baselines: PerImage | None = None

    def scored(self, generators: Networks) -> Scored:
        """See `Monitor.scored`."""
        pairs, protocols = self._pairs, (self.protocol,)
        sources = {"x": pairs.x, "y": pairs.y}
        translated: dict[str, np.ndarray] = {
            direction: self._compiled.translate(generators, direction, sources[direction.source])
            for direction in DIRECTIONS
        }
        if self._baselines is None:
            baselines = untranslated(pairs)
            self._baselines = score_pairs(pairs, baselines, protocols=protocols)[self.protocol]
        found = score_pairs(pairs, translated, protocols=protocols)[self.protocol]
        means = average_over_subjects(found | self._baselines, pairs.names)
        polarity = {}
        if pairs.labels is not None:
            polarity = regions.polarity(pairs, translated, pairs.labels, pairs.tissues)
        scalars = {
            scalar_name(direction, metric, self.protocol): value["mean"]
            for direction, metrics in means.items()
            for metric, value in metrics.items()
        }
        rank = mean_of_directions(means, RANKED_BY)
        return Scored(rank, scalars, protocol_table(self.protocol, means), polarity)


class PatchMonitor:
    """Scores translated training images by the distance of their patches to real ones."""

    protocol = PATCHES

    def __init__(
        self, compiled: CompiledGenerators, x: unpaired.UnpairedImages, y: unpaired.UnpairedImages
    ):
        """Keeps the images of both domains."""
        self._compiled, self._images = compiled, {"x": x, "y": y}

    def scored(self, generators: Networks) -> Scored:
        """See `Monitor.scored`; the rank is the negative mean distance of both directions."""
        translated = {
            str(direction): self._compiled.translate(
                generators, direction, self._images[direction.source].images
            )
            for direction in DIRECTIONS
        }
        found = unpaired.patch_distances(self._images["x"], self._images["y"], translated)
        known = {name: value for name, value in found.items() if math.isfinite(value)}
        rank = -float(np.mean([found[direction] for direction in DIRECTIONS]))
        scalars = {scalar_name(name, _DISTANCE, PATCHES): value for name, value in known.items()}
        return Scored(rank, scalars, distance_table(_DISTANCE, found), {})
