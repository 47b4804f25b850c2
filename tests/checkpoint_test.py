"""Saving, choosing and restoring checkpoints, and what happens to damaged ones."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.state import build_recipe

META = {"config": {"ema_decay": 0.9}, "data": {"axis": "axial"}}


def created(config):
    one_device = Parallel("jit", jax.devices()[:1])
    return one_device.compile_create_state(config, build_recipe(config))(config.seed)


@pytest.fixture
def state(tiny):
    tiny.ema_decay, tiny.history_size = 0.9, 3
    return created(tiny)


def at_step(state, step):
    """A state whose every array differs from those of other steps."""
    moved = jax.tree.map(lambda a: a + np.asarray(step, a.dtype), state)
    return moved.replace(step=np.asarray(step, np.int32) + state.step)


def save(workdir, state, scores, keep=1):
    with Checkpoints(workdir, keep) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(at_step(state, step), META, score)
        checkpoints.wait()


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def test_state_comes_back_bit_for_bit(tmp_path, state):
    save(tmp_path, state, {3: 0.5})
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(3, state)
        assert checkpoints.meta(3)["data"] == {"axis": "axial"}
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert equal(restored, at_step(state, 3))
    assert not equal(restored.params, state.params)


def test_generators_come_back_alone_and_averaged(tmp_path, state):
    save(tmp_path, state, {3: 0.5})
    # only the generators' files are needed
    for item in ("train", "params"):
        (tmp_path / "checkpoints" / "3" / item).rename(tmp_path / item)
    with Checkpoints(tmp_path) as checkpoints:
        generators = checkpoints.restore_generators(3, state.params)
    assert generators.discriminator_x is None
    assert equal(generators.generator_g, at_step(state, 3).ema.generator_g)


@pytest.mark.parametrize(("saved", "restored"), [(1, 8), (8, 1)])
def test_device_counts_interchange(tmp_path, state, saved, restored):
    few, many = (Parallel("pmap", jax.devices()[:n]) for n in (saved, restored))
    save(tmp_path, few.place_state(state), {3: None})
    with Checkpoints(tmp_path) as checkpoints:
        back = checkpoints.restore(3, many.place_state(state))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(back)} == {restored}
    assert equal(jax.device_get(back), jax.device_get(at_step(state, 3)))


def test_latest_and_best_are_kept_and_found(tmp_path, state):
    save(tmp_path, state, {1: 0.2, 2: 0.9, 3: 0.5, 4: None, 5: 0.1})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [2, 5]
        assert checkpoints.resolve("best") == 2
        assert checkpoints.resolve("latest") == 5
        assert checkpoints.resolve("5") == 5


def test_without_a_score_the_newest_is_best(tmp_path, state):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        assert checkpoints.resolve("best") == 2


@pytest.mark.parametrize("choice", ["4", "newest", "-1"])
def test_missing_checkpoint_lists_those_there_are(tmp_path, state, choice):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(InputError, match=rf"no checkpoint '{choice}'.*best, latest, 1, 2"),
    ):
        checkpoints.resolve(choice)


def test_workdir_without_checkpoints_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} has no checkpoints/; train first"):
        Checkpoints(tmp_path)


def test_empty_checkpoint_folder_is_named(tmp_path, state):
    (tmp_path / "checkpoints").mkdir()
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(InputError, match="no complete checkpoint"),
    ):
        checkpoints.resolve("best")


def test_damaged_checkpoint_is_named_and_others_offered(tmp_path, state):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    for path in (tmp_path / "checkpoints" / "2" / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(InputError, match=r"checkpoints/2 cannot be restored .* of 1, 2"):
            checkpoints.restore(2, state)
        assert equal(checkpoints.restore(1, state), at_step(state, 1))


def test_a_model_of_another_size_does_not_fit(tmp_path, state, tiny):
    save(tmp_path, state, {1: None})
    tiny.generator.features = (4, 16)
    other = created(tiny)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match="cannot be rest"):
        checkpoints.restore(1, other)


FULL_DISK = """
import resource, sys
from pathlib import Path
import subprocess
import sys

import jax
from cyclegan_jax import InputError
from cyclegan_jax.checkpoint import Checkpoints
from cyclegan_jax.config import base_config
from cyclegan_jax.parallel import Parallel
from cyclegan_jax.state import build_recipe

config = base_config()
config.image_size, config.batch_size = 16, 8
config.generator.features = config.discriminator.features = (32, 64)
config.discriminator.strides = (2, 2)
create = Parallel("jit").compile_create_state(config, build_recipe(config))
state = create(config.seed)
checkpoints = Checkpoints(Path(sys.argv[1]), keep=2)
checkpoints.save(state, {"config": {"ema_decay": 0}}, None)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    checkpoints.save(state.replace(step=state.step + 1), {}, None)
    checkpoints.wait()
    print("SAVED")
except InputError as error:
    print("REFUSED", error)
"""


def test_a_full_disk_during_a_save_leaves_the_previous_checkpoint(tmp_path, tiny):
    # no file may grow beyond 4 KiB: to the writer that is a disk with no room left
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "REFUSED a checkpoint could not be written" in result.stdout, result.stderr[-500:]
    assert "make room" in result.stdout
    tiny.generator.features = tiny.discriminator.features = (32, 64)
    like = created(tiny)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [0]
        assert equal(checkpoints.restore(0, like), like)
