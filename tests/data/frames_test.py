"""Tests of training images at the size of the networks."""

import numpy as np
import pytest

from cyclegan_jax.data.frames import Frames, normalised
from cyclegan_jax.data.framing import fit
from cyclegan_jax.data.intensity import from_storage


class Counted(list):
    """Records that count how often one is read."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)


def records(*shapes):
    rng = np.random.default_rng(0)
    return Counted({"image": rng.integers(0, 2**16, (*s, 1)).astype(np.uint16)} for s in shapes)


@pytest.mark.parametrize(("mode", "dtype"), [("pad", np.uint16), ("resize", np.float32)])
def test_frames_are_the_images_that_fit_makes(mode, dtype):
    read = records((5, 9), (8, 8), (13, 11), (8, 20))
    frames = Frames(read, 8, mode)
    for record, frame in zip(read, frames, strict=True):
        assert frame.dtype == dtype
        wanted, _ = fit(from_storage(record["image"][..., 0]), (8, 8), mode)
        np.testing.assert_array_equal(normalised(frame), wanted)
    assert frames.bytes == sum(frame.nbytes for frame in frames)


def test_frames_that_are_kept_are_read_once():
    read = records((5, 9), (8, 8))
    frames, kept = Frames(read, 8, "pad"), Frames(read, 8, "pad").kept()
    for _ in range(3):
        np.testing.assert_array_equal(frames[1], kept[1])
    assert read.reads == 3 + 1
