"""Reads many files on several threads, in their order."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_MOST_WORKERS = 8  # each holds a scan in memory
_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(
    function: Callable[[_T], _R], items: Iterable[_T], workers: int | None = None
) -> Iterator[_R]:
    """Yields `function` of each item in order, computed by threads a little ahead of its use.

    `workers` is the number of threads, by default one for each core but at most 8. At most so many
    results exist at once, the one in use among them, so that memory does not grow with the number
    of items. An error is raised in the place of its result.
    """
    # Grain's prefetch is not used: it adds a note about its own traceback to the error of a scan.
    workers = workers or min(os.cpu_count() or 1, _MOST_WORKERS)
    ahead: collections.deque[Future[_R]] = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            if len(ahead) == workers:
                yield ahead.popleft().result()
            ahead.append(pool.submit(function, item))
        while ahead:
            yield ahead.popleft().result()
