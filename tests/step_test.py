"""The training step against its definition, written out slowly."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cyclegan_jax import losses, step
from cyclegan_jax.models import networks
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.models.patchgan import PatchDiscriminator
from cyclegan_jax.models.unet import UNetGenerator
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.structure import structural_difference


def setup(config):
    recipe = build_recipe(config)
    return recipe, Parallel("jit", jax.devices()[:1]).compile_create_state(config, recipe)(
        config.seed
    )


def separate_gradients(state, batch, hyper, recipe):
    """Each network's gradient of its own total, every call on its own, as the paper states it."""
    m, x, y = recipe.modules, batch["x"], batch["y"]
    weights = hyper.loss_weights
    adversarial = functools.partial(losses.adversarial_loss, recipe.objective.adversarial)
    distance = losses.mean_absolute_error

    def apply(name, params, images):
        return getattr(m, name).apply({"params": params}, images)

    def total(params, own, other, judge, own_in, other_in):
        """One generator's loss: `own` maps own_in's domain to other_in's."""
        fake = apply(own, getattr(params, own), own_in)
        cycled = apply(other, getattr(params, other), fake)
        back = apply(own, getattr(params, own), apply(other, getattr(params, other), other_in))
        same = apply(own, getattr(params, own), other_in)
        return (
            adversarial(apply(judge, getattr(params, judge), fake))
            + weights["cycle"] * (distance(cycled, own_in) + distance(back, other_in))
            + weights["identity"] * distance(same, other_in)
            + weights["structure"] * structural_difference(own_in, fake)
        )

    def judged(params, judge, real, fake):
        p = getattr(params, judge)
        return losses.real_or_fake_loss(
            recipe.objective.adversarial, apply(judge, p, real), apply(judge, p, fake)
        )

    p = state.params
    fake_y, fake_x = apply("generator_g", p.generator_g, x), apply("generator_f", p.generator_f, y)
    gradient = lambda loss, *a: jax.grad(loss)(p, *a)  # noqa: E731 - one line read four times
    g = gradient(total, "generator_g", "generator_f", "discriminator_y", x, y)
    f = gradient(total, "generator_f", "generator_g", "discriminator_x", y, x)
    d_x = gradient(judged, "discriminator_x", x, fake_x)
    d_y = gradient(judged, "discriminator_y", y, fake_y)
    return Networks(g.generator_g, f.generator_f, d_x.discriminator_x, d_y.discriminator_y)


