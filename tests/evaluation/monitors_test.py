"""What scores a run while it trains, with and without pairs."""

import dataclasses
import math

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.evaluation import scoring
from cyclegan_jax.evaluation.monitors import RANKING_SCALARS, PairMonitor, PatchMonitor
from cyclegan_jax.evaluation.unpaired import UnpairedImages
from cyclegan_jax.render.text_table import as_text


class Translates:
    """Generators that change their input by a function."""

    def __init__(self, change):
        self._change = change

    def translate(self, generators, direction, images):
        return self._change(images)


def copy(images):
    return images


@pytest.fixture
def pairs():
    """Two slices of two heads: a disc of two tissues, whose order differs between x and y."""
    y, x = np.mgrid[:24, :24]
    disc, left = np.hypot(y - 12, x - 12) < 9, x < 12
    one = np.where(disc, np.where(left, 0.2, 0.8), -1.0)
    two = np.where(disc, np.where(left, 0.7, 0.1), -1.0)
    a, b = (np.stack([image] * 2)[..., None].astype(np.float32) for image in (one, two))
    labels = np.stack([disc * np.where(left, 1, 2)] * 2).astype(np.uint16)
    mask = np.ones(a.shape, bool)
    return Pairs(a, b, mask, ["a#000", "b#000"], labels, {"a": [1], "b": [2]})


@pytest.mark.parametrize("labelled", [True, False])
def test_pairs_are_scored_by_the_headline_alone(pairs, labelled, monkeypatch):
    if not labelled:
        pairs = dataclasses.replace(pairs, labels=None)
    asked = []
    inner = scoring.scores
    monkeypatch.setattr(
        scoring, "scores", lambda *a, **k: [asked.append(k["protocols"]), inner(*a, **k)][1]
    )
    monitor = PairMonitor(Translates(copy), pairs)
    scored = monitor.scored(None)
    assert set(asked) == {("brain",) if labelled else ("fixed",)}
    name = f"eval/{'brain/' if labelled else ''}{{}}/ssim"
    found = [scored.scalars[name.format(d)] for d in ("t1_to_t2", "t2_to_t1", "t1_as_t2")]
    assert found[0] == found[2]
    assert scored.rank == pytest.approx((found[0] + found[1]) / 2)
    assert name.format("t1_to_t2") in RANKING_SCALARS
    assert bool(scored.polarity) is labelled
    assert monitor.scored(None).rank == scored.rank
    count = len(asked)
    monitor.scored(None)
    assert len(asked) == count + 2  # the untranslated images are scored once


def textured(sd: float, count: int = 4) -> UnpairedImages:
    rng = np.random.default_rng(count)
    images = np.full((count, 24, 24, 1), -1, np.float32)
    images[:, 4:-4, 4:-4] = rng.normal(0.3, sd, (count, 16, 16, 1))
    return UnpairedImages(images, np.ones(images.shape, bool), list("abcdefgh"[:count]))


def test_without_pairs_translations_that_look_like_the_target_rank_first():
    x, y = textured(0.05), textured(0.2)
    ranks, lines = [], []
    for factor in (0.0, 1.0, 3.0):

        def change(images, factor=factor):
            """Makes the texture of x that of y, and that of y smooth or rough, as the factor is."""
            strength = np.where(images > -1, factor, 0)
            return (images + strength * (images - 0.3)).astype(np.float32)

        monitor = PatchMonitor(Translates(change), x, y)
        scored = monitor.scored(None)
        one, two = (
            scored.scalars[f"eval/patches/{d}/patch_distance"] for d in ("t1_to_t2", "t2_to_t1")
        )
        assert scored.rank == pytest.approx(-(one + two) / 2)
        assert scored.polarity == {}
        ranks.append(one)
        lines.append(as_text(scored.table))
    assert ranks[0] > ranks[1] > 1.5 * ranks[2]
    assert "eval/patches/t1_to_t2/patch_distance" in RANKING_SCALARS
    assert "does not measure whether a translation is correct" in " ".join(lines[0].split())
    same = PatchMonitor(Translates(copy), x, x).scored(None)
    assert same.rank > -0.01


def test_without_a_head_there_is_no_rank():
    empty = UnpairedImages(
        np.full((2, 24, 24, 1), -1, np.float32), np.ones((2, 24, 24, 1), bool), ["a", "b"]
    )
    scored = PatchMonitor(Translates(copy), empty, empty).scored(None)
    assert math.isnan(scored.rank)
    assert scored.scalars == {}
    assert "none" in as_text(scored.table)
