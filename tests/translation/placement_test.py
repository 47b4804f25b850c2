"""Tests of where the frame of training lies in the slices of a scan."""

import numpy as np
import pytest

from cyclegan_jax.data.framing import fit
from cyclegan_jax.translation.placement import place as place_recorded
from cyclegan_jax.translation.placement import recorded


def place(head: np.ndarray, image_size: int, multiple: int):
    """Where all was recorded."""
    rows, columns = head.shape[1:]
    return place_recorded(head, (slice(0, rows), slice(0, columns)), image_size, multiple)


def box(size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    head = np.zeros((2, *size), bool)
    head[0, slice(*rows), slice(*columns)] = True
    return head


@pytest.mark.parametrize("size", [(10, 13), (16, 16), (15, 4)])
def test_slices_that_fit_stand_as_in_training_wherever_their_head_is(size):
    images = np.random.default_rng(0).uniform(-1, 1, (2, *size)).astype(np.float32)
    placement = place(box(size, (0, 3), (1, 4)), 16, 8)
    framed = placement.frame_of(images)
    np.testing.assert_array_equal(framed[1], fit(images[1], (16, 16), "pad")[0])
    np.testing.assert_array_equal(placement.back(framed), images)


@pytest.mark.parametrize("more", [(0, 0), (3, 3), (9, 9), (40, 2), (1, 17)])
def test_the_frame_shows_the_same_head_and_air_however_much_air_there_is(more):
    images = np.full((2, 16, 17), -1, np.float32)
    images[0, 2:14, 5:12] = np.random.default_rng(0).uniform(0, 1, (12, 7))
    wanted = place(images > -1, 16, 8).frame_of(images)
    padded = np.pad(images, ((0, 0), more, more[::-1]), constant_values=-1)
    placement = place(padded > -1, 16, 8)
    np.testing.assert_array_equal(placement.frame_of(padded), wanted)
    np.testing.assert_array_equal(placement.back(placement.frame_of(padded)), padded)


def test_a_head_beside_the_middle_keeps_its_place_if_air_is_added_on_both_sides():
    head = box((64, 64), (5, 56), (9, 58))
    frame = place(head, 64, 8).frame_of(head * 1.0)
    padded = np.pad(head, ((0, 0), (5, 5), (9, 9)))
    placement = place(padded, 64, 8)
    assert placement.corner == (5, 9)
    np.testing.assert_array_equal(placement.frame_of(padded * 1.0), frame)


def test_a_head_far_from_the_middle_moves_into_the_middle_of_the_frame():
    placement = place(box((40, 40), (1, 11), (20, 38)), 24, 8)
    assert placement.frame == (24, 24)
    assert placement.corner == (6 - 12, 29 - 12)


def test_only_a_head_that_does_not_fit_makes_the_frame_larger():
    placement = place(box((50, 50), (10, 27), (3, 19)), 16, 8)
    assert placement.frame == (24, 16)
    assert placement.corner[1] == 3
    assert placement.corner[0] <= 10
    assert placement.corner[0] + 24 >= 27


def test_what_lies_outside_the_frame_comes_back_as_air():
    images = np.zeros((1, 40, 40), np.float32)
    placement = place(box((40, 40), (15, 25), (15, 25)), 16, 8)
    back = placement.back(placement.frame_of(images))
    assert (back[0, 12:28, 12:28] == 0).all()
    assert (back == -1).sum() == 40 * 40 - 16 * 16


def test_slices_without_head_are_seen_whole():
    placement = place(np.zeros((1, 20, 9), bool), 16, 8)
    assert placement.frame == (24, 16)
    assert (placement.back(placement.frame_of(np.zeros((1, 20, 9)))) == 0).all()


def test_padding_is_told_from_what_was_recorded():
    slices = np.random.default_rng(0).uniform(0, 1, (2, 8, 9))
    slices[0, 3] = 7  # a constant row inside, of one slice
    padded = np.pad(slices, ((0, 0), (3, 0), (1, 5)), constant_values=2)
    assert recorded(padded) == (slice(3, 11), slice(1, 10))
    assert recorded(np.zeros((2, 4, 5))) == (slice(0, 4), slice(0, 5))


@pytest.mark.parametrize("more", [(0, 3), (9, 0), (30, 41)])
def test_constant_padding_of_any_kind_does_not_move_the_frame(more):
    """The head lies beside the middle of what was recorded, with an odd distance."""
    head = box((64, 64), (6, 57), (8, 58))
    images = np.where(head, 0.5, np.random.default_rng(0).uniform(-1, -0.9, head.shape))
    wanted = place_recorded(head, recorded(images), 64, 8).frame_of(images)
    pads = ((0, 0), more, more[::-1])
    padded, padded_head = np.pad(images, pads, constant_values=-1), np.pad(head, pads)
    placement = place_recorded(padded_head, recorded(padded), 64, 8)
    np.testing.assert_array_equal(placement.frame_of(padded), wanted)


def test_a_head_far_from_the_middle_moves_though_the_middle_shows_it_whole():
    placement = place(box((40, 40), (9, 14), (12, 28)), 24, 8)
    assert placement.corner == (0, 8)


def test_a_head_near_the_middle_moves_if_the_middle_would_cut_it():
    assert place(box((80, 80), (11, 73), (9, 71)), 64, 8).corner == (10, 8)


def test_a_head_without_air_around_it_stands_as_its_slices():
    head = box((80, 80), (10, 72), (10, 72))
    inside = (slice(10, 72), slice(10, 72))
    assert place_recorded(head, inside, 64, 8).corner == (8, 8)
    more = (slice(9, 73), slice(8, 75))
    assert place_recorded(head, more, 64, 8).corner == (9, 10)
