"""Tests of normalising the slices of a scan."""

import numpy as np
import pytest

from cyclegan_jax.data.preparation.scan import ScanImages


def test_a_stack_keeps_all_slices_and_its_zero():
    slices = np.zeros((3, 4, 5), np.float32)
    slices[1, 2, 3], slices[2] = 0.5, 0.125
    read = ScanImages.of_stack(slices, "s")
    assert read.intensity == (0.0, 0.5)
    assert read.shape == (3, 4, 5)
    assert list(read.images) == ["s#000", "s#001", "s#002"]
    assert [float(i.max()) for i in read.images.values()] == [-1.0, 1.0, -0.5]
    with pytest.raises(ValueError, match="no value is above 0"):
        ScanImages.of_stack(-slices, "s")
