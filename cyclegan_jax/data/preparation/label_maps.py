"""Recognises label maps and masks, which often lie beside scans and must not be trained on."""

import re

import numpy as np

from cyclegan_jax.data.preparation.contrast_names import SEPARATORS, words

_LABELS = re.compile(
    r"\w*(mask|seg|segmentation|labels?|labelmap)|aparc|parc|parcellation|rois?|groundtruth",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(f"[+{SEPARATORS}]+([^+{SEPARATORS}]+)$")
_MOST_LABELS = 512
_EVEN = (
    0.65  # of neighbours that are equal; 0.77 of 145 regions of a brain, 0.3 of a scan in 6 bits
)
_FEWEST = 5000  # voxels of which this can be said


def is_named_label_map(name: str, suffix: str = "") -> bool:
    """Returns whether a name without suffix says that its file holds labels or a mask.

    `suffix` is an ending that the user says names of label maps have; "" is none.
    """
    own = bool(suffix) and name.endswith(suffix)
    return own or any(_LABELS.fullmatch(word) for word in words(name))


def without_label_words(name: str) -> str:
    """Returns a name without the words at its end that say that its file holds labels or a mask.

    "anna_brain_mask" gives "anna_brain". If nothing is left of it, the name comes back as it is.
    """
    rest = name
    while (found := _LAST_WORD.search(rest)) and _LABELS.fullmatch(found[1]):
        rest = rest[: found.start()]
    return rest or name


def holds_labels(data: np.ndarray) -> bool:
    """Returns whether a volume `[X, Y, Z]` has few values, all whole, in even areas.

    The areas are those of neighbours that are neither 0 nor the maximum, which a clipped scan has
    in even areas as well. A volume that is smaller than any scan is never called a label map.
    """
    if data.size < _FEWEST or not (has_few_values(data[::4, ::4, ::4]) and has_few_values(data)):
        return False
    top = data.max()
    inside = (data != 0) & (data != top)
    pairs = equal = 0
    for axis in range(data.ndim):
        values, within = np.moveaxis(data, axis, 0), np.moveaxis(inside, axis, 0)
        both = within[1:] & within[:-1]
        pairs += np.count_nonzero(both)
        equal += np.count_nonzero(both & (values[1:] == values[:-1]))
    return pairs == 0 or bool(equal > _EVEN * pairs)


def has_few_values(data: np.ndarray) -> bool:
    """Returns whether data have few values, all whole, as label maps do."""
    values = np.unique(data)
    return len(values) <= _MOST_LABELS and bool(np.all(values == np.round(values)))
