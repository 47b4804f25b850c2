"""What becomes of each job of a check. `commands/device_check_test.py` runs the jobs."""

import json
import subprocess

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.device_check import check, report
from cyclegan_jax.device_check.comparison import WINDOW

DEVICE = {"kind": "NVIDIA H100 80GB HBM3", "platform": "gpu", "platform_version": "cuda\n12"}
LOSSES = {"generators": [1.0] * WINDOW}
TIMES = {
    "seconds_per_step": {"median": 0.01},
    "images_per_second": 200.0,
    "gflops_per_second": 5000.0,
    "compile_seconds": 30.0,
    "peak_bytes": 2**30,
    "planned_bytes": 2**29,
}
TOO_LARGE = {"error": "JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"}


@pytest.fixture
def checked(monkeypatch):
    """Runs the whole check on answers of jobs, and returns its reports."""

    def run(train=None, times=lambda values: TIMES, predict=None):
        def job(name, environment=None, **values):
            if name == "train":
                where = (environment or {}).get("JAX_PLATFORMS", "device")
                losses = [LOSSES] * len(values["trainings"])
                return (train or {}).get(where, {"device": DEVICE, "losses": losses})
            if name == "times":
                return times(values)
            return predict or {"predicted_bytes": 2**28}

        monkeypatch.setattr(check, "_job", job)
        shown = []
        check.run(check.FULL, lambda found: shown.append(json.loads(json.dumps(found))))
        return shown

    return run


def test_every_batch_is_a_row_with_its_three_memories(checked):
    found = checked()[-1]
    assert [(row["batch"], row["dtype"]) for row in found["steps"]] == [
        (batch, dtype) for dtype in ("bfloat16", "float32") for batch in (1, 8, 32)
    ]
    assert {row["predicted_for"] for row in found["steps"]} == {"cuda:h100:1"}
    text = report.text(found)
    assert text.count("yes") == 3
    for words in ("10.00", "200.0", "1.000", "0.500", "0.250", "NVIDIA H100", "cuda 12"):
        assert words in text


def test_a_batch_that_does_not_fit_is_a_row_and_the_rest_is_timed(checked):
    found = checked(times=lambda values: TOO_LARGE if values["batch"] == 32 else TIMES)[-1]
    text = report.text(found)
    assert text.count("does not fit") == 2
    assert "batch 32, float32: JaxRuntimeError: RESOURCE_EXHAUSTED" in text
    assert found["steps"][2]["predicted_bytes"] == 2**28


def test_another_failure_is_not_called_too_large(checked):
    text = report.text(checked(times=lambda values: {"error": "ValueError: no"})[-1])
    assert text.count("  failed") == 6
    assert "does not fit" not in text


def test_a_prediction_that_fails_is_said(checked):
    text = report.text(checked(predict={"error": "InputError: not installed"})[-1])
    assert "batch 8, float32: InputError: not installed" in text


def test_losses_that_differ_are_not_inside(checked):
    other = {"losses": 3 * [{"generators": [1.5] * WINDOW}]}
    found = checked(train={"cpu": other})[-1]
    assert not any(row["is_inside"] for row in found["numerics"]["types"])
    assert report.text(found).count("NO") == 3


@pytest.mark.parametrize("where", ["device", "cpu"])
def test_a_training_that_fails_is_said_and_the_step_is_timed(checked, where):
    found = checked(train={where: {"error": "boom"}})[-1]
    assert "numerics: not compared (boom)" in report.text(found)
    assert len(found["steps"]) == 6


def test_the_report_is_shown_after_each_job(checked):
    shown = checked()
    assert len(shown) == 1 + 2 * 6
    assert [len(found.get("steps", [])) for found in shown[:4]] == [0, 1, 1, 2]
    assert report.text(shown[0])


def ended(status, out="", err=""):
    return lambda *_, **__: subprocess.CompletedProcess([], status, out, err)


def test_a_job_that_is_killed_is_an_error_and_a_mistake_is_raised(monkeypatch):
    monkeypatch.setattr(subprocess, "run", ended(-9, err="a\nkilled\n"))
    assert check._job("times")["error"] == "the process ended with status -9: killed"
    monkeypatch.setattr(subprocess, "run", ended(0, out='preparing\n{"mistake": "no device"}\n'))
    with pytest.raises(InputError, match="no device"):
        check._job("times")
