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
        "depth": rng.uniform(0, 0.3, VOXELS),
        "below": np.linspace(150, 0, VOXELS),
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
    """The quantiles of two people with shifts of their own do not hold for a third."""
    people = [subject(n, spread=0.02, bias=shift) for n, shift in enumerate((-0.2, 0.0, 0.2))]
    together = {name: np.concatenate([p[name] for p in people]) for name in people[0]}
    low, high = i.bounds(i.calibrated(together), 0.9, people[1])
    found = i.measured(people)
    wide_low, wide_high = i.bounds(found, 0.9, people[1])
    assert (wide_high - wide_low).mean() > 1.2 * (high - low).mean()
    assert found["coverage"]["0.9"]["mean"] > 0.7


def test_intervals_are_wide_where_errors_are_large_and_follow_a_bias(found):
    made = np.array([0.8, -0.5], np.float32)
    voxels = {
        "source": np.array([-0.8, 0.4]),
        "made": made,
        "depth": np.full(2, 0.1),
        "below": np.full(2, 70.0),
    }
    low, high = i.bounds(found, 0.9, voxels)
    assert (high - low)[1] > 1.1 * (high - low)[0]
    assert (high + low)[1] / 2 > made[1] + 0.03  # translations of bright sources are too dark
    inner = i.bounds(found, 0.5, voxels)
    assert (inner[0] > low).all()
    assert (inner[1] < high).all()


def test_ends_stay_in_the_range_and_air_has_none(found):
    source = np.full((2, 9, 9), -1, np.float32)
    source[:, 2:7, 2:7] = -0.7
    made = np.where(source > -1, np.float32(0.95), np.float32(-1))
    low, high = i.head_bounds(found, 0.95, source, made, np.array([0.0, 5.0]))
    assert low.shape == high.shape == made.shape
    assert low.dtype == high.dtype == np.float32
    head = source > -1
    assert (low[~head] == -1).all()
    assert (high[~head] == -1).all()
    assert (low < high)[head].all()
    assert high.max() <= 1


def test_depth_is_the_distance_to_the_edge_whatever_the_pixel():
    source = np.full((2, 40, 40), -1, np.float32)
    source[0, 10:30, 10:30] = 0
    head, depth, below = i.places(source, np.array([3.0, 6.0]))
    assert head.sum() == 400
    assert depth[0, 20, 20] == 0.5
    assert depth[0, 10, 20] == 1 / 20
    assert not depth[1].any()
    assert (below[1] == 6).all()
    fine = i.places(source.repeat(2, axis=1).repeat(2, axis=2), np.zeros(2))[1]
    assert abs(fine[0, 40, 40] - 0.5) < 0.03


def test_errors_that_grow_with_depth_or_height_get_wider_intervals():
    def shaky(seed: int, name: str) -> dict[str, np.ndarray]:
        one = subject(seed, spread=0.02)
        share = one[name] / one[name].max()
        noise = np.random.default_rng(seed).normal(0, 0.3, VOXELS) * share
        return one | {"made": np.clip(one["made"] + noise, -1, 1)}

    for name in ("depth", "below"):
        found = i.measured([shaky(n, name) for n in range(3)])
        ends = {"source": np.full(2, -0.4), "made": np.full(2, 0.4)}
        ends |= {"depth": np.full(2, 0.15), "below": np.full(2, 75.0)}
        ends[name] = np.array([0.0, ends[name][0] * 2])
        low, high = i.bounds(found, 0.9, ends)
        assert (high - low)[1] > 2 * (high - low)[0], name


def test_a_group_with_few_voxels_has_the_quantiles_of_more():
    one = subject(0)
    few = i.calibrated(one | {"made": -one["source"]})  # most groups are empty
    table = i._table(few["high"]["0.9"])
    assert np.isfinite(table).all()
    assert len(np.unique(table)) < len(table) / 2


def test_the_sparsification_curve_lies_between_the_best_and_the_order_of_chance(found):
    rng = np.random.default_rng(3)
    spread = rng.uniform(0.01, 0.2, VOXELS)
    error = np.abs(rng.normal(0, spread))
    best, known, unknown = (i.sparsification(error, by) for by in (error, spread, np.zeros(VOXELS)))
    assert best["order"] == 1
    np.testing.assert_allclose(best["error"], best["best"])
    assert best["error"][0] == pytest.approx(error.mean() / 2)
    assert best["error"][-1] == pytest.approx(np.sort(error)[: VOXELS // 10].mean() / 2)
    assert 0.3 < known["order"] < 0.7
    assert abs(unknown["order"]) < 0.03
    opposite = i.sparsification(error, -error)
    assert opposite["order"] < -0.5
    # the widths of intervals of people who did not calibrate them know where errors are large
    curve = found["sparsification"]
    assert curve["order"] > 0.3
    assert len(curve["error"]) == len(curve["best"]) == len(i.KEPT)
    assert all(a >= b for a, b in zip(curve["error"], curve["best"], strict=True))


def test_voxels_that_are_equally_uncertain_are_left_out_at_random():
    """Their order in the volume says nothing: air at its edges would come first."""
    error = np.linspace(0, 1, VOXELS)
    np.testing.assert_allclose(i.sparsification(error, np.ones(VOXELS))["error"], 0.25, atol=0.01)


@pytest.mark.parametrize(
    "changed",
    [
        {"sparsification": {"error": [0.1], "best": [0.1], "order": 0.5}},
        {"edges": {name: [0.0] * n for name, n in i.GROUPS.items()}},
        {"edges": {name: [-k for k in range(n - 1)] for name, n in i.GROUPS.items()}},
        {"low": {}},
        {"low": {str(level): "0.1 0.2" for level in i.LEVELS}},
        {"high": {str(level): " ".join(["-9"] * i._SIZE) for level in i.LEVELS}},
        {"high": {str(level): " ".join(["nan"] * i._SIZE) for level in i.LEVELS}},
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
