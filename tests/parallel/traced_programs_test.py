"""A later start finds the traced programs of an earlier one, and only those that are its own."""

import hashlib
import os
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cyclegan_jax.config import base_config
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel import traced_programs
from cyclegan_jax.training.compiled import Programs

CPUS = "processor: 0\nflags\t\t: fpu sse4_2 ibpb avx avx2 fma\n"
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

START = """
from cyclegan_jax.system import runtime
runtime.tune_process()
import hashlib, sys
import jax
import numpy as np
from cyclegan_jax import config
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel import data_parallel
from cyclegan_jax.training.compiled import Programs

traces = []

def counted(function):
    def traced(*arguments, **options):
        traces.append(function.__name__)
        return function(*arguments, **options)
    return traced

data_parallel.train_steps = counted(data_parallel.train_steps)
data_parallel.create_state = counted(data_parallel.create_state)
c = config.base_config()
c.image_size, c.batch_size = 16, 2
c.generator.features = c.discriminator.features = (4,)
c.discriminator.strides = (2,)
programs = Programs(c)
place = programs.parallel.place_state
state, hyper = place(programs.create_state(c.seed)), place(Hyperparameters.of(c))
images = np.random.default_rng(0).uniform(-1, 1, (2, 2, 16, 16, 1)).astype(np.float32)
for _ in range(3):
    batch = programs.parallel.place_batch(dict(zip("xy", images)))
    state, metrics = programs.train_step(state, batch, hyper)
leaves = jax.tree.leaves((state, metrics))
digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
print(*traces, digest)
"""


