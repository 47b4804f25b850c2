"""The jump between slices: of stripes, of blur, of the pixels that count."""

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.evaluation.slice_jumps import slice_jumps

SLICES = 6


@pytest.fixture
def truth():
    """Two volumes, smooth in all directions, in a head that fills the images."""
    places = np.linspace(0, 3, 24)
    z = np.arange(SLICES)[:, None, None] * (places[1] - places[0])
    volume = 0.5 * np.sin(places[:, None] + 0.5) * np.cos(places) * np.sin(z + 0.3) + 0.3
    return np.concatenate([volume, volume[:, ::-1]]).astype(np.float32)[..., None]


def pairs_of(x, y, names=None, labels=None):
    names = names or [f"{subject}#{i:03d}" for subject in "ab" for i in range(SLICES)]
    return Pairs(x, y, np.ones(x.shape, bool), names, labels)


def test_the_truth_scores_1_stripes_more_and_blur_less(truth):
    striped = truth.copy()
    striped[::2] += 0.05
    blurred = truth.copy()
    for first in (0, SLICES):
        blurred[first : first + SLICES] = truth[first : first + SLICES].mean(axis=0)
    found = slice_jumps(pairs_of(truth, truth), {"t1_to_t2": striped, "t2_to_t1": blurred})
    assert found["t1_to_t2"]["mean"] > 2
    assert found["t2_to_t1"] == {"mean": 0.0, "sd": 0.0, "n": 2}
    same = slice_jumps(pairs_of(truth, truth), {"t1_to_t2": truth})
    assert same["t1_to_t2"] == {"mean": 1.0, "sd": 0.0, "n": 2}


def test_the_jump_is_a_ratio_of_mean_squares():
    rows = np.arange(4, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    truth = np.stack([0.1 * rows, 0.1 * rows + 0.2])[..., None] / 2
    made = np.stack([0.1 * rows, 0.1 * rows + 0.6])[..., None] / 2
    pairs = pairs_of(truth, truth, ["a#004", "a#005"])
    assert slice_jumps(pairs, {"t1_to_t2": made})["t1_to_t2"]["mean"] == pytest.approx(9)
    # A brighter contrast has larger differences in all directions, and the same jump.
    assert slice_jumps(pairs, {"t1_to_t2": 3 * truth})["t1_to_t2"]["mean"] == pytest.approx(1)


def test_each_direction_has_its_own_truth(truth):
    steep = truth * np.linspace(0.2, 1, 2 * SLICES, dtype=np.float32)[:, None, None, None]
    pairs = pairs_of(truth, steep)
    found = slice_jumps(pairs, {"t1_to_t2": steep, "t2_to_t1": truth, "t1_as_t2": truth})
    assert found["t1_to_t2"]["mean"] == found["t2_to_t1"]["mean"] == 1
    assert found["t1_as_t2"]["mean"] != pytest.approx(1, abs=0.05)


def test_only_the_brain_counts_where_there_are_labels(truth):
    labels = np.zeros(truth.shape[:3], np.uint16)
    labels[:, 8:16, 8:16] = 1
    striped = truth.copy()
    striped[::2][labels[::2] == 0] += 0.1
    assert slice_jumps(pairs_of(truth, truth, labels=labels), {"t1_to_t2": striped})["t1_to_t2"][
        "mean"
    ] == pytest.approx(1)
    assert slice_jumps(pairs_of(truth, truth), {"t1_to_t2": striped})["t1_to_t2"]["mean"] > 1.1


def test_only_neighbouring_slices_of_one_scan_are_compared(truth):
    images = [f"slice_{i:03d}" for i in range(2 * SLICES)]
    apart = [f"a#{2 * i:03d}" for i in range(2 * SLICES)]
    for names in (images, apart):
        assert slice_jumps(pairs_of(truth, truth, names), {"t1_to_t2": truth}) == {}
    # Neither the next subject's first slice nor the order of the names makes neighbours.
    mixed = ["a#000", "b#001", "a#001", "b#002", *(f"c{i}#000" for i in range(2 * SLICES - 4))]
    apart = truth.copy()
    apart[1] += 0.5
    apart[3] += 0.5
    assert slice_jumps(pairs_of(apart, apart, mixed), {"t1_to_t2": apart})["t1_to_t2"]["n"] == 2


def test_a_scan_without_a_head_has_no_jump():
    air = np.full((2, 16, 16, 1), -1, np.float32)
    assert slice_jumps(pairs_of(air, air, ["a#000", "a#001"]), {"t1_to_t2": air}) == {}