@pytest.mark.parametrize(
    ("adversarial", "identity", "structure"),
    [("bce", 0.25, 0.0), ("lsgan", 0.25, 0.0), ("bce", 0.0, 0.0), ("bce", 0.25, 20.0)],
)
def test_merged_gradients_equal_four_separate_ones(tiny, batch, adversarial, identity, structure):
    tiny.loss.structure_weight = structure
    tiny.loss.adversarial, tiny.loss.identity_ratio = adversarial, identity
    recipe, state = setup(tiny)
    expected = separate_gradients(state, batch, Hyperparameters.of(tiny), recipe)
    generators = (state.params.generator_g, state.params.generator_f)
    grads, (fakes, _) = jax.grad(losses.generator_loss, has_aux=True)(
        generators,
        state.params,
        batch,
        recipe.modules,
        recipe.objective,
        Hyperparameters.of(tiny).loss_weights,
    )
    discriminators = (state.params.discriminator_x, state.params.discriminator_y)
    d_grads, _ = jax.grad(losses.discriminator_loss, has_aux=True)(
        discriminators, batch, fakes, recipe.modules, recipe.objective
    )
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for ours, theirs in zip(
        jax.tree.leaves(Networks(*grads, *d_grads)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6 * scale)


def test_step_is_adam_on_these_gradients(tiny, batch):
    tiny.optimizer.decay_from = 1.0
    recipe, state = setup(tiny)
    expected = separate_gradients(state, batch, Hyperparameters.of(tiny), recipe)
    new, metrics = step.train_step(state, batch, Hyperparameters.of(tiny), recipe)
    for name in ("generator_g", "generator_f", "discriminator_x", "discriminator_y"):
        adam = optax.adam(2e-4, b1=0.5, b2=0.999)
        params, grads = getattr(state.params, name), getattr(expected, name)
        norm = float(optax.tree.norm(grads))
        assert metrics[f"gradient_{name}"] == pytest.approx(norm, rel=1e-3)
        updates, _ = adam.update(grads, adam.init(params), params)
        moved = jax.tree.map(lambda a, b: a - b, getattr(new.params, name), params)
        # Adam's first step is the sign of the gradient where that is not tiny
        agree = jax.tree.map(lambda a, b: (jnp.abs(a - b) < 2e-5).mean(), moved, updates)
        assert min(map(float, jax.tree.leaves(agree))) > 0.9


@pytest.mark.parametrize(("identity", "generated"), [(0.25, 6), (0.0, 4)])
def test_network_calls_are_merged(tiny, batch, monkeypatch, identity, generated):
    tiny.loss.identity_ratio = identity
    recipe, state = setup(tiny)
    calls, images = collections.Counter(), collections.Counter()
    original = networks.apply_network

    def counted(module, params, given):
        calls[type(module)] += 1
        images[type(module)] += len(given)
        return original(module, params, given)

    for module in (networks, losses, step):
        monkeypatch.setattr(module, "apply_network", counted)
    hyper = Hyperparameters.of(tiny)
    jax.eval_shape(functools.partial(step.train_step, recipe=recipe), state, batch, hyper)
    assert calls == {UNetGenerator: 4, PatchDiscriminator: 4}
    size = len(batch["x"])
    assert images == {UNetGenerator: generated * size, PatchDiscriminator: 6 * size}


def test_discriminators_give_generators_no_gradient(tiny, batch):
    recipe, state = setup(tiny)
    modules, objective = recipe.modules, recipe.objective
    weights = Hyperparameters.of(tiny).loss_weights

    def loss(generators):
        _, (fakes, _) = losses.generator_loss(
            generators, state.params, batch, modules, objective, weights
        )
        _, pooled = step._through_pools(None, fakes, jax.random.key(0), None)
        d = (state.params.discriminator_x, state.params.discriminator_y)
        return losses.discriminator_loss(d, batch, pooled, modules, objective)[0]

    grads = jax.grad(loss)((state.params.generator_g, state.params.generator_f))
    assert all(float(jnp.abs(g).max()) == 0 for g in jax.tree.leaves(grads))


def test_metrics_add_up_to_the_total(tiny, batch):
    tiny.loss.structure_weight = 3.0
    tiny.loss.start_weight, tiny.loss.start_steps = 20.0, 4
    recipe, state = setup(tiny)
    _, m = step.train_step(
        state.replace(step=jnp.int32(1)), batch, Hyperparameters.of(tiny), recipe
    )
    total = m["adversarial_g"] + m["adversarial_f"] + 15 * (m["cycle_x"] + m["cycle_y"])
    total += 0.25 * 15 * (m["identity_x"] + m["identity_y"])
    total += 3 * (m["structure_g"] + m["structure_f"])
    total += 20 * 3 / 4 * (m["start_g"] + m["start_f"])
    assert m["generators_total"] == pytest.approx(float(total), rel=1e-5)


def test_without_a_weight_there_is_no_identity_term(tiny, batch):
    tiny.loss.identity_ratio = 0.0
    recipe, state = setup(tiny)
    _, m = step.train_step(state, batch, Hyperparameters.of(tiny), recipe)
    total = m["adversarial_g"] + m["adversarial_f"] + 15 * (m["cycle_x"] + m["cycle_y"])
    assert m["generators_total"] == pytest.approx(float(total), rel=1e-5)
    assert not [name for name in m if name.startswith("identity")]


def test_pools_and_average_advance(tiny, batch):
    tiny.ema_decay, tiny.history_size = 0.999, 50
    recipe, state = setup(tiny)
    new, _ = step.train_step(state, batch, Hyperparameters.of(tiny), recipe)
    assert new.pools["y"].count == 8
    fake_y = recipe.modules.generator_g.apply({"params": state.params.generator_g}, batch["x"])
    np.testing.assert_allclose(new.pools["y"].images[:8], fake_y, atol=1e-5)
    # the warm-up's first decay is 1 / 10
    for average, old, now in zip(
        *map(
            jax.tree.leaves,
            (new.ema.generator_g, state.params.generator_g, new.params.generator_g),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * now, atol=1e-6)


def test_training_lowers_the_cycle_loss(tiny):
    slopes = np.linspace(-1, 1, 8)[:, None, None, None] * np.linspace(-1, 1, 16)[:, None, None]
    images = np.broadcast_to(slopes, (8, 16, 16, 1)).astype(np.float32)
    batch = {"x": images, "y": -np.abs(images)}
    tiny.steps, tiny.optimizer.generator_learning_rate = 60, 2e-3
    recipe, state = setup(tiny)
    train = jax.jit(functools.partial(step.train_step, recipe=recipe))
    state, first = train(state, batch, Hyperparameters.of(tiny))
    for _ in range(50):
        state, last = train(state, batch, Hyperparameters.of(tiny))
    assert last["cycle_x"] < 0.7 * first["cycle_x"]


def test_the_rate_of_a_step_does_not_depend_on_steps_that_were_skipped(tiny, batch):
    tiny.on_nonfinite, tiny.steps, tiny.optimizer.decay_from = "skip", 4, 0.0  # rates 1, 3/4, 1/2
    recipe, start = setup(tiny)
    train = jax.jit(functools.partial(step.train_step, recipe=recipe), donate_argnums=0)
    hyper = Hyperparameters.of(tiny)
    once, _ = train(jax.tree.map(jnp.copy, start), batch, hyper)
    state = jax.tree.map(jnp.copy, once)
    bad = batch | {"x": batch["x"] * np.nan}
    state, _ = train(state, bad, hyper)
    state, _ = train(state, batch, hyper)
    assert int(state.step) == 3
    for adam, schedule in vars(state.opt_state).values():
        assert (int(adam.count), int(schedule.count)) == (2, 3)
    # the same update at the rate of step 2
    other, _ = train(jax.tree.map(jnp.copy, once), batch, hyper)
    for before, at_two, at_three in zip(
        *map(jax.tree.leaves, (once.params, other.params, state.params)), strict=True
    ):
        np.testing.assert_allclose(
            at_three - before, (at_two - before) * (1 / 2) / (3 / 4), rtol=1e-3, atol=1e-7
        )


def test_bfloat16_keeps_state_in_float32_and_is_close(tiny, batch):
    _, state = setup(tiny)
    _, exact = step.train_step(state, batch, Hyperparameters.of(tiny), build_recipe(tiny))
    tiny.dtype = "bfloat16"
    new, rounded = step.train_step(state, batch, Hyperparameters.of(tiny), build_recipe(tiny))
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((new.params, new.opt_state))}
    assert dtypes == {jnp.dtype("float32"), jnp.dtype("int32")}
    assert rounded["cycle_x"] == pytest.approx(float(exact["cycle_x"]), rel=0.02)


def test_sample_step_names_both_directions(tiny, batch):
    recipe, state = setup(tiny)
    pictures = step.sample_step(state.params, batch, recipe)
    g = functools.partial(recipe.modules.generator_g.apply, {"params": state.params.generator_g})
    f = functools.partial(recipe.modules.generator_f.apply, {"params": state.params.generator_f})
    x, y = batch["x"], batch["y"]
    expected = {"fake_y": g(x), "cycled_x": f(g(x)), "same_x": f(x), "same_y": g(y)}
    expected |= {"fake_x": f(y), "cycled_y": g(f(y)), "real_x": x, "real_y": y}
    assert pictures.keys() == expected.keys()
    for name, images in expected.items():
        np.testing.assert_allclose(pictures[name], images, atol=1e-5)


@pytest.mark.parametrize(
    ("remat", "microbatches"), [(True, 1), (False, 4), (True, 2)], ids=["remat", "parts", "both"]
)
def test_remat_and_parts_of_a_batch_change_no_step(tiny, batch, remat, microbatches):
    tiny.ema_decay, tiny.history_size = 0.9, 10
    tiny.loss.structure_weight, tiny.loss.start_weight = 3.0, 5.0
    # Adam divides by the gradient's size: a small rate keeps rounding from growing
    tiny.optimizer.generator_learning_rate = tiny.optimizer.discriminator_learning_rate = 1e-5
    _, start = setup(tiny)
    hyper = Hyperparameters.of(tiny)
    results = []
    for options in ((False, 1), (remat, microbatches)):
        tiny.remat, tiny.microbatches = options
        train = jax.jit(functools.partial(step.train_step, recipe=build_recipe(tiny)))
        state = start
        for _ in range(2):  # the pools fill in the second step
            state, metrics = train(state, batch, hyper)
        results.append((metrics, state))
    (plain_metrics, plain), (metrics, state) = results
    assert metrics.keys() == plain_metrics.keys()
    for name, value in plain_metrics.items():
        assert metrics[name] == pytest.approx(float(value), rel=1e-5), name
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_remat_computes_each_call_of_a_generator_again(tiny, batch):
    _, state = setup(tiny)

    def convolutions(remat):
        tiny.remat = remat
        train = jax.jit(functools.partial(step.train_step, recipe=build_recipe(tiny)))
        traced = train.trace(state, batch, Hyperparameters.of(tiny))
        return traced.lower(lowering_platforms=("cuda",)).as_text().count("stablehlo.convolution(")

    layers = 2 * len(tiny.generator.features)
    kinds = 2  # of calls: with images to translate and to keep, and back
    assert convolutions(True) == convolutions(False) + kinds * layers


@pytest.mark.parametrize("on_nonfinite", ["stop", "skip"])
def test_several_steps_in_one_call_equal_the_same_steps_one_by_one(tiny, batch, on_nonfinite):
    tiny.ema_decay, tiny.history_size, tiny.on_nonfinite = 0.9, 10, on_nonfinite
    tiny.optimizer.decay_from = 0.0  # every step has a rate of its own
    recipe, start = setup(tiny)
    hyper = Hyperparameters.of(tiny)
    each = [{k: np.roll(v, i, axis=1) for k, v in batch.items()} for i in range(3)]
    if on_nonfinite == "skip":
        each[1]["x"] = each[1]["x"] * np.nan
    train = jax.jit(functools.partial(step.train_steps, recipe=recipe))
    one_by_one, wanted = start, []
    for images in each:
        one_by_one, metrics = train(one_by_one, images, hyper)
        wanted.append(metrics)
    tiny.steps_per_call = 3
    train = jax.jit(functools.partial(step.train_steps, recipe=build_recipe(tiny)))
    joined = {k: np.stack([images[k] for images in each]) for k in batch}
    state, found = train(start, joined, hyper)
    for name, values in found.items():
        np.testing.assert_allclose(values, [m[name] for m in wanted], rtol=1e-5, err_msg=name)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(one_by_one), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
