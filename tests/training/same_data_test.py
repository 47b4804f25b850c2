"""Processes that are given different configs or data are refused."""

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.parallel import multihost
from cyclegan_jax.training.same_data import open_same_data


@pytest.mark.parametrize(("answers", "word"), [([False], "configs"), ([True, False], "data")])
def test_processes_that_were_given_different_things_are_refused(
    tiny, tmp_path, monkeypatch, answers, word
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = iter(answers)
    monkeypatch.setattr(multihost, "same", lambda value: next(given))
    with pytest.raises(InputError, match=f"the processes were given different {word}"):
        open_same_data(tiny)
