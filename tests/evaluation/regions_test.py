"""Errors by tissue: they go to their own tissue, head and direction."""

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.truth import Head, HeadImages
from cyclegan_jax.evaluation.regions import tissue_errors, tissue_scores

WHITE, GREY = TISSUES.index("white_matter"), TISSUES.index("grey_matter")
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
    plain = HeadImages(x[:4], y[:4], labels)
    heads = [Head(subject, labels, plain, plain) for subject in ("a", "b")]
    names = [f"{h.subject}#{i:03d}" for h in heads for i in range(4)]
    pairs = Pairs(x, y, np.ones(x.shape, bool), names)
    wrong = y.copy()
    wrong[:4][labels == GREY] += 0.2  # the first head alone
    scores = tissue_scores(heads, pairs, {"t1_to_t2": wrong, "t2_to_t1": x})
    assert scores["t1_to_t2"].keys() == {"grey_matter", "white_matter"}  # air is no tissue
    found = scores["t1_to_t2"]["grey_matter"]
    assert found["mae"] == {
        "mean": pytest.approx(0.1, rel=1e-4),
        "sd": pytest.approx(0.2 / 2**0.5, rel=1e-4),
        "n": 2,
    }
    assert found["intensity_error"]["mean"] == pytest.approx(0.1 / 1.4, rel=1e-4)
    assert scores["t1_to_t2"]["white_matter"]["mae"]["mean"] == 0
    assert scores["t2_to_t1"]["grey_matter"]["mae"]["mean"] == 0


def test_the_intensity_error_is_signed_and_undefined_in_the_dark(labels):
    truth = image(labels, "x")
    darker = np.where(truth > -1, truth - 0.12, truth)
    errors = tissue_errors(darker, truth, labels)
    assert errors["white_matter"]["intensity_error"] == pytest.approx(-0.1)
    assert errors["white_matter"]["mae"] == pytest.approx(0.12)
    dark = np.full_like(truth, -1)
    assert np.isnan(tissue_errors(truth, dark, labels)["white_matter"]["intensity_error"])
