"""What --config may name: a shipped recipe, a file, the config of a run."""

import re
from pathlib import Path

import pytest

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.system import config_flag, shipped

CONFIGS = Path(__file__).parents[2] / "configs"


def resolved(value: str) -> str:
    """Returns what `config_flags` is given for a value, the same in both ways to write it."""
    (joined,) = config_flag.resolve([f"--config={value}"])
    assert config_flag.resolve(["--config", value]) == ["--config", joined[len("--config=") :]]
    return joined[len("--config=") :]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_shipped_files_are_those_of_the_clone():
    assert shipped.folder() == CONFIGS
    assert shipped.names(".py") == sorted(path.stem for path in CONFIGS.glob("*.py"))
    assert shipped.names(".tsv") == ["dlmuse", "freesurfer"]


@pytest.mark.parametrize("name", ["ixi_small", "ixi_small.py"])
def test_a_shipped_recipe_is_found_by_its_name(name, tmp_path):
    (tmp_path / "ixi_small").mkdir()
    assert resolved(name) == str(CONFIGS / "ixi_small.py")
    assert resolved(f"{name}:argument") == str(CONFIGS / "ixi_small.py") + ":argument"
    assert config_flag.named(resolved(name)) == "ixi_small"


def test_a_path_is_a_path(tmp_path, capsys):
    mine = tmp_path / "ixi_small.py"
    mine.write_text("")
    for path in ("ixi_small.py", "./ixi_small.py", str(mine), str(CONFIGS / "ixi.py")):
        assert resolved(path) == path
    assert config_flag.named("ixi_small.py") == "ixi_small.py"
    assert capsys.readouterr().out == ""


def test_a_name_that_is_a_file_without_its_suffix_is_noted(tmp_path, monkeypatch, capsys):
    (tmp_path / "ixi_small.py").write_text("")
    assert resolved("ixi_small") == str(CONFIGS / "ixi_small.py")
    assert "note: --config=ixi_small is the shipped recipe, not the file ixi_small.py" in (
        capsys.readouterr().out
    )
    monkeypatch.chdir(CONFIGS)
    assert resolved("ixi_small") == str(CONFIGS / "ixi_small.py")
    assert capsys.readouterr().out == ""


def test_the_config_of_a_run_is_named_as_it_was_given(tmp_path):
    (tmp_path / "config.json").write_text(config_lib.to_json(config_lib.base_config()))
    assert resolved("config.json").endswith(":config.json")
    assert config_flag.named(resolved("config.json")) == "config.json"


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("nothing", "give a file, or one of the shipped recipes brainweb43, .*, quickstart, "),
        ("", "give a file, or one of the shipped recipes"),
        ("dlmuse", "give a file, or one of the shipped recipes"),
        ("../configs/nothing.py", "give a file, or one of the shipped recipes"),
        ("configs/ixi_small.py", r"did you mean --config=ixi_small\?"),
        ("configs/ixi_small", r"did you mean --config=ixi_small\?"),
    ],
)
def test_what_is_neither_is_one_line(value, advice):
    with pytest.raises(InputError, match=f"--config={re.escape(value)}: .*; {advice}") as error:
        resolved(value)
    assert "\n" not in str(error.value)
