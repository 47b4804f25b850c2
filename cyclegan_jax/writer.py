"""Where a run's numbers and pictures go: `metrics.jsonl` and TensorBoard event files."""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter

METRICS = "metrics.jsonl"


class Writer:
    """Appends scalars to `<workdir>/metrics.jsonl` and, with pictures, to TensorBoard events."""

    def __init__(self, workdir: Path):
        path = workdir / METRICS
        torn = path.exists() and not path.read_bytes().endswith(b"\n")  # by a kill in mid-line
        self._lines = path.open("a", buffering=1)  # a line is on disk at once
        if torn and path.stat().st_size:
            self._lines.write("\n")
        self._board = SummaryWriter(str(workdir / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line `{"step", "time", name: value, ...}`; time is Unix seconds."""
        self._lines.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Copies a PNG to TensorBoard."""
        with Image.open(path) as image:
            self._board.add_image(name, np.asarray(image), step, dataformats="HW")

    def close(self) -> None:
        """Flushes and closes both."""
        self._lines.close()
        self._board.close()


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`; of a step that was run twice, the later."""
    lines = []
    for line in (workdir / METRICS).read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # torn by a kill in mid-line
            lines.append(json.loads(line))
    return list({(line["step"], frozenset(line)): line for line in lines}.values())
