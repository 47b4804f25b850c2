"""Tests of how phantom heads are divided into splits."""

import numpy as np
import pytest

from cyclegan_jax.data.phantom.head import TISSUES, make_phantom
from cyclegan_jax.data.phantom.source import phantom_source
from cyclegan_jax.data.preparation.scan import Source


def subjects(source: Source, split: str) -> list[str]:
    return [scan.subject for scan in source.splits[split]]


def phantoms(unpaired: str) -> Source:
    return phantom_source(
        subjects=16,
        held_out=2,
        unpaired=unpaired,
        slices=2,
        lesions=False,
        lesions_in="both",
        noise=0.03,
        bias=0.15,
        size=16,
    )


def test_shared_phantoms_train_both_domains_on_all_heads():
    source = phantoms("shared")
    trained = subjects(source, "train_x")
    assert trained == subjects(source, "train_y")
    assert len(trained) == 16
    assert not {*trained} & {*subjects(source, "val_x"), *subjects(source, "test_x")}


def test_phantoms_are_split_by_head_and_only_tests_are_paired():
    source = phantoms("disjoint")
    assert subjects(source, "val_x") == subjects(source, "val_y") == ["phantom0000", "phantom0001"]
    assert (
        subjects(source, "test_x") == subjects(source, "test_y") == ["phantom0002", "phantom0003"]
    )
    of_x, of_y = subjects(source, "train_x"), subjects(source, "train_y")
    assert len(of_x) == len(of_y) == 8
    assert len({*of_x, *of_y, *subjects(source, "val_x"), *subjects(source, "test_x")}) == 20
    one, two = (source.splits[s][0].read().images for s in ("test_x", "test_y"))
    assert list(one) == list(two) == ["phantom0002#000", "phantom0002#001"]
    assert one["phantom0002#000"].shape == (16, 16)
    assert not np.array_equal(one["phantom0002#000"], two["phantom0002#000"])


def test_the_labels_of_phantoms_are_their_brain_tissues():
    source = phantoms("disjoint")
    assert source.label_names["white_matter"] == [TISSUES.index("white_matter")]
    read = source.splits["test_x"][0].read()
    head = make_phantom(2, size=16, slices=2, noise=0.03, bias=0.15)
    stored = np.stack([read.labels[name] for name in read.images])
    outside = [TISSUES.index(t) for t in ("air", "scalp", "skull", "muscle", "marrow")]
    assert set(np.unique(stored)) & {*outside} == {0}
    np.testing.assert_array_equal(stored > 0, ~np.isin(head.labels, outside))
    np.testing.assert_array_equal(stored[stored > 0], head.labels[stored > 0])


@pytest.mark.parametrize("lesions_in", ["both", "x", "y"])
def test_lesions_lie_in_the_training_heads_of_the_domains_that_are_named(lesions_in):
    options = {"subjects": 2, "held_out": 1, "unpaired": "shared", "slices": 6, "size": 48}
    source = phantom_source(**options, lesions=True, lesions_in=lesions_in, noise=0, bias=0)
    lesion = TISSUES.index("lesion")
    for split, scans in source.splits.items():
        labels = np.stack([label for scan in scans for label in scan.read().labels.values()])
        wanted = lesions_in in ("both", split[-1]) or not split.startswith("train")
        assert (lesion in labels) == wanted, split
    assert source.facts.get("lesions_in", "both") == lesions_in
