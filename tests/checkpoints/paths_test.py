"""Workdirs that orbax would misread are refused, and no others."""

import os

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.checkpoints.paths import check_path
from cyclegan_jax.training import train


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run[1]", r"run\[1\] has '\[' and '\]' in its name"),
        ("[lab]/run", r"\[lab\]/run has "),
        ("a*", r"a\* has '\*'"),
        ("a?", r"a\? has '\?'"),
        ("a\\b", r"a\\b has '\\' in"),
        ("gs:/run", r"gs:/run has 'gs:/'"),
        ("a\udcff", r"a\\udcff' has bytes that are not UTF-8"),
    ],
)
def test_a_path_that_loses_checkpoints_is_refused_before_anything_is_written(
    tmp_path, tiny, name, words
):
    with pytest.raises(InputError, match=f"{words}.*saved to; rename .*--workdir"):
        train.train(tiny, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_relative_workdir_counts_with_the_folder_it_is_in(tmp_path, monkeypatch):
    (tmp_path / "[lab]").mkdir()
    monkeypatch.chdir(tmp_path / "[lab]")
    with pytest.raises(InputError, match=r"\[lab\]/run has"):
        check_path(tmp_path.__class__("run"), saves=True)


def test_a_run_that_was_moved_to_such_a_path_is_read(tiny_run, tmp_path):
    (tmp_path / "run[1]").symlink_to(tiny_run)
    with Checkpoints(tmp_path / "run[1]") as checkpoints:
        assert checkpoints.choose("latest", "all").step == 4
    (tmp_path / "a\\b").symlink_to(tiny_run)
    with pytest.raises(InputError, match="cannot be read from; rename"):
        Checkpoints(tmp_path / "a\\b")


@pytest.mark.parametrize("name", ["a b", "é", "日本", "#1", "a{b}", "50%", "a:b", "$HOME", "~x"])
def test_other_names_serve(tmp_path, name):
    check_path(tmp_path / name, saves=True)
    os.makedirs(tmp_path / name / "checkpoints")
    Checkpoints(tmp_path / name)
