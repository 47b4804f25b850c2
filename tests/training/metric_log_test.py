"""Losses are averaged; numbers and pictures reach both files."""

import json

import numpy as np

from cyclegan_jax.render.image_grid import save_grid
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.training.metric_log import LossAverages, MetricLog, read_metrics


def test_scalars_are_on_disk_at_once_and_appended(tmp_path):
    log = MetricLog(tmp_path)
    log.scalars(5, {"loss/cycle_x": 0.25})
    line = json.loads(Workdir(tmp_path).metrics.read_text())
    assert (line["step"], line["loss/cycle_x"]) == (5, 0.25)
    log.close()
    again = MetricLog(tmp_path)
    again.scalars(10, {"loss/cycle_x": 0.125})
    again.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [5, 10]


def test_of_a_repeated_step_the_later_counts(tmp_path):
    log = MetricLog(tmp_path)
    log.scalars(5, {"a": 1.0})
    log.scalars(5, {"b": 7.0})
    log.scalars(5, {"a": 2.0})
    log.close()
    assert [(line.get("a"), line.get("b")) for line in read_metrics(tmp_path)] == [
        (2.0, None),
        (None, 7.0),
    ]


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    save_grid(tmp_path / "grid.png", [[np.zeros((16, 16))]], [""])
    log = MetricLog(tmp_path)
    log.scalars(1, {"loss/total": 3.0})
    log.picture(1, "samples", tmp_path / "grid.png")
    log.close()
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert b"loss/total" in events
    assert b"samples" in events
    assert b"PNG" in events


def test_loss_averages_weigh_every_step_alike_and_start_anew():
    averages = LossAverages()
    for value in (1.0, 2.0, 6.0):
        averages.add({"cycle": np.float32(value)})
    assert averages.result() == {"cycle": 3.0}
    averages.add({"cycle": np.float32(5.0)})
    assert averages.result() == {"cycle": 5.0}
