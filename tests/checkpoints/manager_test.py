"""Saving, choosing and restoring checkpoints, and what happens to damaged ones."""

import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints, DamagedError, saved_steps
from cyclegan_jax.parallel.data_parallel import Parallel
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
        saved = checkpoints.read(3)
    assert (saved.step, saved.meta["data"]) == (3, {"axis": "axial"})
    restored = saved.state(jax.eval_shape(lambda: state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert equal(restored, at_step(state, 3))
    assert not equal(restored.params, state.params)


def test_generators_come_back_alone_and_averaged(tmp_path, state):
    save(tmp_path, state, {3: 0.5})
    # only the generators' files are needed
    for item in ("train", "generators", "discriminators"):
        (tmp_path / "checkpoints" / "3" / item).rename(tmp_path / item)
    with Checkpoints(tmp_path) as checkpoints:
        generators = checkpoints.choose("3").generators(state.params)
    assert generators.discriminator_x is None
    assert equal(generators.generator_g, at_step(state, 3).ema.generator_g)


@pytest.mark.parametrize(("saved", "restored"), [(1, 8), (8, 1)])
def test_device_counts_interchange(tmp_path, state, saved, restored):
    few, many = (Parallel("pmap", jax.devices()[:n]) for n in (saved, restored))
    save(tmp_path, few.place_state(state), {3: None})
    with Checkpoints(tmp_path) as checkpoints:
        back = many.place_state(checkpoints.read(3).state(state))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(back)} == {restored}
    assert equal(jax.device_get(back), jax.device_get(at_step(state, 3)))


def test_latest_and_best_are_kept_and_found(tmp_path, state):
    save(tmp_path, state, {1: 0.2, 2: 0.9, 3: 0.5, 4: None, 5: 0.1})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [2, 5]
        assert checkpoints.best() == checkpoints.choose("best").step == 2
        assert checkpoints.choose("latest").step == checkpoints.choose("5").step == 5


def test_without_a_score_the_newest_is_best(tmp_path, state):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        assert checkpoints.best() is None
        assert checkpoints.choose("best").step == 2


def test_of_equal_scores_the_same_checkpoint_is_kept_listed_and_chosen(tmp_path, state):
    save(tmp_path, state, {1: 0.5, 2: 0.5, 3: None})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1, 3]
        assert checkpoints.best() == checkpoints.choose("best").step == 1


@pytest.mark.parametrize("choice", ["4", "newest", "-1"])
def test_missing_checkpoint_lists_those_there_are(tmp_path, state, choice):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(InputError, match=rf"no checkpoint '{choice}'.*best, latest, 1, 2"),
    ):
        checkpoints.choose(choice)


def test_workdir_without_checkpoints_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} has no checkpoints/; train first"):
        Checkpoints(tmp_path)


def test_empty_checkpoint_folder_is_named(tmp_path, state):
    (tmp_path / "checkpoints").mkdir()
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(InputError, match="no complete checkpoint"),
    ):
        checkpoints.choose("best")


def damage(workdir, step, item="train"):
    """Cuts the files of one item in half."""
    for path in (workdir / "checkpoints" / str(step) / item).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damage_is_named(tmp_path, state, fails):
    save(tmp_path, state, {1: None})
    damage(tmp_path, 1)
    with Checkpoints(tmp_path) as checkpoints, fails(tmp_path, "1 is damaged (train: "):
        checkpoints.read(1)


def test_training_resumes_from_the_newest_intact_checkpoint(tmp_path, state, capsys):
    save(tmp_path, state, {1: 0.5, 2: None, 3: 0.9}, keep=3)
    damage(tmp_path, 2)
    damage(tmp_path, 3, "meta")
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        saved = checkpoints.newest()
        assert saved.step == 1
        assert checkpoints.steps() == [1]
        assert checkpoints.best() == 1
        assert equal(saved.state(state), at_step(state, 1))
        # the damaged steps are saved again
        checkpoints.save(at_step(state, 3), META, 0.1)
        checkpoints.wait()
        assert equal(checkpoints.read(3).state(state), at_step(state, 3))
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    for step, line in zip((3, 2), warnings, strict=True):
        assert f"checkpoints/{step} is damaged" in line
        assert line.endswith(f"moved to {tmp_path / 'damaged_checkpoints' / str(step)}")
        assert (tmp_path / "damaged_checkpoints" / str(step)).is_dir()


def test_a_second_damaged_checkpoint_of_a_step_replaces_none(tmp_path, state):
    for _ in range(2):
        save(tmp_path, state, {1: None, 2: None}, keep=2)
        damage(tmp_path, 2)
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            assert checkpoints.newest().step == 1
    aside = tmp_path / "damaged_checkpoints"
    assert sorted(p.name for p in aside.iterdir()) == ["2", "2_2"]


def test_training_does_not_start_anew_where_all_are_damaged(tmp_path, state, fails):
    save(tmp_path, state, {1: None, 2: None}, keep=2)
    damage(tmp_path, 1)
    damage(tmp_path, 2)
    with (
        Checkpoints(tmp_path, keep=2) as checkpoints,
        fails(tmp_path, "2 is damaged", "1 is damaged", "move", "away to train from the start"),
    ):
        checkpoints.newest()
    assert (tmp_path / "checkpoints" / "1").exists()


