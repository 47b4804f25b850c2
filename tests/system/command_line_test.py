"""Command lines are named as the user types them."""

import sys
from pathlib import Path

import pytest

from cyclegan_jax.system import command_line

ROOT = Path(__file__).parents[2]
PROGRAM = "/opt/venv/bin/cyclegan-jax"


@pytest.fixture
def started(monkeypatch):
    """Pretends that this process was started by a command line; its program is at `program`."""

    def start(*words: str, program: int = 1) -> None:
        monkeypatch.setattr(sys, "orig_argv", [*words])
        monkeypatch.setattr(sys, "argv", [words[program]])

    return start


def test_a_clone_names_its_scripts(started, monkeypatch):
    monkeypatch.chdir(ROOT)
    started("python", "scripts/prepare_data.py")
    assert command_line.start_of("train") == ["python", "scripts/train.py"]
    started("python", str(ROOT / "scripts" / "train.py"))
    assert command_line.start_of("prepare") == ["python", str(ROOT / "scripts" / "prepare_data.py")]


@pytest.mark.parametrize("program", [PROGRAM, "scripts/mine.py", "pytest", "-c", ""])
def test_everything_else_names_the_installed_program(started, tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    started("python", program)
    assert command_line.start_of("prepare") == ["cyclegan-jax", "prepare"]


def test_what_was_typed_has_no_interpreter_that_was_not_typed(started, monkeypatch):
    monkeypatch.setattr("shutil.which", {"cyclegan-jax": PROGRAM}.get)
    started("/opt/venv/bin/python", PROGRAM, "train", "--workdir=a b")
    assert command_line.typed() == ["cyclegan-jax", "train", "--workdir=a b"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert command_line.typed() == [PROGRAM, "train", "--workdir=a b"]
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/cyclegan-jax")  # another one
    assert command_line.typed() == [PROGRAM, "train", "--workdir=a b"]
    started("python", "-u", "scripts/train.py", "--workdir=w", program=2)
    assert command_line.typed() == ["python", "-u", "scripts/train.py", "--workdir=w"]
