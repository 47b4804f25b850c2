"""Where a run's numbers and pictures go: `metrics.jsonl` and TensorBoard event files."""

import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

from cyclegan_jax.system.workdir import Workdir


class Writer:
    """Appends scalars to `<workdir>/metrics.jsonl` and, with pictures, to TensorBoard events."""

    def __init__(self, workdir: Path):
        path, board = Workdir(workdir).metrics, Workdir(workdir).tensorboard
        torn = path.exists() and not path.read_bytes().endswith(b"\n")  # by a kill in mid-line
        self._lines = path.open("a", buffering=1)  # a line is on disk at once
        if torn and path.stat().st_size:
            self._lines.write("\n")
        board.mkdir(exist_ok=True)
        # not SummaryWriter: its thread would die of a full disk and leave this one waiting for it
        self._board = EventsWriter(str(board / f"{uuid.uuid4().hex[:8]}.events"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line `{"step", "time", name: value, ...}`; time is Unix seconds."""
        self._lines.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._event(step, *(summary.scalar(name, value) for name, value in values.items()))

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
        """Flushes and closes both."""
        for file in (self._lines, self._board):
            with contextlib.suppress(OSError):  # raised already, where it was written
                file.close()


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`; of a step that was run twice, the later."""
    lines = []
    for line in Workdir(workdir).metrics.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # torn by a kill in mid-line
            lines.append(json.loads(line))
    return list({(line["step"], frozenset(line)): line for line in lines}.values())


def is_logged(workdir: Path, step: int, name: str) -> bool:
    """Whether there is a value `name` of `step`."""
    lines = read_metrics(workdir) if Workdir(workdir).metrics.exists() else []
    return any(line["step"] == step and name in line for line in lines)
