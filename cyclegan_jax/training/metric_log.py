"""The log of a run: means of losses, scores and images in `metrics.jsonl` and for TensorBoard."""

import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from clu import metrics as clu_metrics
from PIL import Image
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from cyclegan_jax.system.workdir import Workdir

# Not clu.metric_writers, nor clu.periodic_actions in the loop: both import TensorFlow (clu 0.0.12).


class LossAverages:
    """Means of the loss terms of all steps since the last `result`."""

    def __init__(self) -> None:
        self._terms: dict[str, clu_metrics.Average] = {}

    def add(self, terms: Mapping[str, Any]) -> None:
        """Adds the scalars of one step, by name."""
        for name, value in terms.items():
            average = clu_metrics.Average(total=value, count=np.int32(1))  # type: ignore[arg-type]
            previous = self._terms.get(name)
            self._terms[name] = average if previous is None else previous.merge(average)

    def result(self) -> dict[str, float]:
        """Returns the means by name, and forgets them."""
        means = {name: float(term.compute()) for name, term in self._terms.items()}
        self._terms = {}
        return means


class MetricLog:
    """Appends to `Workdir.metrics` and `Workdir.warnings`; writes for TensorBoard."""

    def __init__(self, workdir: Path):
        path, board = Workdir(workdir).metrics, Workdir(workdir).tensorboard
        is_torn = path.exists() and not path.read_bytes().endswith(b"\n")  # killed while writing
        self._lines = path.open("a", buffering=1)  # a line is on disk at once
        if is_torn and path.stat().st_size:
            self._lines.write("\n")
        # there from the start: no file says that nothing is known
        self._warnings = Workdir(workdir).warnings.open("a", buffering=1, encoding="utf-8")
        board.mkdir(exist_ok=True)
        # Not SummaryWriter: its thread would die of a full disk, and this one would wait for it.
        self._board = EventsWriter(str(board / f"{uuid.uuid4().hex[:8]}.events"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line `{"step", "time", name: value, ...}`; time is in Unix seconds."""
        self._lines.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._event(step, *(summary.scalar(name, value) for name, value in values.items()))

    def warning(self, line: str) -> None:
        """Appends a line to `Workdir.warnings`."""
        self._warnings.write(f"{line}\n")

    def picture(self, step: int, name: str, path: Path) -> None:
        """Copies a PNG to TensorBoard."""
        with Image.open(path) as image:
            self._event(step, summary.image(name, np.asarray(image), dataformats="HW"))

    def _event(self, step: int, *parts: Any) -> None:
        event = event_pb2.Event(step=step, wall_time=time.time())  # pyright: ignore
        for part in parts:
            event.summary.MergeFrom(part)
        self._board.write_event(event)
        self._board.flush()

    def close(self) -> None:
        """Flushes and closes all files."""
        for file in (self._lines, self._warnings, self._board):
            with contextlib.suppress(OSError):  # was raised already, when it was written
                file.close()


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """Returns the lines of `Workdir.metrics`; of a step that was run twice, the later ones."""
    lines = []
    for line in Workdir(workdir).metrics.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # the process was killed while writing it
            lines.append(json.loads(line))
    return list({(line["step"], frozenset(line)): line for line in lines}.values())


def is_logged(workdir: Path, step: int, name: str) -> bool:
    """Returns whether a value called `name` is logged for `step`."""
    lines = read_metrics(workdir) if Workdir(workdir).metrics.exists() else []
    return any(line["step"] == step and name in line for line in lines)
