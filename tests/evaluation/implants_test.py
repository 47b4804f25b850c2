"""Lesions that are drawn into real pairs, and the lesion test on them."""

import dataclasses

import numpy as np
import pytest

from cyclegan_jax.data.pairs import Pairs
from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.evaluation.implants import heads_with_implants
from cyclegan_jax.evaluation.lesions import lesion_scores

LESION = TISSUES.index("lesion")
WHITE, FLUID = 10, 20  # labels


@pytest.fixture
def pairs():
    """Two people of two slices: a square of white matter around a square of fluid, in air."""
    labels = np.zeros((4, 64, 64), np.uint16)
    labels[:, 8:56, 8:56] = WHITE
    labels[:, 28:36, 28:36] = FLUID
    x, y = (
        np.select([labels == WHITE, labels == FLUID], values, -1.0)[..., None].astype(np.float32)
        for values in ((0.4, -0.6), (-0.5, 0.7))
    )
    names = [f"{person}#{index:03d}" for person in ("anna", "ben") for index in (0, 1)]
    tissues = {"white": [WHITE], "ventricle": [FLUID]}
    mask = np.ones(x.shape, bool)
    return Pairs(x, y, mask, names, labels, tissues)


def test_implants_change_white_matter_alone_and_as_lesions_do(pairs):
    heads = heads_with_implants(pairs, (2.0, 2.0))
    assert [head.subject for head in heads] == ["anna", "ben"]
    for head, labels in zip(heads, (pairs.labels[:2], pairs.labels[2:]), strict=True):
        plain, lesioned = head.plain, head.lesioned
        for before, after, sign, place in (
            (plain.x, lesioned.x, -1, 0.305),
            (plain.y, lesioned.y, 1, 0.783),
        ):
            change = (after - before)[..., 0]
            assert (change[labels != WHITE] == 0).all()
            assert (change * sign >= 0).all()
            # of the contrast of fluid to white matter: the relaxation times give the place
            strongest = np.abs(change).max() / (1.0 if sign < 0 else 1.2)
            assert strongest == pytest.approx(place, abs=1e-3)
        assert (lesioned.labels == LESION).any(axis=(1, 2)).all()
        assert LESION not in plain.labels


def test_two_of_three_implants_are_faint_and_have_the_sizes_of_lesions(pairs):
    scores = lesion_scores(heads_with_implants(pairs, (2.0, 2.0)), lambda _, x: x, 4.0)
    for found in scores.values():
        kinds = found["kinds"]
        assert kinds["faint"]["lesions"] >= 3
        assert kinds["strong"]["lesions"] >= 4
        assert found["lesions"] + found["too_small"] == 3 * len(pairs.names)
        assert 16 <= found["smallest_mm2"] < 140


def test_the_name_of_a_slice_decides_where_its_lesions_are(pairs):
    first, again = (heads_with_implants(pairs, (2.0, 2.0)) for _ in range(2))
    np.testing.assert_array_equal(first[0].lesioned.x, again[0].lesioned.x)
    assert not np.array_equal(first[0].lesioned.labels[0], first[0].lesioned.labels[1])


@pytest.mark.parametrize("tissues", [{}, {"white": [WHITE]}, {"ventricle": [FLUID]}])
def test_without_white_matter_and_fluid_there_are_none(pairs, tissues):
    assert heads_with_implants(dataclasses.replace(pairs, tissues=tissues), (2.0, 2.0)) == []
