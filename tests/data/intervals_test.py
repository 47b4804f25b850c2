"""Intervals hold the true value as often as they say, on subjects that did not calibrate them."""

import json

import numpy as np
import pytest

from cyclegan_jax.data import intervals as i

VOXELS = 20_000


def subject(seed: int, spread: float = 0.1, bias: float = 0.0) -> dict[str, np.ndarray]:
    """Errors are larger where the source is bright, and the translation is too dark there."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(-0.9, 0.6, VOXELS).astype(np.float32)
    truth = np.clip(-source + rng.normal(0, 0.05, VOXELS), -1, 1)
    bright = source > 0
    error = rng.normal(0, 1, VOXELS) * np.where(bright, 3 * spread, spread) - 0.1 * bright + bias
    return {
        "source": source,
        "made": np.clip(truth + error, -1, 1).astype(np.float32),
        "truth": truth.astype(np.float32),
        "height": np.linspace(0, 1, VOXELS),
        "tissue": np.where(bright, "fat", np.where(source < -0.5, "fluid", "")),
    }


@pytest.fixture(scope="module")
def found():
    return i.measured([subject(n) for n in range(4)])


def test_the_coverage_of_left_out_subjects_is_the_level(found):
    assert found["left_out"]
    assert found["subjects"] == 4
    widths = []
    for level in i.LEVELS:
        entry = found["coverage"][str(level)]
        assert abs(entry["mean"] - level) < 0.025
        assert entry["least"] <= entry["mean"] <= entry["most"]
        assert entry["n"] == 4
        widths.append(entry["width"])
    assert widths == sorted(widths)
    assert found["parts"].keys() == {"fat", "fluid", *i._HEIGHTS}
    assert all(abs(part["mean"] - i.MAIN) < 0.03 for part in found["parts"].values())


def test_the_coverage_is_that_of_the_others_if_there_are_some():
    worse = i.measured([subject(n) for n in range(3)], [subject(9, spread=0.3)])
    assert not worse["left_out"]
    assert worse["coverage"]["0.9"]["n"] == 1
    assert worse["coverage"]["0.9"]["mean"] < 0.7


def test_intervals_are_widened_for_people_who_differ():
    """Each person has a shift of its own, which the quantiles of the other people do not hold."""
    people = [subject(n, spread=0.02, bias=0.1 * (-1) ** n) for n in range(6)]
    widened = i.measured(people, [subject(n, 0.02, 0.1 * (-1) ** n) for n in (20, 21)])
    assert abs(widened["coverage"]["0.9"]["mean"] - 0.9) < 0.05
    alone = i.measured([subject(n, spread=0.02) for n in range(6)])
    assert widened["coverage"]["0.9"]["width"] > 1.5 * alone["coverage"]["0.9"]["width"]


def test_intervals_are_wide_where_errors_are_large_and_follow_a_bias(found):
    source = np.array([-0.8, 0.4], np.float32)
    made = np.array([0.8, -0.5], np.float32)
    low, high = i.bounds(found, 0.9, source, made)
    assert (high - low)[1] > 1.1 * (high - low)[0]
    assert (high + low)[1] / 2 > made[1] + 0.03  # translations of bright sources are too dark
    inner = i.bounds(found, 0.5, source, made)
    assert (inner[0] > low).all()
    assert (inner[1] < high).all()


def test_ends_stay_in_the_range_and_air_has_none(found):
    source = np.full((2, 9, 9), -1, np.float32)
    source[:, 2:7, 2:7] = -0.7
    made = np.where(source > -1, np.float32(0.95), np.float32(-1))
    low, high = i.head_bounds(found, 0.95, source, made)
    assert low.shape == high.shape == made.shape
    assert low.dtype == high.dtype == np.float32
    head = source > -1
    assert (low[~head] == -1).all()
    assert (high[~head] == -1).all()
    assert (low < high)[head].all()
    assert high.max() <= 1


def test_a_group_without_voxels_has_the_quantiles_of_all():
    one = subject(0)
    few = i.calibrated(one["source"], -one["source"], one["truth"])  # most groups are empty
    tables = np.array(few["high"]["0.9"])
    assert np.isfinite(tables).all()
    assert len(np.unique(tables)) < tables.size


@pytest.mark.parametrize(
    "changed",
    [
        {"source_edges": [0.0]},
        {"made_edges": [1.0 - n for n in range(11)]},
        {"low": {}},
        {"high": {str(level): [[-9.0] * 12] * 12 for level in i.LEVELS}},
        {"coverage": {"0.9": {"mean": "all", "least": 0, "most": 1, "n": 1, "width": 1}}},
        {"subjects": "four"},
        {"parts": {"a\nb": {"mean": 0, "least": 0, "most": 0, "n": 1}}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_are_no_intervals_is_refused(found, changed):
    i.check_intervals(json.loads(json.dumps(found)))
    with pytest.raises((ValueError, KeyError, TypeError)):
        i.check_intervals({**found, **changed})
