"""The program `cyclegan-jax` and the scripts: names, help, mistakes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cyclegan_jax import __version__, commands

ROOT = Path(__file__).parents[2]
SCRIPTS = {name: name for name in commands.COMMANDS} | {"prepare": "prepare_data"}
# what makes --help slow; the time itself is not asserted on a shared machine
CODE = """
import sys
sys.argv = ["/opt/bin/cyclegan-jax", *sys.argv[1:]]
from cyclegan_jax.commands import main
try:
    main()
finally:
    print("LOADED", sorted({"jax", "tensorflow", "torch", "matplotlib", "scipy"} & {*sys.modules}))
"""


@pytest.fixture
def program(tmp_path, environment):
    """Runs `cyclegan-jax` with arguments, and returns the ended process."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_each_command_is_a_module_and_a_script():
    modules = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == commands.COMMANDS.keys()
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == {*SCRIPTS.values()}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], []])
def test_the_overview_has_a_line_for_each_command(program, arguments):
    done = program(*arguments)
    assert done.returncode == (0 if arguments else 1)
    for name, what in commands.COMMANDS.items():
        assert re.search(rf"^  {name} +{what}$", done.stdout, re.MULTILINE)
    assert "LOADED []" in done.stdout


def test_the_version_is_said(program):
    done = program("--version")
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, f"cyclegan_jax {__version__}")


@pytest.mark.parametrize("argument", ["trian", "prepare_data", "__init__", "--workdir=w"])
def test_a_wrong_command_is_one_line_that_names_those_that_exist(program, argument):
    done = program(argument, "--help")
    assert done.returncode == 1
    names = ", ".join(commands.COMMANDS)
    assert done.stderr == f"error: there is no command '{argument}'; choose one of {names}\n"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_help_of_a_command_shows_its_use_and_its_flags(program, name, place_free_script):
    done = program(name, "--help")
    assert done.returncode == 0
    text, flags = done.stdout.split("\nflags:\n")
    assert f"    cyclegan-jax {name} " in text
    assert "LOADED []" in flags
    shown = {re.sub(r"^\[no\]", "", word) for word in re.findall(r"^  --(\S+):", flags, re.M)}
    used = {word for word in re.findall(r"--(\w+)", text) if word != "config"}
    assert used <= shown | {"help"}
    assert {"help", "verbosity"}.isdisjoint(shown)
    script = place_free_script(SCRIPTS[name], "--help")
    assert script.returncode == 0
    assert script.stdout.split("\nflags:\n")[1] == flags.split("LOADED")[0]
    assert f"    python {ROOT}/scripts/{SCRIPTS[name]}.py " in script.stdout


@pytest.fixture
def place_free_script(tmp_path, script):
    """Runs a script in an empty folder."""
    return lambda *arguments: script(tmp_path, *arguments)


@pytest.mark.parametrize("name", ["train", "prepare", "report"])
def test_arguments_that_a_command_does_not_take_are_one_line(program, name):
    needed = {"train": ["--config=quickstart", "--workdir=w"], "prepare": ["--out=w"]}
    done = program(name, *needed.get(name, ["--workdir=w"]), "a", "b")
    assert done.returncode == 1
    assert done.stderr == "error: unexpected arguments: a b; write --flag=value, and see --help\n"
