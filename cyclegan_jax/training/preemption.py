"""Stopping a run from outside without losing a step."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns the first SIGINT or SIGTERM into `requested`; a second one ends the process at once.

    Python runs a handler when the main thread is back from whatever it called, which a compilation
    or a full disk may keep it in. So the interpreter writes each signal's number to a pipe, which a
    thread reads.

    One of several processes hands both to jax, which catches SIGTERM itself and finds the step
    after which all of them can stop; a second SIGTERM acts at once from then on.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}
        self._alone = jax.process_count() == 1
        self._pipe: tuple[int, int] | None = None
        self._woken = -1

    def __enter__(self) -> "Interruption":
        if self._alone:
            reader, writer = self._pipe = os.pipe()
            os.set_blocking(writer, False)
            self._woken = signal.set_wakeup_fd(writer)
            threading.Thread(target=self._listen, args=(reader,), daemon=True).start()
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._request)
        else:
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._hand_over)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._woken)
            os.close(self._pipe[1])  # which ends the thread

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
        self.requested = True  # at once where the main thread is in Python, as `_listen` may not be

    def _listen(self, reader: int) -> None:
        seen = False
        while number := os.read(reader, 1):
            if number[0] not in _SIGNALS:
                continue
            if seen:
                os._exit(128 + number[0])  # as a shell counts
            seen = self.requested = True
            _tell(number[0])
        os.close(reader)

    def _hand_over(self, number: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._previous[signal.SIGINT])
        os.kill(os.getpid(), signal.SIGTERM)
        _tell(number)


def _tell(number: int) -> None:
    # not print, which cannot be entered twice
    os.write(2, f"\n{signal.Signals(number).name}: saving after this step\n".encode())
