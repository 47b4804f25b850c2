"""Errors by tissue: they go to their own tissue, head and direction."""

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.evaluation.regions import polarity, tissue_errors, tissue_scores

WHITE, GREY = TISSUES.index("white_matter"), TISSUES.index("grey_matter")
NUMBERS = {"white_matter": [WHITE], "grey_matter": [GREY]}
BRIGHTNESS = {"x": {WHITE: 0.2, GREY: -0.1}, "y": {WHITE: -0.3, GREY: 0.4}}


@pytest.fixture
def labels():
    """Four slices of white matter with a rim of grey matter, in air."""
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[:, 3:17, 3:17] = WHITE
    labels[:, 3:17, 3] = GREY
    return labels


def image(labels, domain):
    brightness = np.full(len(TISSUES), -1, np.float32)
    for tissue, value in BRIGHTNESS[domain].items():
        brightness[tissue] = value
    return brightness[labels][..., None]


def test_errors_go_to_their_tissue_and_direction(labels):
    x, y = (image(np.concatenate([labels, labels]), d) for d in "xy")
    names = [f"{subject}#{i:03d}" for subject in "ab" for i in range(4)]
    pairs = Pairs(x, y, np.ones(x.shape, bool), names)
    wrong = y.copy()
    wrong[:4][labels == GREY] += 0.2  # the first head alone
    translated = {"t1_to_t2": wrong, "t2_to_t1": x}
    scores = tissue_scores(pairs, translated, np.concatenate([labels, labels]), NUMBERS)
    assert scores["t1_to_t2"].keys() == {"grey_matter", "white_matter"}  # air is no tissue
    found = scores["t1_to_t2"]["grey_matter"]
    assert found["mae"] == {
        "mean": pytest.approx(0.1, rel=1e-4),
        "sd": pytest.approx(0.2 / 2**0.5, rel=1e-4),
        "n": 2,
    }
    assert found["intensity_error"]["mean"] == pytest.approx(0.1 / 1.4, rel=1e-4)
    assert found["median"]["mean"] == pytest.approx(1.5, rel=1e-4)
    assert found["true_median"]["mean"] == pytest.approx(1.4, rel=1e-4)
    assert found["median_error"]["mean"] == pytest.approx(0.1 / 1.4, rel=1e-4)
    assert scores["t1_to_t2"]["white_matter"]["mae"]["mean"] == 0
    assert scores["t2_to_t1"]["grey_matter"]["mae"]["mean"] == 0


def test_the_intensity_error_is_signed_and_undefined_in_the_dark(labels):
    truth = image(labels, "x")
    darker = np.where(truth > -1, truth - 0.12, truth)
    errors = tissue_errors(darker, truth, labels, NUMBERS)
    assert errors["white_matter"]["intensity_error"] == pytest.approx(-0.1)
    assert errors["white_matter"]["mae"] == pytest.approx(0.12)
    dark = np.full_like(truth, -1)
    assert np.isnan(tissue_errors(truth, dark, labels, NUMBERS)["white_matter"]["intensity_error"])


def test_a_few_pixels_do_not_move_the_medians(labels):
    made, truth = image(labels, "y"), image(labels, "x")
    made[0, 10, 5:12] = 1
    truth[1, 10, 5:12] = -1
    errors = tissue_errors(made, truth, labels, NUMBERS)["white_matter"]
    assert errors["median"] == pytest.approx(0.7)
    assert errors["true_median"] == pytest.approx(1.2)
    assert errors["median_error"] == pytest.approx(-0.5 / 1.2)


def regions_of(brightness, count=3):
    """Heads of one slice with ventricle 1 and 4, white 2 and cortex 3 of these brightnesses."""
    labels = np.tile(np.repeat([0, 1, 4, 2, 3], 4)[:, None], (count, 1, 20)).astype(np.uint16)
    fluid, white, cortex = brightness
    return labels, np.array([-1, fluid, white, cortex, fluid], np.float32)[labels][..., None]


NAMED = {"ventricle": [1, 4], "white": [2], "cortex": [3]}


def compared(made, wanted):
    labels, truth = regions_of(wanted)
    _, image = regions_of(made)
    names = [f"s{i}#000" for i in range(len(labels))]
    pairs = Pairs(image, truth, np.ones(truth.shape, bool), names)
    translated = {"t1_to_t2": image, "t2_to_t1": image}
    return labels, pairs, translated


def test_a_name_stands_for_all_its_labels():
    labels, pairs, translated = compared((0.9, -0.6, -0.2), (0.8, -0.5, -0.1))
    found = tissue_scores(pairs, translated, labels, NAMED)["t1_to_t2"]
    assert found["ventricle"]["true_median"]["mean"] == pytest.approx(1.8)
    assert found["white"]["median_error"]["mean"] == pytest.approx(-0.2)
    assert found["cortex"]["median"] == {"mean": pytest.approx(0.8), "sd": 0, "n": 3}


@pytest.mark.parametrize(
    ("made", "order", "inverted", "grey_minus_white"),
    [
        ((0.8, -0.5, -0.1), 1, False, 1),
        ((0.8, -0.5, -0.3), 1, False, 0.5),
        ((-0.6, 0.2, 0), -1, True, -0.5),  # dark ventricles and bright white matter, as in T1
        ((0.8, -0.1, -0.5), 0.5, False, -1),
        ((-0.6, -0.5, -0.1), -0.5, True, 1),
        ((0.1, 0.1, 0.1), None, None, None),
    ],
)
def test_polarity_is_the_order_of_the_tissues(made, order, inverted, grey_minus_white):
    labels, pairs, translated = compared(made, (0.8, -0.5, -0.1))
    found = polarity(pairs, translated, labels, NAMED)
    if order is None:
        assert found == {}
        return
    assert found["t1_to_t2"]["rank_correlation"]["mean"] == pytest.approx(order)
    assert found["t1_to_t2"]["inverted"] is inverted
    assert found["t1_to_t2"]["grey_minus_white"]["mean"] == pytest.approx(grey_minus_white)
    of_phantoms = {"fluid": [1, 4], "white_matter": [2], "grey_matter": [3]}
    assert polarity(pairs, translated, labels, of_phantoms) == found
    without = polarity(pairs, translated, labels, {"white": [2], "ventricle": [1]})
    assert "grey_minus_white" not in without["t1_to_t2"]
    assert polarity(pairs, translated, labels, {"white": [2]}) == {}
