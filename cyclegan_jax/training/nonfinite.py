"""Steps whose losses or gradients are not finite: a run stops at the first, or skips some.

With `config.on_nonfinite = "skip"` the step itself leaves its update out (`step.train_step`); here
such steps are told of, and bounded. The first batches that led to one are kept in
`<workdir>/nonfinite/step_0000005.npz` (`x` and `y` `[B, H, W, 1]`, `step`), and as a PNG beside it;
the share of a further process in `step_0000005_process1.npz`.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.step import GRADIENT
from cyclegan_jax.system.files import write_whole
from cyclegan_jax.system.workdir import Workdir

MOST_SKIPPED_IN_A_ROW = 10  # a rare bad batch is one or two; more, and no batch will do
_MOST_TOLD = 3  # skipped steps that are printed and whose batches are kept, in a launch
_COLUMNS = 8  # images in a row of the PNG


class DivergedError(InputError):
    """A loss or a gradient that is not finite."""


class Divergence:
    """Judges the numbers of each step of a run."""

    def __init__(
        self,
        on_nonfinite: str,
        workdir: Path,
        kept: Callable[[], int | None],
        say: Callable[[str], None],
    ):
        """Judges nothing yet.

        Args:
          on_nonfinite: of the config.
          workdir: of the run.
          kept: waits for saves; returns the step of the newest checkpoint, or None.
          say: prints a line.
        """
        self._skips, self._workdir = on_nonfinite == "skip", workdir
        self._kept, self._say = kept, say
        self._skipped = self._in_a_row = 0

    def is_finite(
        self, step: int, terms: Mapping[str, Any], batch: Mapping[str, np.ndarray]
    ) -> bool:
        """Whether a step counts; False where it was skipped.

        Args:
          step: its number, from 1.
          terms: its metrics, as `step.train_step` returns them.
          batch: that it saw, on the host.

        Raises:
          DivergedError: it may not be skipped, or is the last of `MOST_SKIPPED_IN_A_ROW`. The
            message names the terms, the networks, the file of the batch and the checkpoint.
        """
        found = nonfinite(terms)
        if not found:
            self._in_a_row = 0
            return True
        self._skipped += 1
        self._in_a_row += 1
        stops = not self._skips or self._in_a_row == MOST_SKIPPED_IN_A_ROW
        if stops or self._skipped <= _MOST_TOLD:
            told = f"step {step}: {found} is not finite ({self._keep(step, batch)})"
            if stops:
                raise DivergedError(f"{told}; {self._mend(batch)}")
            self._say(f"{told}; its update is left out")
        return False

    def _keep(self, step: int, batch: Mapping[str, np.ndarray]) -> str:
        """Writes the batch, and says where; a full disk must not hide why the run stops."""
        path = Workdir(self._workdir).nonfinite_batch(step, jax.process_index())
        try:
            path.parent.mkdir(exist_ok=True)
            save_batch(path, step, batch)
        except OSError as error:
            return f"its batch could not be written: {error.strerror}"
        return f"its batch is in {path}"

    def _mend(self, batch: Mapping[str, np.ndarray]) -> str:
        mend = "lower the learning rates or the loss weights in a new --workdir"
        bad = [domain for domain, images in batch.items() if not np.isfinite(images).all()]
        if bad:
            mend = f"the batch's own images of {' and '.join(bad)} are not: prepare the data again"
        if self._skips:
            mend = f"{MOST_SKIPPED_IN_A_ROW} steps in a row were skipped; {mend}"
        else:
            mend += ", or go on with --config.on_nonfinite=skip"
        try:
            step = self._kept()
        except InputError as error:  # which must not hide why the run stops
            return f"{mend} ({error})"
        return mend + ("" if step is None else f" (the checkpoint of step {step} is kept)")


def nonfinite(terms: Mapping[str, Any]) -> str:
    """The loss terms and the networks with gradients that are not finite, in words; or ""."""
    bad = [name for name, value in terms.items() if not np.isfinite(value)]
    networks = [name.removeprefix(GRADIENT) for name in bad if name.startswith(GRADIENT)]
    losses = [name for name in bad if not name.startswith(GRADIENT)]
    groups = {"loss": losses, "gradient of": networks}
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in groups.items() if names)


def save_batch(path: Path, step: int, batch: Mapping[str, np.ndarray]) -> None:
    """Writes `step` and the images `[B, H, W, 1]` of `batch` to `path`, and a PNG beside it.

    In the PNG, what is not finite is black or white.
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
