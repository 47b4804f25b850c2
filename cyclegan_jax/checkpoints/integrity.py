"""Digests of arrays and of JSON, which show whether a checkpoint is as it was saved."""

import concurrent.futures
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cyclegan_jax.system.files import json_digest

_DIGEST = "seal"  # the key in the files of all versions


def leaves_by_path(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a pytree by path: `{"generator_g/down_0/Conv_0/kernel": leaf, ...}`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def array_digests(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns the SHA-256 of every array's type, shape and bytes."""
    with concurrent.futures.ThreadPoolExecutor() as threads:  # hashing releases Python's lock
        return dict(zip(arrays, threads.map(_array_digest, arrays.values()), strict=True))


def _array_digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def with_digest(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns JSON-serialisable `facts` together with their digest, which replaces an older one."""
    listed = json.loads(json.dumps(facts))  # tuples become lists, as they will be when read
    listed.pop(_DIGEST, None)
    return {**listed, _DIGEST: json_digest(listed)}


def has_right_digest(facts: Any) -> bool:
    """Returns whether `facts` are unchanged since `with_digest` returned them."""
    if not isinstance(facts, dict) or _DIGEST not in facts:
        return False
    return facts[_DIGEST] == json_digest({k: v for k, v in facts.items() if k != _DIGEST})
