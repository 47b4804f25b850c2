"""Traces of chosen steps."""

import gzip
import json

import pytest

from cyclegan_jax import InputError
from cyclegan_jax.training import train
from cyclegan_jax.training.profiling import Profile


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "must be STEP:COUNT"),
        ("0:1", "both from 1"),
        ("3:0", "both from 1"),
        ("a:2", "must be STEP:COUNT"),
        ("-1:2", "must be STEP:COUNT"),
        ("9:3", r"has 10 steps \(config.steps\), so STEP \+ COUNT can be 11 at most"),
        ("11:1", "can be 11 at most"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(tmp_path, tiny, text, words):
    tiny.steps = 10
    with pytest.raises(InputError, match=f"--profile={text}: .*{words}"):
        train.train(tiny, tmp_path / "run", profile=text)
    assert not (tmp_path / "run").exists()


def test_the_last_step_can_be_traced(tmp_path):
    Profile("10:1", 10, tmp_path).check_start(9)
    Profile("", 10, tmp_path).check_start(10)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_the_chosen_steps_are_traced(tiny, tmp_path, capsys, steps_per_call):
    tiny.generator.features = tiny.discriminator.features = (4,)
    tiny.discriminator.strides = (2,)
    tiny.steps_per_call = steps_per_call
    run = tmp_path / "run"
    assert train.train(tiny, run, profile="2:2")
    assert f"the trace of the steps 2:2 is in {run / 'profile'}" in capsys.readouterr().out
    assert list(run.glob("profile/plugins/profile/*/*.xplane.pb"))  # of TensorBoard
    (trace,) = run.glob("profile/plugins/profile/*/perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    steps = {int(e["args"]["step_num"]) for e in events if e.get("name") == "train"}
    assert steps == ({2, 3} if steps_per_call == 1 else {2, 4})
    with pytest.raises(InputError, match=r"--profile=4:1: 4 steps are done; name a step from 5 on"):
        train.train(tiny, run, profile="4:1")


def test_a_trace_ends_with_the_run(tmp_path):
    with Profile("1:5", 10, tmp_path / "profile") as profile:
        profile.before(1)
    assert list(tmp_path.glob("profile/plugins/profile/*/*.xplane.pb"))
