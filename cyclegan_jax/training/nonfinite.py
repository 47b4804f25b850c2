"""Steps whose losses or gradients are not finite: the run stops at the first one, or skips a few.

With `config.on_nonfinite = "skip"` the step itself leaves out its update (`step.train_step`). This
module reports such steps and limits their number. It keeps the first batches that led to one in
`Workdir.nonfinite_batch` (`x` and `y` `[B, H, W, 1]`, `step`), with a PNG beside each. Of several
processes each keeps its own part of the batch.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data.augmentation import as_seen
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.step import GRADIENT
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir

MOST_SKIPPED_IN_A_ROW = 10  # a bad batch is rare; if more fail in a row, every batch will
_MOST_REPORTED = 3  # skipped steps of a launch that are printed and whose batches are kept
_COLUMNS = 8  # images in a row of the PNG


class DivergedError(InputError):
    """A loss or a gradient is not finite, and the run must stop."""


class FiniteCheck:
    """Checks the numbers of every step of a run, and counts the steps that are skipped."""

    def __init__(
        self,
        on_nonfinite: str,
        workdir: Path,
        newest_checkpoint: Callable[[], int | None],
        print_line: Callable[[str], None],
    ):
        """Starts with no step skipped.

        Args:
          on_nonfinite: of the config, "stop" or "skip".
          workdir: of the run.
          newest_checkpoint: waits for saves; returns the step of the newest checkpoint, or None.
          print_line: prints a line.
        """
        self._skips, self._workdir = on_nonfinite == "skip", workdir
        self._newest_checkpoint, self._print_line = newest_checkpoint, print_line
        self._skipped = self._in_a_row = 0

    def is_finite(
        self, step: int, terms: Mapping[str, Any], batch: Mapping[str, np.ndarray]
    ) -> bool:
        """Returns True if all numbers of a step are finite, False if the step was skipped.

        Args:
          step: its number, from 1.
          terms: its metrics, as `step.train_step` returns them.
          batch: that it took, on the host.

        Raises:
          DivergedError: the run does not skip, or has skipped `MOST_SKIPPED_IN_A_ROW` steps. The
            message names the terms, the networks, the file of the batch and the checkpoint.
        """
        found = describe_nonfinite(terms)
        if not found:
            self._in_a_row = 0
            return True
        batch = as_seen(batch)
        self._skipped += 1
        self._in_a_row += 1
        must_stop = not self._skips or self._in_a_row == MOST_SKIPPED_IN_A_ROW
        if must_stop or self._skipped <= _MOST_REPORTED:
            report = f"step {step}: {found} is not finite ({self._keep_batch(step, batch)})"
            if must_stop:
                raise DivergedError(f"{report}; {self._advice(batch)}")
            self._print_line(f"{report}; its update is left out")
        return False

    def _keep_batch(self, step: int, batch: Mapping[str, np.ndarray]) -> str:
        """Writes the batch, and returns words on where it is, or on why it is not there."""
        path = Workdir(self._workdir).nonfinite_batch(step, jax.process_index())
        try:
            path.parent.mkdir(exist_ok=True)
            save_batch(path, step, batch)
        except OSError as error:  # a full disk must not hide why the run stops
            return f"its batch could not be written: {error.strerror}"
        return f"its batch is in {path}"

    def _advice(self, batch: Mapping[str, np.ndarray]) -> str:
        advice = "lower the learning rates or the loss weights in a new --workdir"
        bad = [domain for domain, images in batch.items() if not np.isfinite(images).all()]
        if bad:
            advice = (
                f"the batch's images of {' and '.join(bad)} are not finite: prepare the data again"
            )
        if self._skips:
            advice = f"{MOST_SKIPPED_IN_A_ROW} steps in a row were skipped; {advice}"
        else:
            advice += ", or resume with --config.on_nonfinite=skip"
        try:
            step = self._newest_checkpoint()
        except InputError as error:  # which must not hide why the run stops
            return f"{advice} ({error})"
        return advice + ("" if step is None else f" (the checkpoint of step {step} is kept)")


def describe_nonfinite(terms: Mapping[str, Any]) -> str:
    """Returns words that name the losses and gradients that are not finite; "" if all are finite.

    Args:
      terms: a step's metrics, as `step.train_step` returns them.
    """
    bad = [name for name, value in terms.items() if not np.isfinite(value)]
    networks = [name.removeprefix(GRADIENT) for name in bad if name.startswith(GRADIENT)]
    losses = [name for name in bad if not name.startswith(GRADIENT)]
    groups = {"loss": losses, "gradient of": networks}
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in groups.items() if names)


def save_batch(path: Path, step: int, batch: Mapping[str, np.ndarray]) -> None:
    """Writes `step` and the images `[B, H, W, 1]` of `batch` to `path`, and a PNG beside it.

    In the PNG a pixel that is not finite is black or white.
    """
    arrays: dict[str, Any] = {"step": np.int64(step), **batch}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getvalue())
    rows, titles = [], []
    for domain, images in batch.items():
        shown = np.nan_to_num(images, nan=-1, posinf=1, neginf=-1)
        for start in range(0, len(images), _COLUMNS):
            rows.append(shown[start : start + _COLUMNS])
            titles.append(f"{domain}, from image {start} on")
    save_grid(path.with_suffix(".png"), rows, [], titles)
