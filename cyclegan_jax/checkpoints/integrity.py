"""Digests of arrays and of JSON, by which a checkpoint shows that it is as it was saved."""

import concurrent.futures
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cyclegan_jax.system.files import of_json

_SEAL = "seal"


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their paths: `{"generator_g/down_0/kernel": leaf, ...}`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def of_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """SHA-256 of every array's type, shape and bytes."""
    with concurrent.futures.ThreadPoolExecutor() as threads:  # hashing leaves Python's lock
        return dict(zip(arrays, threads.map(_of_array, arrays.values()), strict=True))


def _of_array(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-serialisable `facts` with their own digest among them, in the place of another."""
    listed = json.loads(json.dumps(facts))  # tuples become lists, as they will be when read
    listed.pop(_SEAL, None)
    return {**listed, _SEAL: of_json(listed)}


def is_sealed(facts: Any) -> bool:
    """Whether `facts` are those that `sealed` returned."""
    if not isinstance(facts, dict) or _SEAL not in facts:
        return False
    return facts[_SEAL] == of_json({k: v for k, v in facts.items() if k != _SEAL})
