"""Stops a run by a signal without losing a step."""

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

    Python runs a signal handler only when the main thread is back in Python. A compilation or a
    full disk can keep the thread away for long. So the interpreter writes the number of each signal
    to a pipe, and another thread reads it.

    If the process is one of several that train together, both signals are passed to jax. It catches
    SIGTERM itself and finds a step after which all of them can stop. From then on a second SIGTERM
    ends the process at once.
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
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._woken)
            os.close(self._pipe[1])  # which ends the thread

    def after(self, number: int) -> bool:
        """Returns whether to save and stop now; the answer is the same in every process.

        Call it once after each call of the training step. `number` is that of the call: jax expects
        it to grow by one.
        """
        if self._alone:
            return self.requested
        if multihost_utils.reached_preemption_sync_point(number):
            self.requested = True
            self._restore()
        return self.requested

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if not self._alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _request(self, number: int, _: FrameType | None) -> None:
        self.requested = True  # if the main thread is in Python, this may be sooner than `_listen`

    def _listen(self, reader: int) -> None:
        seen = False
        while number := os.read(reader, 1):
            if number[0] not in _SIGNALS:
                continue
            if seen:
                os._exit(128 + number[0])  # the status that a shell reports for a signal
            seen = self.requested = True
            _announce(number[0])
        os.close(reader)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._previous[signal.SIGINT])
        os.kill(os.getpid(), signal.SIGTERM)
        _announce(number)


def _announce(number: int) -> None:
    # not print, which must not be entered twice
    os.write(2, f"\n{signal.Signals(number).name}: saving after this step\n".encode())
