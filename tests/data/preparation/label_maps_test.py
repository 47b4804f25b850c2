"""Tests of telling label maps from scans, by name and by content."""

import numpy as np
import pytest

from cyclegan_jax.data.preparation import label_maps
from cyclegan_jax.data.preparation.label_maps import holds_labels

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, (24, 24, 24))
REGIONS = np.kron(RNG.permutation(216).reshape(6, 6, 6), np.ones((4, 4, 4))).astype(np.float32)


def test_label_maps_by_their_names():
    labels = ("a_seg", "a-dseg", "BRAINMASK", "a_T1_mask", "lesion_labels", "aparc+aseg", "a_rois")
    assert all(map(label_maps.is_named_label_map, labels))
    assert not any(
        map(label_maps.is_named_label_map, ("a_masked", "segmented", "leroi", "label1s"))
    )


@pytest.mark.parametrize("labels", [REGIONS, np.minimum(REGIONS, 3), REGIONS > 100, REGIONS * 1000])
def test_label_maps_by_their_content(labels):
    assert holds_labels(labels.astype(np.float32))


@pytest.mark.parametrize(
    "scan",
    [
        REGIONS + 0.5,  # values that are no labels
        np.round(REGIONS + 3 * NOISE),  # 8 bits
        np.round((REGIONS + 10 * NOISE) / 8),  # 5 bits
        np.minimum(np.round(REGIONS + 3 * NOISE), 60),  # clipped
        REGIONS[:8, :8, :8],  # too small to say
    ],
)
def test_scans_are_no_label_maps(scan):
    assert not holds_labels(scan.astype(np.float32))
