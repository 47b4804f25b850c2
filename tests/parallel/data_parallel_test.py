"""Both modes on eight devices give one device's numbers at the same global batch."""

import re

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data.augmentation import Augmentation
from cyclegan_jax.data.batches import unpaired_batches
from cyclegan_jax.data.frames import Frames
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel import data_parallel
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.training.compiled import Programs


def run(config, batch, mode, devices, steps=3):
    """The last metrics and the state after some steps, each on a different batch."""
    each = [{k: np.roll(v, i, axis=1) for k, v in batch.items()} for i in range(steps)]
    return run_on(config, each, mode, devices)


def run_on(config, each, mode, devices):
    recipe = build_recipe(config)
    over = Parallel(mode, jax.devices()[:devices])
    state = over.compile_create_state(config, recipe)(config.seed)
    train = over.compile_train_step(recipe)
    hyper = over.place_state(Hyperparameters.of(config))
    for images in each if config.steps_per_call == 1 else [joined(each)]:
        state, metrics = train(state, over.place_batch(images), hyper)
    return jax.device_get((state, metrics))


def joined(batches):
    return {domain: np.stack([batch[domain] for batch in batches]) for domain in batches[0]}


@pytest.fixture
def full(tiny):
    tiny.ema_decay, tiny.history_size = 0.9, 10  # the history fills in the second step
    # Adam divides by the gradient's size: a small rate keeps rounding from growing in few steps
    tiny.optimizer.generator_learning_rate = tiny.optimizer.discriminator_learning_rate = 1e-5
    return tiny


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_equal_one(full, batch, mode):
    expected, expected_metrics = run(full, batch, "jit", 1)
    state, metrics = run(full, batch, mode, 8)
    for name, value in expected_metrics.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5), name
    assert (state.pools["x"].count, state.step) == (10, 3)
    np.testing.assert_allclose(state.pools["x"].images, expected.pools["x"].images, atol=1e-5)
    for ours, theirs in zip(
        jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_several_steps_in_one_call_and_in_parts_on_four_devices_equal_one(full, batch, mode):
    expected, expected_metrics = run(full, batch, "jit", 1)
    full.steps_per_call, full.microbatches, full.remat = 3, 2, True
    state, metrics = run(full, batch, mode, 4)
    for name, value in expected_metrics.items():
        assert metrics[name].shape == (3,)
        assert metrics[name][-1] == pytest.approx(value, rel=1e-5), name
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fit", ["pad", "resize"])
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_images_that_the_step_changes_equal_those_of_the_host(full, mode, fit):
    rng = np.random.default_rng(0)
    records = [{"image": rng.integers(0, 2**16, (18, 15, 1)).astype(np.uint16)} for _ in range(9)]
    x, y = (Frames(part, 16, fit) for part in (records, records[:5]))
    every = Augmentation(views=1, flip=True, contrast=0.3, shift=3)
    host, device = (
        unpaired_batches(x, y, every, batch_size=8, seed=1, on_device=on) for on in (False, True)
    )
    expected, expected_metrics = run_on(full, [host[i] for i in range(3)], "jit", 1)
    full.steps_per_call, full.microbatches = 3, 2
    state, metrics = run_on(full, [device[i] for i in range(3)], mode, 4)
    for name, value in expected_metrics.items():
        assert metrics[name][-1] == pytest.approx(value, rel=1e-5), name
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_gradients_and_losses_are_summed_once_in_float32(tiny, batch, mode):
    tiny.dtype, tiny.parallel = "bfloat16", mode
    programs = Programs(tiny)
    state = programs.create_state(0)
    size = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    arguments = (state, programs.parallel.place_batch(batch), Hyperparameters.of(tiny))
    text = programs.train_step.compile(*arguments).as_text()
    sums = re.findall(r"= (.*) all-reduce\(", text)
    parts = [part for found in sums for part in re.findall(r"(\w+)\[([\d,]*)\]", found)]
    assert len(sums) <= 4
    assert {dtype for dtype, _ in parts} == {"f32"}
    numbers = sum(np.prod([int(n) for n in shape.split(",") if n]) for _, shape in parts)
    assert size <= numbers <= size + 20  # the losses, too
    assert not re.search("all-gather|all-to-all|collective-permute|reduce-scatter", text)


def test_jit_on_one_device_sums_nothing(tiny, batch):
    tiny.parallel = "jit"
    programs = Programs(tiny, jax.devices()[:1])
    arguments = (programs.create_state(0), programs.parallel.place_batch(batch))
    text = programs.train_step._function.lower(*arguments, Hyperparameters.of(tiny)).as_text()
    assert "all_reduce" not in text


def test_the_state_is_not_stacked(full, batch):
    one, _ = run(full, batch, "jit", 1, steps=1)
    eight, _ = run(full, batch, "pmap", 8, steps=1)
    assert jax.tree.map(np.shape, one) == jax.tree.map(np.shape, eight)


@pytest.fixture
def _no_compilation_cache():
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", True)


@pytest.mark.usefixtures("_no_compilation_cache")
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_step_is_compiled_once(tiny, batch, mode, caplog):
    recipe = build_recipe(tiny)
    parallel = Parallel(mode)
    state = parallel.compile_create_state(tiny, recipe)(tiny.seed)
    train = parallel.compile_train_step(recipe)
    hyper = parallel.place_state(Hyperparameters.of(tiny))
    with jax.log_compiles():
        for _ in range(3):
            state, _ = train(state, parallel.place_batch(batch), hyper)
    compiled = [r.getMessage() for r in caplog.records if "Finished XLA compilation" in r.message]
    assert len(compiled) == 1


def test_batch_that_cannot_be_split_names_the_nearest():
    with pytest.raises(InputError, match=r"batch_size = 12 .* 8 devices.*8 or 16"):
        Parallel("pmap").check_batch_size(12)
    with pytest.raises(InputError, match="for example 8"):
        Parallel("jit").check_batch_size(3)
    Parallel("pmap").check_batch_size(16)
    with pytest.raises(InputError, match=r"8 devices in 2 parts each.*microbatches.*16 or 32"):
        Parallel("pmap").check_batch_size(24, 2)


@pytest.mark.parametrize("count", [1, 8, 19])
def test_translation_takes_any_number_of_images(tiny, count):
    recipe = build_recipe(tiny)
    parallel = Parallel("pmap")
    params = parallel.compile_create_state(tiny, recipe)(tiny.seed).params.generator_g
    images = np.random.default_rng(0).uniform(-1, 1, (count, 16, 16, 1)).astype(np.float32)
    translated = parallel.compile_translate_step(recipe.modules.generator_g, 8)(params, images)
    expected = recipe.modules.generator_g.apply({"params": params}, images)
    np.testing.assert_allclose(translated, expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_the_step_is_traced_and_compiled_once(mode, tiny, batch, monkeypatch):
    traces, events = [], []
    original = data_parallel.train_steps

    def traced(*arguments, **options):
        traces.append(mode)
        return original(*arguments, **options)

    monkeypatch.setattr(data_parallel, "train_steps", traced)
    parallel = Parallel(mode)
    recipe = build_recipe(tiny)
    state = parallel.compile_create_state(tiny, recipe)(tiny.seed)
    step = parallel.compile_train_step(recipe)
    hyper = parallel.place_state(Hyperparameters.of(tiny))
    batches = [parallel.place_batch(batch) for _ in range(3)]
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: events.append(event)
    )
    try:
        for placed in batches:
            state, _ = step(state, placed, hyper)
    finally:
        jax.monitoring.clear_event_listeners()
    assert len(traces) == 1
    assert events.count("/jax/core/compile/backend_compile_duration") == 1


def test_a_step_gives_memory_back_before_compiling_and_before_running(monkeypatch):
    calls = []

    class Jitted:
        def lower(self, a):
            calls.append(("lower", a))
            return self

        def compile(self):
            calls.append("compile")

        def __call__(self, a):
            calls.append(("run", a))
            return a + 1

    monkeypatch.setattr(data_parallel.runtime, "release_memory", lambda: calls.append("release"))
    step = data_parallel.TrainStep(Jitted())
    assert [step(1), step(2)] == [2, 3]
    assert calls == ["release", ("lower", 1), "compile", "release", ("run", 1), ("run", 2)]


@pytest.mark.parametrize("precision", ["default", "high", "highest"])
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_every_product_of_a_step_has_the_precision_of_the_config(tiny, batch, mode, precision):
    tiny.matmul_precision, tiny.parallel = precision, mode
    programs = Programs(tiny, jax.devices()[:1])
    state = programs.parallel.place_state(programs.create_state(0))
    arguments = (state, programs.parallel.place_batch(batch), Hyperparameters.of(tiny))
    text = programs.train_step._function.lower(*arguments).as_text()
    products = re.findall(r"stablehlo\.(?:dot_general|convolution).*", text)
    assert len(products) > 10
    for product in products:
        found = set(re.findall("HIGHEST|HIGH", product))
        assert found == ({precision.upper()} - {"DEFAULT"}), product


def test_trials_in_one_program_have_the_precision_too(tiny):
    tiny.matmul_precision = "highest"
    trials, step = Programs(tiny).parallel_trials(1)
    state = trials.stack([Programs(tiny).create_state(0)])
    images = np.zeros((1, 8, 16, 16, 1), np.float32)
    hyper = trials.stack([Hyperparameters.of(tiny)])
    text = step._function.lower(state, {"x": images, "y": images}, hyper).as_text()
    assert "HIGHEST" in text


def test_samples_and_translations_have_the_precision_too(tiny, monkeypatch):
    seen = []

    def spy(function, precision):
        seen.append((function.func.__name__, precision))
        return function

    monkeypatch.setattr(data_parallel.jax_settings, "with_precision", spy)
    tiny.matmul_precision = "high"
    Programs(tiny)
    names = ["sample_step", "train_steps", "translate_step", "translate_step"]
    assert sorted(seen) == [(name, "high") for name in names]
