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
    both = integrity.array_digests({"a": ARRAY, "b": other, "c": ARRAY.copy()})
    assert both["a"] == both["c"] != both["b"]


def test_order_in_memory_does_not_matter():
    laid = integrity.array_digests({"rows": ARRAY, "columns": np.asfortranarray(ARRAY)})
    assert laid["rows"] == laid["columns"]


def test_scalars_have_digests():
    both = integrity.array_digests({"a": np.asarray(3, np.int32), "b": np.asarray(4, np.int32)})
    assert both["a"] != both["b"]


def test_leaves_are_named_by_their_path():
    tree = {"g": {"kernel": 1, "bias": 2}, "history": [3]}
    assert integrity.leaves_by_path(tree) == {"g/bias": 2, "g/kernel": 1, "history/0": 3}


@pytest.mark.parametrize("facts", [{"score": 0.1 + 0.2, "sizes": (4, 8)}, {"score": float("nan")}])
def test_a_digest_survives_json(facts):
    saved = json.loads(json.dumps(integrity.with_digest(facts)))
    assert integrity.has_right_digest(saved)
    assert integrity.with_digest(saved)["seal"] == saved["seal"]


@pytest.mark.parametrize("changed", [{"score": 0.2}, {"more": 1}, {"seal": "0"}, {"seal": None}])
def test_changed_facts_have_a_wrong_digest(changed):
    facts = integrity.with_digest({"score": 0.1})
    assert not integrity.has_right_digest(facts | changed)


@pytest.mark.parametrize("facts", [{"score": 0.1}, [], None, "text"])
def test_facts_without_a_digest_are_not_accepted(facts):
    assert not integrity.has_right_digest(facts)