def test_a_second_start_traces_nothing_and_has_the_same_bits(tmp_path, environment):
    def start():
        line = [sys.executable, "-c", START]
        run = subprocess.run(
            line, env=environment(tmp_path) | QUICK, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        *traces, digest = run.stdout.split()
        return traces, digest

    traces, digest = start()
    assert traces == ["create_state", "train_steps"]
    assert start() == ([], digest)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Makes this process a command whose cache is an empty folder; returns that of the programs."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    monkeypatch.setattr(traced_programs.runtime, "_started", [time.time()])
    monkeypatch.setattr(traced_programs, "_source_digest", lambda: "source")
    yield tmp_path / traced_programs.SUBFOLDER
    jax.config.update("jax_compilation_cache_dir", before)


class Counted:
    """Doubles numbers and counts how often that is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, a):
        self.traces += 1
        return 2 * a


def start(key="key", length=2, devices=1):
    """Returns how often the function is traced in what is a start of its own."""
    function = Counted()
    numbers = np.arange(length, dtype=np.float32)
    kept = traced_programs.kept("twice", key, jax.jit, function, [numbers], jax.devices()[:devices])
    np.testing.assert_array_equal(kept(numbers), 2 * numbers)
    return function.traces


@pytest.mark.parametrize("changed", [{"key": "other"}, {"length": 3}, {"devices": 2}], ids=str)
def test_another_program_is_traced_anew(cache, changed):
    assert [start(), start(**changed), start(), start(**changed)] == [1, 1, 0, 0]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", lambda library: "9"), ("_source_digest", lambda: "edited")],
)
def test_other_software_traces_anew(cache, monkeypatch, name, value):
    assert start() == 1
    monkeypatch.setattr(traced_programs, name, value)
    assert [start(), start()] == [1, 0]


@pytest.mark.usefixtures("cache")
def test_another_setting_of_jax_traces_anew():
    assert start() == 1
    with jax.default_matmul_precision("highest"):
        jax.config.update("jax_default_matmul_precision", "high")
    try:
        assert [start(), start()] == [1, 0]
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert start() == 0


def garbage():
    return hashlib.sha256(b"no program").digest() + b"no program"


@pytest.mark.parametrize(
    "damage",
    [lambda c: b"", lambda c: c[:-9], lambda c: c[:-9] + bytes(9), lambda c: garbage()],
    ids=["empty", "cut off", "changed", "of another version"],
)
def test_a_damaged_file_is_made_anew(cache, damage, capsys):
    assert start() == 1
    (path,) = cache.iterdir()
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    assert [start(), start()] == [1, 0]
    assert [p.name for p in cache.iterdir()] == [path.name]
    assert not capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_no_error(cache):
    cache.write_text("a file, where the folder would be")
    assert [start(), start()] == [1, 1]


def refused(cache):
    numbers = np.zeros(2, np.float32)
    kept = traced_programs.kept("twice", "key", jax.jit, Counted(), [numbers], jax.devices()[:1])
    return kept is None and not cache.exists()


def test_nothing_is_kept_where_jax_keeps_nothing(cache):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert refused(cache)
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", None)
    assert refused(cache)


def test_what_cannot_be_exported_is_not_kept(cache, monkeypatch):
    def refuse(function):
        raise NotImplementedError

    monkeypatch.setattr(jax.export, "export", refuse)
    assert refused(cache)


def test_the_oldest_files_make_room(cache, monkeypatch):
    monkeypatch.setattr(traced_programs, "MOST_FILES", 2)
    for age, key in ((30, "a"), (20, "b")):
        start(key)
        newest = max(cache.iterdir(), key=lambda p: p.stat().st_mtime)
        os.utime(newest, (time.time() - age,) * 2)
    assert start("a") == 0  # is read, and so the youngest
    assert start("c") == 1
    assert [start("a"), start("b")] == [0, 1]
    assert len(list(cache.iterdir())) == 2


def test_another_kind_of_cpu_is_named_once(cache, monkeypatch, capsys):
    monkeypatch.setattr(traced_programs, "_kind_of_cpu", lambda devices: "one")
    traced_programs._note_other_cpu.cache_clear()
    assert start() == 1
    assert not capsys.readouterr().out
    monkeypatch.setattr(traced_programs, "_kind_of_cpu", lambda devices: "two")
    assert [start(), start()] == [1, 0]
    said = capsys.readouterr().out
    assert said.startswith(f"note: the programs in {cache.parent} were compiled for another kind")
    assert said.count("\n") == 1


def test_vector_instructions_alone_make_a_kind_of_cpu(monkeypatch):
    def kind(text):
        monkeypatch.setattr(traced_programs.Path, "read_text", lambda path: text)
        return traced_programs._kind_of_cpu(jax.devices())

    assert kind(CPUS) == kind(CPUS.replace("ibpb ", "")) == kind(CPUS + CPUS)
    assert kind(CPUS) != kind(CPUS.replace("fma", "fma avx512f"))


def test_the_source_is_that_which_was_read(tmp_path, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text("a = 1")
    monkeypatch.setattr(traced_programs.cyclegan_jax, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(traced_programs.runtime, "_started", [])
    assert traced_programs._source_digest() is None  # none of the commands
    traced_programs.runtime._started.append(time.time() + 5)
    before = traced_programs._source_digest()
    module.write_text("a = 2")
    assert traced_programs._source_digest() not in (None, before)
    (tmp_path / ".#module.py").symlink_to("an editor's lock")
    assert traced_programs._source_digest() is None
    (tmp_path / ".#module.py").unlink()
    os.utime(module, (time.time() + 10,) * 2)  # edited while this process runs
    assert traced_programs._source_digest() is None


@pytest.fixture
def small():
    """A config of small networks with everything that a state can have, for eight devices."""
    c = base_config()
    c.image_size, c.batch_size = 16, 8
    c.generator.features = c.discriminator.features = (4,)
    c.discriminator.strides = (2,)
    c.ema_decay, c.history_size = 0.9, 10
    return c


def images(*shape):
    return dict.fromkeys("xy", np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))


@pytest.fixture
def _quick_compilation():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("cache", "_quick_compilation")
def test_a_kept_step_on_all_devices_has_the_same_bits_and_takes_its_state(small, monkeypatch):
    def step():
        programs = Programs(small)
        place = programs.parallel.place_state
        first, hyper = place(programs.create_state(3)), place(Hyperparameters.of(small))
        batch = programs.parallel.place_batch(images(8, 16, 16, 1))
        result = programs.train_step(first, batch, hyper)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first))
        return jax.device_get(result)

    kept = step()
    monkeypatch.setattr(traced_programs, "_folder", lambda: None)
    expected = step()
    assert jax.tree.structure(kept) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, kept, expected)


@pytest.mark.parametrize(
    "options", [{"parallel": "jit"}, {"parallel": "pmap", "steps_per_call": 2}], ids=str
)
def test_a_step_of_every_mode_is_kept(small, cache, options):
    small.update_from_flattened_dict(options)
    programs = Programs(small)
    state = jax.eval_shape(programs.create_state, 3)
    shape = (8, 16, 16, 1) if small.steps_per_call == 1 else (2, 8, 16, 16, 1)
    batch = programs.parallel.place_batch(images(*shape))
    assert programs.train_step._kept
    kept = programs.train_step._kept((state, batch, Hyperparameters.of(small)))
    assert jax.tree.structure(kept.eval_shape(state, batch, Hyperparameters.of(small))[0]) == (
        jax.tree.structure(state)
    )
    assert {path.name.split("-")[0] for path in cache.iterdir()} == {"create_state", "train_steps"}
