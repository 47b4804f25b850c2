"""Stopping a run from outside without losing a step."""

import os
import signal
from types import FrameType
from typing import Any


class Interruption:
    """Turns the first SIGINT or SIGTERM into `requested`; a second one acts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, _: FrameType | None) -> None:
        self.requested = True
        self._restore()
        # not print, which cannot be entered twice
        os.write(2, f"\n{signal.Signals(number).name}: saving after this step\n".encode())
