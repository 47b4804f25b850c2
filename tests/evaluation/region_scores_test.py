"""Scores of regions: they are of their own pixels, their own subject and their own direction."""

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.evaluation.region_scores import (
    MIN_PIXELS,
    region_names,
    score_regions,
    summarised,
)
from cyclegan_jax.evaluation.regions import tissue_errors

SIDE = 32


@pytest.fixture
def pairs():
    """Two subjects of two slices with the regions 4 and 700, and a single pixel of 9."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 4, SIDE, SIDE, 1)).astype(np.float32)
    labels = np.zeros((4, SIDE, SIDE), np.uint16)
    labels[:, 8:16, 8:24] = 4
    labels[:, 16:24, 8:24] = 700
    labels[0, 0, 0] = 9
    names = ["a#0", "a#1", "b#0", "b#1"]
    return Pairs(x, y, np.ones(x.shape, bool), names, labels, {"fluid": [4, 9], "white": [700]})


def named(pairs, regions):
    return Pairs(pairs.x, pairs.y, pairs.mask, pairs.names, pairs.labels, pairs.tissues, regions)


def perfect(pairs):
    return {"t1_to_t2": pairs.y.copy(), "t2_to_t1": pairs.x.copy()}


def test_an_error_goes_to_its_region_subject_and_direction(pairs):
    made = perfect(pairs)
    made["t1_to_t2"][2:][pairs.labels[2:] == 700] += 0.25  # of subject b
    wrong = [r for r in score_regions(pairs, made) if r.mae > 0]
    assert [(r.subject, r.direction, r.label, r.region) for r in wrong] == [
        ("b", "t1_to_t2", 700, "white")
    ]
    (row,) = wrong
    assert row.pixels == 2 * 8 * 16
    assert row.mae == pytest.approx(0.25, rel=1e-5)
    truth = pairs.y[2:][pairs.labels[2:] == 700] + 1
    assert row.intensity_error == pytest.approx(0.25 / truth.mean(), rel=1e-5)


def test_the_errors_are_those_of_tissues_of_one_label(pairs):
    made = perfect(pairs)
    made["t2_to_t1"] = np.clip(made["t2_to_t1"] * 0.7 + 0.1, -1, 1)
    rows = [r for r in score_regions(pairs, made) if r.direction == "t2_to_t1"]
    for start, subject in ((0, "a"), (2, "b")):
        own = slice(start, start + 2)
        tissues = {"fluid": [4], "white": [700]}
        wanted = tissue_errors(made["t2_to_t1"][own], pairs.x[own], pairs.labels[own], tissues)
        for label, tissue in ((4, "fluid"), (700, "white")):
            (row,) = [r for r in rows if (r.subject, r.label) == (subject, label)]
            assert row.mae == pytest.approx(wanted[tissue]["mae"], rel=1e-5)
            error = wanted[tissue]["intensity_error"]
            assert row.intensity_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(("subject", "slices"), [("a", (0, 1)), ("b", (2, 3))])
def test_ssim_is_the_mean_of_its_map_in_the_region(pairs, subject, slices):
    from skimage.metrics import structural_similarity

    made = perfect(pairs)
    made["t1_to_t2"] = np.roll(made["t1_to_t2"], 3, axis=1)
    (row,) = [
        r
        for r in score_regions(pairs, made)
        if (r.subject, r.direction, r.label) == (subject, "t1_to_t2", 4)
    ]
    maps = [
        structural_similarity(
            made["t1_to_t2"][i, ..., 0],
            pairs.y[i, ..., 0],
            data_range=2,
            gaussian_weights=True,
            use_sample_covariance=False,
            full=True,
        )[1]
        for i in slices
    ]
    wanted = np.mean([m[pairs.labels[i] == 4] for i, m in zip(slices, maps, strict=True)])
    assert row.ssim == pytest.approx(wanted, abs=1e-4)


def test_a_region_at_the_edge_has_no_window_and_no_ssim(pairs):
    pairs.labels[:] = 0
    pairs.labels[:, :2] = 5
    rows = score_regions(pairs, perfect(pairs))
    assert {r.label for r in rows} == {5}
    assert all(np.isnan(r.ssim) and r.mae == 0 for r in rows)


def test_a_black_region_has_no_intensity_error(pairs):
    pairs.y[pairs.labels == 4] = -1
    made = perfect(pairs)
    made["t1_to_t2"][:] = 0
    rows = [r for r in score_regions(pairs, made) if r.direction == "t1_to_t2"]
    assert all(np.isnan(r.intensity_error) == (r.label == 4) for r in rows)
    assert all(r.mae == pytest.approx(1) for r in rows if r.label == 4)


@pytest.mark.parametrize(("pixels", "found"), [(MIN_PIXELS - 1, {"b"}), (MIN_PIXELS, {"a", "b"})])
def test_a_region_of_few_pixels_is_left_out_for_its_subject(pairs, pixels, found):
    pairs.labels[:2] = 0
    pairs.labels[0].flat[:pixels] = 4
    rows = score_regions(pairs, perfect(pairs))
    assert {r.subject for r in rows if r.label == 4} == found


@pytest.mark.parametrize(
    ("regions", "names"),
    [
        ({}, {4: "fluid 4", 9: "fluid 9", 700: "white"}),
        ({4: "left", 700: "right", 5000: "absent"}, {4: "left", 700: "right"}),
        ({5000: "absent"}, {}),
    ],
)
def test_regions_with_a_name_are_scored_or_all_where_none_has_one(pairs, regions, names):
    assert region_names(named(pairs, regions)) == names
    scored = {r.label: r.region for r in score_regions(named(pairs, regions), perfect(pairs))}
    assert scored == {label: name for label, name in names.items() if label != 9}  # one pixel


def test_without_label_maps_nothing_is_scored(pairs):
    plain = Pairs(pairs.x, pairs.y, pairs.mask, pairs.names)
    assert region_names(plain) == {}
    assert score_regions(plain, perfect(pairs)) == []


def test_a_label_without_a_tissue_is_called_by_its_number(pairs):
    plain = Pairs(pairs.x, pairs.y, pairs.mask, pairs.names, pairs.labels)
    assert region_names(plain) == {4: "label 4", 9: "label 9", 700: "label 700"}


def test_the_summary_is_over_subjects(pairs):
    made = perfect(pairs)
    made["t1_to_t2"][2:][pairs.labels[2:] == 700] += 0.25
    pairs.labels[1] = 0  # subject a has half of the pixels, and counts as much
    summary = summarised(score_regions(pairs, made))
    assert summary.keys() == {"t1_to_t2", "t2_to_t1"}
    entry = summary["t1_to_t2"]["700"]
    assert (entry["name"], entry["pixels"], entry["mae"]["n"]) == ("white", 3 * 8 * 16, 2)
    assert entry["mae"]["mean"] == pytest.approx(0.125, rel=1e-5)
    assert entry["mae"]["sd"] == pytest.approx(0.25 / 2**0.5, rel=1e-5)
