"""Tests of reading by threads: the order of results, how many there are at once, failures."""

import threading

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.preparation.reading import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_and_few_at_once(workers):
    lock, alive, most = threading.Lock(), 0, 0

    class Result:
        def __init__(self, number: int):
            nonlocal alive, most
            self.number = number
            with lock:
                alive += 1
                most = max(most, alive)

        def done(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    numbers = []
    for result in in_order(Result, range(40), workers):
        numbers.append(result.number)
        result.done()
    assert numbers == list(range(40))
    assert most <= workers


def test_workers_read_ahead_at_the_same_time():
    both = threading.Barrier(2, timeout=30)  # breaks, and so fails, unless two wait at it
    assert len(list(in_order(lambda _: both.wait(), range(4), 2))) == 4


def test_the_first_failure_is_raised_in_its_place():
    def read(number: int) -> int:
        if number == 2:
            raise InputError("scan 2")
        return number

    results = in_order(read, range(9), 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError, match="scan 2"):
        next(results)
