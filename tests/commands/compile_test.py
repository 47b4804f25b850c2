"""`cyclegan-jax compile` as a user runs it."""

import json

import pytest


def test_a_step_is_compiled_for_cpu_devices_of_its_own(tmp_path, config_text, script):
    (tmp_path / "tiny.py").write_text(config_text)
    flags = ("--target=cpu:2", "--config=tiny.py", "--config.dtype=bfloat16", "--json")
    done = script(tmp_path, "compile", *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["devices"], found["batch_size"], found["dtype"]) == (2, 4, "bfloat16")
    assert [part["kind"] for part in found["collectives"]] == ["all-reduce"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--target=cuda:h99:8"], "error: --target=cuda:h99:8: is not one of tpu:v4"),
        (["--target=cpu:2", "--config.batch_size=0"], "error: config.batch_size = 0"),
    ],
)
def test_a_mistake_is_one_line(flags, words, tmp_path, script):
    done = script(tmp_path, "compile", "--config=quickstart", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1
