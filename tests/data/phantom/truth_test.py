"""Phantom heads are made again from a data set's manifest, with twins that differ in lesions."""

import copy
import dataclasses

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.intensity import from_storage
from cyclegan_jax.data.phantom import truth
from cyclegan_jax.data.phantom.head import FIELD_OF_VIEW, TISSUES
from cyclegan_jax.data.phantom.source import phantom_source
from cyclegan_jax.data.preparation.write import prepare

LESION = TISSUES.index("lesion")


@pytest.fixture(scope="module", params=[False, True])
def dataset(tmp_path_factory, request) -> Dataset:
    source = phantom_source(
        subjects=2,
        held_out=2,
        unpaired="disjoint",
        slices=3,
        lesions=request.param,
        lesions_in="both",
        noise=0.02,
        bias=0.1,
        size=48,
    )
    return prepare(source, tmp_path_factory.mktemp("phantoms") / "data")


def made(dataset, **changes):
    wanted = {"image_size": 48, "mode": "pad"} | changes
    return list(truth.heads(dataset, "test", **wanted))


def test_heads_are_those_of_the_data_set(dataset):
    heads = made(dataset)
    assert [head.subject for head in heads] == ["phantom0002", "phantom0003"]
    stored = np.stack([from_storage(r["image"]) for r in dataset.split("test_y")])
    lesions = dataset.manifest["source"]["lesions"]
    again = np.concatenate([h.lesioned.y if lesions else h.plain.y for h in heads])
    # with lesions the data set's range is another one
    np.testing.assert_allclose(stored, again, atol=0.05 if lesions else 2e-5)
    assert [LESION in h.stored for h in heads] == [lesions] * 2


def test_twins_differ_in_lesions_alone(dataset):
    for head in made(dataset):
        assert LESION not in head.plain.labels
        changed = head.lesioned.labels == LESION
        assert changed.any()
        np.testing.assert_array_equal(head.lesioned.labels[~changed], head.plain.labels[~changed])
        for a, b in ((head.plain.x, head.lesioned.x), (head.plain.y, head.lesioned.y)):
            apart = a[..., 0] != b[..., 0]
            assert apart[changed].all()
            assert apart.mean() < 0.05  # lesions and their edges; noise and shading are the same
        darker, brighter = head.lesioned.x - head.plain.x, head.lesioned.y - head.plain.y
        assert darker[changed].mean() < -0.1
        assert brighter[changed].mean() > 0.3


def test_labels_are_framed_as_the_images(dataset):
    plain = made(dataset)[0].plain.labels
    padded = made(dataset, image_size=64)[0].plain.labels
    np.testing.assert_array_equal(padded[:, 8:-8, 8:-8], plain)
    assert padded[:, :8].max() == 0
    smaller = made(dataset, image_size=24, mode="resize")[0].plain
    assert set(np.unique(smaller.labels)) <= set(range(len(TISSUES)))
    assert (smaller.labels == plain[:, ::2, ::2]).mean() > 0.8
    assert truth.pixel_size(dataset, 24, "resize") == pytest.approx(FIELD_OF_VIEW / 24)
    assert truth.pixel_size(dataset, 64, "pad") == pytest.approx(FIELD_OF_VIEW / 48)


def test_a_phantom_that_has_changed_is_refused(dataset):
    manifest = copy.deepcopy(dataset.manifest)
    manifest["source"]["bias"] = 0.2
    changed = dataclasses.replace(dataset, manifest=manifest)
    with pytest.raises(InputError, match=r"phantom0002#000 is not what this version .* prepare it"):
        made(changed)
