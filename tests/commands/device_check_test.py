"""`cyclegan-jax device_check` as a user runs it, on a CPU."""

import json
import subprocess

# Compiles in a fraction of the time; how fast a step is does not matter here.
UNOPTIMISED = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


def test_a_quick_check_writes_both_reports(tmp_path, command, environment):
    done = subprocess.run(
        command("device_check", "--quick", "--out=sent"),
        cwd=tmp_path,
        env=environment(tmp_path) | UNOPTIMISED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "sent" / "report.txt").read_text()
    assert text.strip() in done.stdout
    found = json.loads((tmp_path / "sent" / "report.json").read_text())
    assert found["device"]["platform"] == "cpu"
    assert found["versions"]["jax"] in text
    types = found["numerics"]["types"]
    assert [(row["dtype"], row["matmul_precision"]) for row in types] == [
        ("float32", "highest"),
        ("bfloat16", "default"),
    ]
    # the device is the CPU itself
    assert (types[0]["first_step"], types[0]["means"]) == (0, 0)
    assert types[1]["first_step"] > 0
    assert all(row["is_inside"] for row in types)
    (row,) = found["steps"]
    assert row["seconds_per_step"]["median"] > 0
    assert row["predicted_for"] == "cpu:1"
    assert row["predicted_bytes"] == row["planned_bytes"] > 0
    assert row["peak_bytes"] is None  # a CPU does not say it
    assert str(tmp_path) not in text


def test_without_an_accelerator_it_says_what_to_install(tmp_path, script):
    done = script(tmp_path, "device_check")
    assert done.returncode == 1
    assert done.stderr.startswith("error: JAX finds no accelerator; install the JAX of yours")
    assert "--quick" in done.stderr
    assert not (tmp_path / "device_check").exists()


def test_a_report_that_is_there_stays(tmp_path, script):
    (tmp_path / "device_check").mkdir()
    done = script(tmp_path, "device_check", "--quick")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --out=device_check is there already; name a new folder")
