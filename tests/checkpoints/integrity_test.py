"""What a digest sees: every value, every place, type and shape."""

import json

import numpy as np
import pytest

from cyclegan_jax.checkpoints import integrity

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        ARRAY + np.float32(1e-7) * (ARRAY == 1),
        ARRAY[:, ::-1],
        ARRAY.reshape(3, 2),
        ARRAY.view(np.int32),
        -0.0 * ARRAY,
    ],
)
def test_arrays_that_differ_have_other_digests(other):
    both = integrity.of_arrays({"a": ARRAY, "b": other, "c": ARRAY.copy()})
    assert both["a"] == both["c"] != both["b"]


def test_order_in_memory_does_not_matter():
    laid = integrity.of_arrays({"rows": ARRAY, "columns": np.asfortranarray(ARRAY)})
    assert laid["rows"] == laid["columns"]


def test_scalars_have_digests():
    both = integrity.of_arrays({"a": np.asarray(3, np.int32), "b": np.asarray(4, np.int32)})
    assert both["a"] != both["b"]


def test_flatten_names_leaves_by_their_path():
    tree = {"g": {"kernel": 1, "bias": 2}, "history": [3]}
    assert integrity.flatten(tree) == {"g/bias": 2, "g/kernel": 1, "history/0": 3}


@pytest.mark.parametrize("facts", [{"score": 0.1 + 0.2, "sizes": (4, 8)}, {"score": float("nan")}])
def test_a_seal_survives_json(facts):
    assert integrity.is_sealed(json.loads(json.dumps(integrity.sealed(facts))))


@pytest.mark.parametrize("changed", [{"score": 0.2}, {"more": 1}, {"seal": "0"}, {"seal": None}])
def test_a_seal_breaks_with_what_it_seals(changed):
    sealed = integrity.sealed({"score": 0.1})
    assert not integrity.is_sealed(sealed | changed)


@pytest.mark.parametrize("facts", [{"score": 0.1}, [], None, "text"])
def test_what_was_never_sealed_is_not(facts):
    assert not integrity.is_sealed(facts)
