"""Scores of many images: in chunks, by subject, with what is not defined left out."""

import dataclasses

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.evaluation import scoring
from cyclegan_jax.evaluation.metrics import ENERGY, METRICS, PROTOCOLS
from cyclegan_jax.evaluation.scoring import (
    average_by_group,
    average_over_subjects,
    by_subject,
    headline,
    headline_of,
    parts_of_scalar,
    protocols_for,
    scalar_name,
    score_images,
    score_pairs,
    untranslated,
)
from cyclegan_jax.evaluation.tables import score_tables


@pytest.fixture
def pairs():
    """Seven slices of three heads: discs with a dark core on dark air."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24]
    radius = np.hypot(y - 12, x - 12)
    brightness = np.where((radius < 9) & (radius > 3), 1.4, 0.05)
    images = [
        (brightness * rng.uniform(0.5, 1, (7, 24, 24)) - 1)[..., None].astype(np.float32)
        for _ in "xy"
    ]
    names = [f"{s}#{i:03d}" for s, count in (("b", 3), ("a", 2), ("c", 2)) for i in range(count)]
    labels = ((radius < 9) * np.where(x < 12, 1, 2)).astype(np.uint16)
    labels = np.repeat(labels[None], 7, axis=0)
    return Pairs(*images, np.ones((7, 24, 24, 1), bool), names, labels, {"a": [1], "b": [2]})


def test_the_head_mask_has_its_holes_filled(pairs):
    y, x = np.mgrid[:24, :24]
    wanted = np.hypot(y - 12, x - 12) < 9
    np.testing.assert_array_equal(pairs.head, np.broadcast_to(wanted[..., None], pairs.x.shape))


def test_a_head_must_be_in_both_images(pairs):
    pairs.y[2] = -1
    assert not pairs.head[2].any()
    assert pairs.head[3].any()


def test_chunks_give_what_all_at_once_gives(pairs, monkeypatch):
    arguments = (pairs.x, pairs.y, pairs.mask, pairs.head, PROTOCOLS, pairs.brain)
    whole = score_images(*arguments)
    monkeypatch.setattr(scoring, "_CHUNK", 3)
    seen = []
    inner = scoring.scores
    monkeypatch.setattr(
        scoring, "scores", lambda *a, **k: [seen.append(len(a[0])), inner(*a, **k)][1]
    )
    parts = score_images(*arguments)
    assert seen == [3, 3, 3]
    for protocol in PROTOCOLS:
        own = "intensity_error" if protocol == "brain" else "correlation"  # the other has it
        assert tuple(parts[protocol]) == (*(m for m in METRICS if m != own), ENERGY)
        for metric, values in whole[protocol].items():
            np.testing.assert_allclose(parts[protocol][metric], values, rtol=1e-6)


def test_directions_are_compared_with_their_own_truth(pairs):
    images = {"t1_to_t2": pairs.y, "t2_to_t1": pairs.y} | untranslated(pairs)
    scored = score_pairs(pairs, images, pairs.head, PROTOCOLS)
    for directions in scored.values():
        np.testing.assert_allclose(directions["t1_to_t2"]["mae"], 0, atol=1e-7)
        np.testing.assert_allclose(
            directions["t2_to_t1"]["nmse"], directions["t2_as_t1"]["nmse"], rtol=1e-5
        )
        assert (directions["t1_as_t2"]["mae"] > 0).all()
        assert (directions["t1_as_t2"]["nmse"] != directions["t2_as_t1"]["nmse"]).all()


def test_the_brain_is_what_lies_inside_the_labels(pairs):
    pairs.labels[:, :, :12] = 0
    right = pairs.labels[..., None] > 0
    made = {"t1_to_t2": np.where(right, pairs.y, -pairs.y), "t2_to_t1": pairs.x}
    scored = score_pairs(pairs, made, pairs.head, ("brain", "foreground"))
    np.testing.assert_array_equal(scored["brain"]["t1_to_t2"]["mae"], 0)
    assert (scored["foreground"]["t1_to_t2"]["mae"] > 0.1).all()


def test_slices_of_one_subject_count_once():
    values = {"d": {"ssim": np.array([0.0, 1.0, 0.9])}}
    result = average_over_subjects(values, ["a#001", "a#002", "b#001"])
    assert result["d"]["ssim"]["n"] == 2
    assert result["d"]["ssim"]["mean"] == pytest.approx((0.5 + 0.9) / 2)
    assert result["d"]["ssim"]["left_out"] == 0


def test_slices_without_a_score_are_left_out_and_counted():
    nan = float("nan")
    names = ["a#001", "a#002", "b#001", "c#001"]
    values = np.array([0.2, nan, 0.4, nan])
    found = by_subject({"ssim": values}, names)["ssim"]
    assert found == {"a": 0.2, "b": 0.4, "c": pytest.approx(nan, nan_ok=True)}
    result = average_over_subjects({"d": {"ssim": values}}, names)["d"]["ssim"]
    assert (result["mean"], result["n"], result["left_out"]) == (pytest.approx(0.3), 2, 2)


def test_nmse_of_a_subject_is_the_ratio_of_sums(pairs):
    pairs.y[0] = -1
    pairs.y[0, 12, 12] = -0.99  # hardly any head: a tiny error makes a huge ratio
    pairs.y[3] = -1  # none at all
    made = {"t1_to_t2": pairs.y + 0.01 * pairs.x, "t2_to_t1": pairs.x * 0.9}
    found = score_pairs(pairs, made, protocols=("fixed", "slice_max", "gt_max"))
    assert found["fixed"]["t1_to_t2"]["nmse"][0] > 100
    assert np.isnan(found["fixed"]["t1_to_t2"]["nmse"][3])
    for protocol in ("fixed", "gt_max"):
        scored = by_subject(found[protocol]["t1_to_t2"], pairs.names)["nmse"]
        for subject, chosen in (("b", [0, 1, 2]), ("a", [4]), ("c", [5, 6])):
            truth = pairs.y[chosen].astype(float) + 1
            squares = ((made["t1_to_t2"][chosen] - pairs.y[chosen]).astype(float) ** 2).sum()
            assert scored[subject] == pytest.approx(squares / (truth**2).sum(), rel=1e-4)
    average = average_over_subjects(found["fixed"], pairs.names)["t1_to_t2"]
    assert average["nmse"]["mean"] < 0.1
    assert list(average) == ["ssim", "psnr", "mae", "nmse"]
    # with images divided by their own maximum, so are the sums
    truth = pairs.y[:3].astype(float) + 1
    image = made["t1_to_t2"][:3].astype(float) + 1
    truth, image = (a / a.max(axis=(1, 2), keepdims=True) for a in (truth, image))
    scored = by_subject(found["slice_max"]["t1_to_t2"], pairs.names)["nmse"]["b"]
    assert scored == pytest.approx(((image - truth) ** 2).sum() / (truth**2).sum(), rel=1e-3)


# ---------------------------------------------------------------- the headline


def test_the_headline_is_brain_where_there_are_labels(pairs):
    plain = dataclasses.replace(pairs, labels=None)
    assert (headline(pairs), headline(plain)) == ("brain", "fixed")
    assert protocols_for(pairs) == PROTOCOLS
    assert "brain" not in protocols_for(plain)
    assert headline_of({"headline": "brain"}) == "brain"
    assert headline_of({}) == "fixed"  # as earlier versions ranked


def test_scalars_say_their_protocol_and_earlier_ones_are_read():
    assert scalar_name("t1_to_t2", "ssim") == "eval/t1_to_t2/ssim"  # of earlier runs too
    assert scalar_name("t1_to_t2", "ssim", "brain") == "eval/brain/t1_to_t2/ssim"
    for protocol in PROTOCOLS:
        name = scalar_name("t2_as_t1", "nmse", protocol)
        assert parts_of_scalar(name) == (protocol, "t2_as_t1", "nmse")
    for other in ("loss/cycle_x", "loss/t1_to_t2/ssim", "eval/ssim"):
        assert parts_of_scalar(other) is None


def test_groups_are_averaged_over_their_own_subjects():
    names = ["a#001", "a#002", "b#001", "c#001", "d#001"]
    values = {"t1_to_t2": {"ssim": np.array([0.2, 0.4, 0.5, 0.9, 0.1])}}
    found = average_by_group(values, names, {"a": "ill", "c": "ill", "b": "well", "e": "other"})
    assert list(found) == ["ill", "well"]
    ill = found["ill"]["t1_to_t2"]["ssim"]
    assert (ill["mean"], ill["n"]) == (pytest.approx((0.3 + 0.9) / 2), 2)
    assert found["well"]["t1_to_t2"]["ssim"]["n"] == 1
    scores = {"headline": "fixed", "groups": found}
    (table,) = score_tables(scores)
    assert [row[:3] for row in table.rows] == [
        ["ill, T1→T2", "2", "0.600 ± 0.424"],
        ["well, T1→T2", "1", "0.500 ± 0.000"],
    ]
    assert average_by_group(values, names, {}) == {}
