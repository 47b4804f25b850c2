"""The lesion test itself, against translators whose faults are known."""

import numpy as np
import pytest

from cyclegan_jax.data.phantom.head import TISSUES
from cyclegan_jax.data.phantom.truth import Head, HeadImages
from cyclegan_jax.evaluation.lesions import MIN_PIXELS, lesion_scores

WHITE, GREY, LESION = (TISSUES.index(t) for t in ("white_matter", "grey_matter", "lesion"))
# lesions of the two heads as (slice, rows, columns); the last is too small to count
LESIONS = [(0, slice(6, 9), slice(6, 9)), (2, slice(10, 12), slice(8, 12)), (2, 5, slice(5, 8))]


def head(subject: str, seed: int) -> Head:
    """Four slices of noisy white matter in air; lesions are darker in T1 and brighter in T2."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[:, 3:17, 3:17] = WHITE
    labels[:, 3:17, 3] = GREY
    with_lesions = labels.copy()
    for place in LESIONS:
        with_lesions[place] = LESION

    def image(labels, white, lesion):
        noise = rng.normal(scale=0.02, size=labels.shape)
        signal = np.select([labels == LESION, labels > 0], [lesion, white], -0.95)
        return signal, noise

    images = {}
    for domain, white, lesion in (("x", 0.2, -0.1), ("y", -0.3, 0.4)):
        plain, noise = image(labels, white, lesion)
        lesioned, _ = image(with_lesions, white, lesion)
        images[domain] = [(i + noise)[..., None].astype(np.float32) for i in (plain, lesioned)]
    plain, lesioned = (
        HeadImages(x, y, which)
        for x, y, which in zip(*images.values(), (labels, with_lesions), strict=True)
    )
    return Head(subject, labels, plain, lesioned)


@pytest.fixture
def heads():
    return [head("phantom0004", 0), head("phantom0005", 1)]


def perfect(heads):
    """Looks the target up."""
    table = {}
    for h in heads:
        for images in (h.plain, h.lesioned):
            table[images.x.tobytes()] = images.y
            table[images.y.tobytes()] = images.x
    return lambda _, source: table[source.tobytes()]


def erasing(heads):
    """Gives the target without lesions whatever the source."""
    table = {}
    for h in heads:
        for images in (h.plain, h.lesioned):
            table[images.x.tobytes()] = h.plain.y
            table[images.y.tobytes()] = h.plain.x
    return lambda _, source: table[source.tobytes()]


def test_a_perfect_translator_keeps_every_lesion_and_invents_none(heads):
    for scores in lesion_scores(heads, perfect(heads), 4.0).values():
        assert scores["retention"] == {"mean": 1, "sd": 0, "n": 2}
        assert scores["invention"] == {"mean": 0, "sd": 0, "n": 2}
        assert (scores["lesions"], scores["too_small"], scores["smallest"]) == (4, 2, 8)
        assert scores["smallest_mm2"] == 8 * 4
        assert scores["heads"]["phantom0005"] == {
            "lesions": 2,
            "retained": 2,
            "inventions": 0,
            "slices": 4,
            "slices_with_inventions": 0,
        }


def test_lesions_are_counted_by_size_and_contrast(heads):
    # seen from the lesions: 9 pixels and 8 pixels in each head, of 10 mm² each
    ideal, without = perfect(heads), erasing(heads)

    def half_of_the_large(direction, source):
        image = ideal(direction, source).copy()
        image[:1] = (image[:1] + without(direction, source)[:1]) / 2
        return image

    for scores in lesion_scores(heads, half_of_the_large, 10.0).values():
        kinds = scores["kinds"]
        assert kinds.keys() == {"50 to 100 mm²", "strong"}
        assert kinds["strong"] == {"lesions": 4, "retained": 4, "kept": pytest.approx(0.75)}
    small, large = (lesion_scores(heads, erasing(heads), mm2) for mm2 in (6.0, 11.5))
    assert small["t1_to_t2"]["kinds"]["0 to 50 mm²"]["lesions"] == 2
    assert small["t1_to_t2"]["kinds"]["50 to 100 mm²"]["retained"] == 0
    assert large["t1_to_t2"]["kinds"]["100 mm² and more"]["lesions"] == 2


def test_an_erasing_translator_retains_none(heads):
    for scores in lesion_scores(heads, erasing(heads), 2.0).values():
        assert scores["retention"]["mean"] == 0
        assert scores["invention"]["mean"] == 0


def test_the_identity_retains_none_since_lesions_have_the_wrong_contrast(heads):
    for scores in lesion_scores(heads, lambda _, source: source, 2.0).values():
        assert scores["retention"]["mean"] == 0


def test_half_of_the_contrast_is_enough_and_less_is_not(heads):
    ideal, without = perfect(heads), erasing(heads)
    for share, kept in ((0.55, 1), (0.45, 0)):

        def weak(direction, source, share=share):
            return without(direction, source) * (1 - share) + ideal(direction, source) * share

        for scores in lesion_scores(heads, weak, 2.0).values():
            assert scores["retention"]["mean"] == kept


@pytest.mark.parametrize(
    ("rows", "columns", "sign", "found"),
    [
        (slice(5, 9), slice(5, 8), 1, 1),
        (slice(5, 9), slice(5, 8), -1, 0),  # to the other side: no lesion looks so
        (slice(5, 6), slice(5, 12), 1, 0),  # smaller than every lesion
        (slice(5, 13), slice(3, 4), 1, 0),  # in the cortex
        (slice(0, 3), slice(0, 20), 1, 0),  # in air
    ],
)
def test_spots_that_are_painted_count_once_each(heads, rows, columns, sign, found):
    ideal = perfect(heads)

    def painting(direction, source):
        image = ideal(direction, source).copy()
        image[1:3, rows, columns] += sign * (0.5 if direction == "t1_to_t2" else -0.25)
        return image

    for scores in lesion_scores(heads, painting, 2.0).values():
        assert scores["retention"]["mean"] == 1  # painted in both twins, so no change
        assert scores["invention"]["mean"] == found / 2  # two of four slices
        assert scores["heads"]["phantom0004"]["inventions"] == 2 * found


def test_heads_without_lesions_have_no_rates(heads):
    bare = [Head(h.subject, h.stored, h.plain, h.plain) for h in heads]
    for scores in lesion_scores(bare, perfect(bare), 2.0).values():
        assert scores["retention"]["n"] == scores["invention"]["n"] == 0
        assert (scores["lesions"], scores["smallest"]) == (0, MIN_PIXELS)
