"""Tests of the order of records and of their random numbers; the values are those of Grain 0.2."""

import numpy as np
import pytest

from cyclegan_jax.data.order import RandomOrder, shuffled

SEED = 457190280


@pytest.mark.parametrize("count", [1, 2, 3, 12, 255, 4096, 65536, 65538, 70000])
def test_every_number_is_there_once_and_each_seed_has_another_order(count):
    one = shuffled(count, 5)
    np.testing.assert_array_equal(np.sort(one), np.arange(count))
    if count > 3:
        assert (one != shuffled(count, 6)).any()


@pytest.mark.parametrize(
    ("count", "places", "records"),
    [
        (1, (0, 1, 5), (0, 0, 0)),
        (2, (0, 1, 5, 2, 7), (1, 0, 1, 0, 0)),
        (7, (0, 1, 5, 7, 22), (5, 2, 1, 3, 3)),
        (12, (0, 1, 5, 12, 37), (11, 10, 1, 3, 3)),
        (70000, (0, 1, 5, 70000, 210001), (11697, 12751, 22232, 55689, 34084)),
    ],
)
def test_the_order_is_that_of_older_runs(count, places, records):
    order = RandomOrder(count, SEED)
    assert tuple(order.record(place) for place in places) == records


def test_the_random_numbers_are_those_of_older_runs():
    def drawn(place):
        rng = RandomOrder(7, SEED).generator(place)
        return rng.integers(-5, 5, size=2, endpoint=True).tolist(), rng.uniform(-1, 1), rng.random()

    assert drawn(0) == ([0, -3], -0.5541572859892947, 0.7000811147840759)
    assert drawn(5) == ([-1, -3], -0.28150861416780004, 0.8472808402483475)
    assert drawn(22) == ([-4, 4], 0.4603641449654108, 0.15535031655628107)


def test_the_largest_seed_has_the_order_of_older_runs():
    assert shuffled(9, 2**32 - 1).tolist() == [2, 1, 5, 3, 0, 4, 6, 8, 7]
