"""Whose workdir it is: the config that it holds, and the process that trains there."""

import subprocess
import sys

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.config import from_json, to_json
from cyclegan_jax.parallel import multihost
from cyclegan_jax.system import workdir as workdir_lib


def test_another_config_is_refused_with_the_difference(tiny, tmp_path):
    workdir = tmp_path
    workdir_lib.claim(tiny, workdir)
    tiny.log_every = 1  # changes no number of a step
    workdir_lib.claim(tiny, workdir)
    tiny.loss.cycle_weight = 10.0
    with pytest.raises(InputError, match=r"another config.*loss\.cycle_weight: 15\.0 -> 10\.0"):
        workdir_lib.claim(tiny, workdir)
    assert from_json((workdir / "config.json").read_text()).loss.cycle_weight == 15


def test_unusable_workdirs_are_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"--workdir=.*file/run cannot be written"),
        workdir_lib.locked(tmp_path / "file" / "run"),
    ):
        raise AssertionError("locked")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match=r"has checkpoints but no config\.json"):
        workdir_lib.claim(tiny, tmp_path / "run")


def test_saved_config_survives_a_launch(tiny, tmp_path):
    workdir_lib.claim(tiny, tmp_path)
    assert (tmp_path / "config.json").read_text() == to_json(tiny)


HOLD = """
import sys
from pathlib import Path
from cyclegan_jax.system.workdir import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_trains_in_a_workdir(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        with (
            pytest.raises(InputError, match=f"another process trains in {tmp_path}"),
            workdir_lib.locked(tmp_path),
        ):
            pass
        other.kill()  # which gives nobody time to tidy up
    with workdir_lib.locked(tmp_path):
        pass


@pytest.mark.parametrize(("answers", "word"), [([False], "configs"), ([True, False], "data")])
def test_processes_that_were_given_different_things_are_refused(
    tiny, tmp_path, monkeypatch, answers, word
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = iter(answers)
    monkeypatch.setattr(multihost, "same", lambda value: next(given))
    with pytest.raises(InputError, match=f"the processes were given different {word}"):
        workdir_lib.open_same_data(tiny)