def test_a_damaged_choice_gives_way_to_the_next_best(tmp_path, state, capsys, fails):
    save(tmp_path, state, {1: 0.5, 2: 0.9, 3: 0.1, 4: None}, keep=4)
    damage(tmp_path, 2, "ema")
    damage(tmp_path, 4, "ema")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.choose("best").step == 1
        assert "checkpoints/2 is damaged" in capsys.readouterr().err
        assert checkpoints.choose("latest").step == 3
        assert "checkpoints/4 is damaged" in capsys.readouterr().err
        with fails(tmp_path, "4 is damaged"):
            checkpoints.choose("4")
        assert checkpoints.choose("4", "meta").step == 4
        assert checkpoints.steps() == [1, 2, 3, 4]


def test_a_model_of_another_size_does_not_fit(tmp_path, state, tiny):
    save(tmp_path, state, {1: None})
    tiny.generator.features = (4, 16)
    other = created(tiny)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match="of another model"):
        checkpoints.read(1).state(other)
    tiny.generator.features, tiny.history_size = (4, 8), 0
    without_history = created(tiny)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(InputError, match="it also has train/history"),
    ):
        checkpoints.read(1).state(without_history)


FULL_DISK = """
import resource, sys
from pathlib import Path
import subprocess
import sys

import jax
from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.config import base_config
from cyclegan_jax.parallel.data_parallel import Parallel
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
        assert equal(checkpoints.read(0).state(like), like)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(24, "Too many open files"),
        ValueError("x: Stale file handle"),
        ValueError(f"reading {'a/long/path' * 40}: Permission denied"),  # as tensorstore says it
    ],
)
def test_what_is_not_the_files_fault_does_not_set_it_aside(tmp_path, state, monkeypatch, error):
    save(tmp_path, state, {1: 0.2, 2: 0.9})

    def restore(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ocp.PyTreeCheckpointHandler, "restore", restore)
        with (
            Checkpoints(tmp_path, 1) as checkpoints,
            pytest.raises(InputError, match="cannot be read") as raised,
        ):
            checkpoints.newest()
    assert not isinstance(raised.value, DamagedError)
    with Checkpoints(tmp_path, 1) as checkpoints:
        assert checkpoints.newest().step == 2


def test_the_primary_alone_sets_damaged_ones_aside(tmp_path, state, monkeypatch):
    save(tmp_path, state, {1: 0.2, 2: 0.9}, keep=2)
    damage(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "process_index", lambda: 1)
        with (
            Checkpoints(tmp_path, 1) as checkpoints,
            pytest.raises(DamagedError, match="process 0 could read it"),
        ):
            checkpoints.newest()
    assert saved_steps(tmp_path) == [1, 2]


def test_a_score_that_comes_later_counts(tmp_path, state):
    save(tmp_path, state, {1: 0.2, 2: None, 3: None}, keep=3)
    with Checkpoints(tmp_path, 1) as checkpoints:
        checkpoints.rate(2, 0.5)
        assert checkpoints.best() == 2
    with Checkpoints(tmp_path, 1) as checkpoints:
        saved = checkpoints.choose("best", "all")
        assert (saved.step, saved.meta["score"], saved.meta["data"]) == (2, 0.5, META["data"])
        checkpoints.save(at_step(state, 4), META, None)
    assert saved_steps(tmp_path) == [2, 4]


def test_scores_of_two_protocols_are_not_compared(tmp_path, state):
    save(tmp_path, state, {1: 0.9, 2: 0.8}, keep=9)  # of an earlier version
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        assert (checkpoints.protocol, checkpoints.best()) == ("fixed", 1)
        checkpoints.save(at_step(state, 3), META, 0.3, "brain")
        checkpoints.save(at_step(state, 4), META, 0.2, "brain")
        checkpoints.save(at_step(state, 5), META, None)
        checkpoints.wait()
        assert (checkpoints.protocol, checkpoints.best()) == ("brain", 3)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.protocol, checkpoints.best()) == ("brain", 3)
        assert checkpoints.choose("best").step == 3
        checkpoints.rate(5, 0.4, "brain")  # it was saved without a score
        assert (checkpoints.protocol, checkpoints.best()) == ("brain", 5)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.protocol, checkpoints.best()) == ("brain", 5)


def test_saves_that_a_kill_has_cut_short_are_cleared_away(tmp_path, state):
    save(tmp_path, state, {1: 0.2})
    (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp" / "meta").mkdir(parents=True)
    save(tmp_path, state, {3: 0.2})
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "3"]


def test_a_first_save_that_cannot_be_read_back_stops_the_run(tmp_path, state, monkeypatch):
    original = Checkpoints.wait

    def wait_and_lose(self):
        original(self)
        damage(tmp_path, 1)

    monkeypatch.setattr(Checkpoints, "wait", wait_and_lose)
    with (
        Checkpoints(tmp_path, 1) as checkpoints,
        pytest.raises(InputError, match=r"cannot be read back .*/1 is damaged \(train: .*launch"),
    ):
        checkpoints.save(at_step(state, 1), META, None)


def test_only_the_first_save_of_a_launch_is_read_back(tmp_path, state, monkeypatch):
    read = []
    original = Checkpoints.read
    monkeypatch.setattr(
        Checkpoints, "read", lambda self, step: read.append(step) or original(self, step)
    )
    for steps in ((1, 2, 3), (4, 5)):
        save(tmp_path, state, dict.fromkeys(steps))
    assert read == [1, 4]


def test_all_processes_stop_where_one_cannot_read_the_first_save(tmp_path, state, monkeypatch):
    monkeypatch.setattr("cyclegan_jax.parallel.multihost.all_true", lambda flag: False)
    with (
        Checkpoints(tmp_path, 1) as checkpoints,
        pytest.raises(InputError, match=r"cannot be read back \(by another process\)"),
    ):
        checkpoints.save(at_step(state, 1), META, None)
