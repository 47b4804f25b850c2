"""Tests of the phantom's splits, of reading by threads, and of stacks."""

import threading

import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.preparation import scan
from cyclegan_jax.data.preparation.scan import Source


def subjects(source: Source, split: str) -> list[str]:
    return [scan.subject for scan in source.splits[split]]


def phantoms(unpaired: str) -> Source:
    return scan.phantom_source(
        subjects=16,
        held_out=2,
        unpaired=unpaired,
        slices=2,
        lesions=False,
        noise=0.03,
        bias=0.15,
        size=16,
    )


def test_shared_phantoms_train_both_domains_on_all_heads():
    source = phantoms("shared")
    trained = subjects(source, "train_x")
    assert trained == subjects(source, "train_y")
    assert len(trained) == 16
    assert not {*trained} & {*subjects(source, "val_x"), *subjects(source, "test_x")}


def test_phantoms_are_split_by_head_and_only_tests_are_paired():
    source = phantoms("disjoint")
    assert subjects(source, "val_x") == subjects(source, "val_y") == ["phantom0000", "phantom0001"]
    assert (
        subjects(source, "test_x") == subjects(source, "test_y") == ["phantom0002", "phantom0003"]
    )
    of_x, of_y = subjects(source, "train_x"), subjects(source, "train_y")
    assert len(of_x) == len(of_y) == 8
    assert len({*of_x, *of_y, *subjects(source, "val_x"), *subjects(source, "test_x")}) == 20
    one, two = (source.splits[s][0].read().images for s in ("test_x", "test_y"))
    assert list(one) == list(two) == ["phantom0002#000", "phantom0002#001"]
    assert one["phantom0002#000"].shape == (16, 16)
    assert not np.array_equal(one["phantom0002#000"], two["phantom0002#000"])


# ---------------------------------------------------------------- reading


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
    for result in scan.in_order(Result, range(40), workers):
        numbers.append(result.number)
        result.done()
    assert numbers == list(range(40))
    assert most <= workers


def test_workers_read_ahead_at_the_same_time():
    both = threading.Barrier(2, timeout=30)  # breaks, and so fails, unless two wait at it
    assert len(list(scan.in_order(lambda _: both.wait(), range(4), 2))) == 4


def test_the_first_failure_is_raised_in_its_place():
    def read(number: int) -> int:
        if number == 2:
            raise InputError("scan 2")
        return number

    results = scan.in_order(read, range(9), 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError, match="scan 2"):
        next(results)


def test_a_stack_keeps_all_slices_and_its_zero():
    slices = np.zeros((3, 4, 5), np.float32)
    slices[1, 2, 3], slices[2] = 0.5, 0.125
    read = scan.stack_images(slices, "s")
    assert read.intensity == (0.0, 0.5)
    assert read.shape == (3, 4, 5)
    assert list(read.images) == ["s#000", "s#001", "s#002"]
    assert [float(i.max()) for i in read.images.values()] == [-1.0, 1.0, -0.5]
    with pytest.raises(ValueError, match="no value is above 0"):
        scan.stack_images(-slices, "s")
