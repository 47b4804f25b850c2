"""A checkpoint with a file that is cut, lost or altered is never restored as if it were intact."""

import shutil

import jax
import numpy as np
import pytest

from cyclegan_jax.checkpoints.manager import Checkpoints, DamagedError
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe

NEWEST = 2
META = {"config": {"ema_decay": 0.9}}


@pytest.fixture
def saved(tiny, tmp_path):
    """A workdir with checkpoints of steps 1 and 2, and the states by step."""
    tiny.ema_decay, tiny.history_size = 0.9, 3
    one = Parallel("jit", jax.devices()[:1])
    fresh = one.compile_create_state(tiny, build_recipe(tiny))(tiny.seed)
    states = {}
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, NEWEST):
            moved = jax.tree.map(lambda a, n=step: a + np.asarray(n, a.dtype), fresh)
            states[step] = moved.replace(step=np.int32(step))
            checkpoints.save(states[step], META, 0.5 / step)
        checkpoints.wait()
    return tmp_path, states


def files(workdir):
    folder = workdir / "checkpoints" / str(NEWEST)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def restored(workdir, states):
    """Reads the newest checkpoint; whether it was found damaged. If not it must be intact."""
    try:
        with Checkpoints(workdir) as checkpoints:
            found = checkpoints.read(NEWEST)
    except DamagedError:
        return False
    assert found.step == NEWEST
    assert found.meta["score"] == 0.5 / NEWEST
    same = jax.tree.map(lambda a, b: bool((a == b).all()), found.state(states[1]), states[NEWEST])
    assert all(jax.tree.leaves(same))
    return True


def test_every_altered_byte_is_detected_or_harmless(saved, full):
    workdir, states = saved
    rng = np.random.default_rng(0)
    outcomes = []
    for path in files(workdir):
        intact = path.read_bytes()
        # every file is hit, larger ones more often
        hits = 5 * (2 + len(intact) // 999) if full else 1
        for position in rng.integers(len(intact), size=hits):
            altered = bytearray(intact)
            altered[position] ^= int(rng.integers(1, 256))
            path.write_bytes(altered)
            outcomes.append(restored(workdir, states))
        path.write_bytes(intact)
    assert len(outcomes) >= (200 if full else 40)  # orbax does not always write as many files
    assert 0 < sum(outcomes) < len(outcomes)
    assert restored(workdir, states)


@pytest.mark.parametrize("left", ["half", "nothing", "no file"])
def test_every_cut_or_lost_file_is_detected_or_harmless(saved, left):
    workdir, states = saved
    outcomes = {}
    for path in files(workdir):
        intact = path.read_bytes()
        if left == "no file":
            path.unlink()
        else:
            path.write_bytes(intact[: len(intact) // 2 if left == "half" else 0])
        outcomes[path.relative_to(workdir)] = restored(workdir, states)
        path.write_bytes(intact)
    assert not all(outcomes.values())
    assert restored(workdir, states)


@pytest.mark.parametrize("item", ["meta", "generators", "discriminators", "ema", "train"])
def test_a_lost_item_is_detected(saved, item):
    workdir, states = saved
    shutil.rmtree(workdir / "checkpoints" / str(NEWEST) / item)
    assert not restored(workdir, states)
