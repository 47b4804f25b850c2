"""Traces some steps of a run with JAX's profiler, for TensorBoard and for Perfetto."""

import re
from pathlib import Path
from typing import Any

import jax

from cyclegan_jax import InputError
from cyclegan_jax.parallel import multihost
from cyclegan_jax.system.workdir import writing_workdir


class Profile:
    """Traces the calls of the training step that hold the chosen steps; by default none.

    Use it as a context manager: leaving it ends a trace that has begun. Of several processes the
    primary traces.
    """

    def __init__(self, text: str, steps: int, folder: Path):
        """Starts nothing yet.

        Args:
          text: "STEP:COUNT": COUNT steps from step STEP on, counted from 1; "" for none.
          steps: of the run.
          folder: that the trace is written to.

        Raises:
          InputError: `text` is anything else, or names steps that the run does not have.
        """
        self._text, self._folder, self._is_on = text, folder, False
        self._first = self._last = 0
        if not text:
            return
        found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text, re.ASCII)
        first, count = map(int, found.groups()) if found else (0, 0)
        if first < 1 or count < 1:
            raise InputError(
                f"--profile={text}: must be STEP:COUNT, both from 1, for example 100:3 for the "
                "steps 100 to 102"
            )
        self._first, self._last = first, first + count - 1
        if self._last > steps:
            raise InputError(
                f"--profile={text}: the run has {steps} steps (config.steps), so STEP + COUNT can "
                f"be {steps + 1} at most"
            )

    def check_start(self, step: int) -> None:
        """Raises `InputError` if a run that has done `step` steps has done the first of them."""
        if self._text and step >= self._first:
            raise InputError(
                f"--profile={self._text}: {step} steps are done; name a step from {step + 1} on"
            )

    def before(self, step: int) -> None:
        """Begins the trace if the call that ends with `step` holds the first step of it."""
        if not self._is_on and self._first <= step <= self._last and multihost.is_primary():
            self._begin()

    def after(self, step: int, results: Any) -> None:
        """Ends the trace if the call that ended with `step` holds the last step of it."""
        if self._is_on and step >= self._last:
            jax.block_until_ready(results)
            self._end()

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_on:
            self._end()

    def _begin(self) -> None:
        with writing_workdir(self._folder.parent):
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        self._is_on = True

    def _end(self) -> None:
        self._is_on = False
        with writing_workdir(self._folder.parent):
            jax.profiler.stop_trace()
        print(f"the trace of the steps {self._text} is in {self._folder}", flush=True)
