"""The search for the largest batch, on made-up memories."""

import pytest

from cyclegan_jax.compilation import largest_batch


class Memory:
    """Peaks of a batch, and how often they were asked for."""

    def __init__(self, peak, refused_above=None):
        self.peak, self.refused_above, self.asked = peak, refused_above, []

    def __call__(self, batch):
        self.asked.append(batch)
        if self.refused_above is not None and batch > self.refused_above:
            return None
        return int(self.peak(batch))


@pytest.mark.parametrize("start", [8, 32, 512])
def test_a_straight_line_needs_no_search(start):
    memory = Memory(lambda batch: 1000 + 10 * batch)
    found = largest_batch.find(memory, start, 8, 5000)
    assert (found.batch_size, found.peak) == (400, 5000)
    assert len(memory.asked) == len(set(memory.asked)) <= 5
    assert dict(found.compiled)[400] == 5000


def test_a_line_that_bends_is_followed():
    memory = Memory(lambda batch: 1000 + 10 * batch + max(0, batch - 100) ** 2 / 10)
    found = largest_batch.find(memory, 8, 8, 5000)
    assert found.peak <= 5000
    assert int(memory.peak(found.batch_size)) == found.peak
    assert found.batch_size >= 200  # 224 is the largest
    assert len(memory.asked) <= 8


def test_where_the_compiler_refuses_the_search_goes_down():
    memory = Memory(lambda batch: 1000 + 10 * batch, refused_above=300)
    found = largest_batch.find(memory, 64, 8, 5000)
    assert 200 <= found.batch_size <= 300
    assert (400, None) in found.compiled


def test_a_start_that_is_too_large_is_halved():
    memory = Memory(lambda batch: 1000 + 10 * batch, refused_above=30)
    assert largest_batch.find(memory, 512, 4, 1250).batch_size == 24


def test_nothing_may_fit():
    assert largest_batch.find(Memory(lambda batch: 1000), 32, 8, 999) is None


def test_only_the_smallest_may_fit():
    found = largest_batch.find(Memory(lambda batch: 100 * batch), 8, 8, 900)
    assert found.batch_size == 8


def test_no_batch_is_absurd():
    memory = Memory(lambda batch: 1000 + batch)
    assert largest_batch.find(memory, 8, 8, 1e12).batch_size <= 65536
