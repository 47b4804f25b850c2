"""Finds the largest batch that fits into the memory of a device, by compiling a few."""

import math
from collections.abc import Callable
from typing import NamedTuple

_TRIES = 4  # compilations after the straight line is known
_ENOUGH = 1.02  # a batch that is larger by less is not looked for
_MOST = 65_536  # images; a tiny network would fit with millions


class Largest(NamedTuple):
    """A batch that fits. `compiled` has (batch size, peak bytes) of every batch that was compiled.

    The peak is None where XLA refused the batch and did not say what it would need.
    """

    batch_size: int
    peak: int
    compiled: list[tuple[int, int | None]]


def find(
    peak_of: Callable[[int], int | None], start: int, multiple: int, capacity: float
) -> Largest | None:
    """Returns the largest batch that was found to fit, or None if none does.

    The peak is nearly a straight line over the batch. The line through two batches says which is
    the largest, and that one is compiled. It is a point of the next line, until that says the same.
    A batch that is larger by 2 % may fit, too.

    Args:
      peak_of: returns the peak bytes of a batch size, or None if it cannot be compiled for want of
        memory.
      start: the first batch size, a multiple of `multiple`.
      multiple: of which the batch size must be one.
      capacity: bytes.
    """
    compiled: dict[int, int | None] = {}

    def fits(batch: int) -> bool:
        if batch not in compiled:
            compiled[batch] = peak_of(batch)
        peak = compiled[batch]
        return peak is not None and peak <= capacity

    best = start
    while not fits(best):
        if best == multiple:
            return None
        best = max(multiple, best // 2 // multiple * multiple)
    other = 2 * best if fits(2 * best) else max(multiple, best // 2 // multiple * multiple)
    fits(other)
    best = max(batch for batch in compiled if fits(batch))
    too_large = min((batch for batch in compiled if not fits(batch)), default=math.inf)
    for _ in range(_TRIES):
        batch = _predicted(compiled, capacity, multiple)
        if batch >= too_large:  # the line bends, or says nothing
            batch = (best + int(too_large)) // 2 // multiple * multiple
        if batch <= _ENOUGH * best:
            break
        if fits(batch):
            best = batch
        else:
            too_large = batch
    peak = compiled[best]
    assert peak is not None
    return Largest(best, peak, sorted(compiled.items()))


def _predicted(compiled: dict[int, int | None], capacity: float, multiple: int) -> int:
    """Returns the largest batch by the line through two known peaks, next to the capacity."""
    known = sorted((batch, peak) for batch, peak in compiled.items() if peak is not None)
    above = [i for i, (_, peak) in enumerate(known) if peak > capacity]
    end = above[0] + 1 if above else len(known)
    if end < 2 or known[end - 1][1] <= known[end - 2][1]:
        return 0
    (a, low), (b, high) = known[end - 2 : end]
    slope = (high - low) / (b - a)
    return int(min((capacity - low) / slope + a, _MOST)) // multiple * multiple
