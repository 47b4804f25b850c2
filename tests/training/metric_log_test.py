"""Numbers and pictures reach both files."""

import json

import numpy as np

from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training.metric_log import Writer, read_metrics


def test_scalars_are_on_disk_at_once_and_appended(tmp_path):
    writer = Writer(tmp_path)
    writer.scalars(5, {"loss/cycle_x": 0.25})
    line = json.loads(Workdir(tmp_path).metrics.read_text())
    assert (line["step"], line["loss/cycle_x"]) == (5, 0.25)
    writer.close()
    again = Writer(tmp_path)
    again.scalars(10, {"loss/cycle_x": 0.125})
    again.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [5, 10]


def test_of_a_repeated_step_the_later_counts(tmp_path):
    writer = Writer(tmp_path)
    writer.scalars(5, {"a": 1.0})
    writer.scalars(5, {"b": 7.0})
    writer.scalars(5, {"a": 2.0})
    writer.close()
    assert [(line.get("a"), line.get("b")) for line in read_metrics(tmp_path)] == [
        (2.0, None),
        (None, 7.0),
    ]


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    save_grid(tmp_path / "grid.png", [[np.zeros((16, 16))]], [""])
    writer = Writer(tmp_path)
    writer.scalars(1, {"loss/total": 3.0})
    writer.picture(1, "samples", tmp_path / "grid.png")
    writer.close()
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert b"loss/total" in events
    assert b"samples" in events
    assert b"PNG" in events
