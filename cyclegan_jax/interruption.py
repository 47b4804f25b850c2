"""Stopping a run from outside without losing a step."""

import os
import signal
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class Interruption:
    """Turns the first SIGINT or SIGTERM into `requested`; a second one acts at once.

    One of several processes hands both to jax, which catches SIGTERM itself and finds the step
    after which all of them can stop; a second SIGTERM acts at once from then on.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}
        self._alone = jax.process_count() == 1

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM) if self._alone else (signal.SIGINT,):
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def after(self, step: int) -> bool:
        """Whether to save and stop after `step`: the same answer in every process.

        Call it once for each step.
        """
        if self._alone:
            return self.requested
        if multihost_utils.reached_preemption_sync_point(step):
            self.requested = True
            self._restore()
        return self.requested

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if not self._alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _request(self, number: int, _: FrameType | None) -> None:
        if self._alone:
            self.requested = True
            for handled in self._previous:  # the default, which waits for no clean-up
                signal.signal(handled, signal.SIG_DFL)
        else:
            signal.signal(signal.SIGINT, self._previous[signal.SIGINT])
            os.kill(os.getpid(), signal.SIGTERM)
        # last, since who reads it may send the second signal; not print, which cannot be entered
        # twice
        os.write(2, f"\n{signal.Signals(number).name}: saving after this step\n".encode())
