"""Refinement changes the first model alone, uses all of them, and brings translations back."""

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import from_config
from cyclegan_jax.data.batches import read_ahead
from cyclegan_jax.models.networks import apply_network, init_params
from cyclegan_jax.state import build_recipe
from cyclegan_jax.training.back_translation import refine


@pytest.fixture
def data(tiny):
    return from_config.open_data(tiny)


def generators(config, seed):
    return init_params(config, build_recipe(config).modules, seed).only_generators()


def way_back(config, data, makes, returns):
    """The mean absolute errors of F after G of `makes`, and of G after its F."""
    modules, errors = build_recipe(config).modules, []
    batch = next(read_ahead(from_config.training_batches(config, data), 50, 0))
    for first, second, domain in (
        ("generator_g", "generator_f", "x"),
        ("generator_f", "generator_g", "y"),
    ):
        made = apply_network(getattr(modules, first), getattr(makes, first), batch[domain])
        back = apply_network(getattr(modules, second), getattr(returns, second), made)
        errors.append(float(np.abs(back - batch[domain]).mean()))
    return np.array(errors)


def test_both_generators_learn_the_way_back_from_fixed_models(tiny, data):
    tiny.optimizer.generator_learning_rate = 2e-3
    models = [generators(tiny, seed) for seed in (0, 1)]
    before = jax.tree.map(np.array, models)
    refined, losses = refine(tiny, data, models, 120)
    jax.tree.map(np.testing.assert_array_equal, before, models)
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]
    for makes in models:
        errors = way_back(tiny, data, makes, refined)
        assert (errors < 0.85 * way_back(tiny, data, makes, models[0])).all()


def test_the_first_model_is_refined_and_all_of_them_translate(tiny, data):
    a, b = (generators(tiny, seed) for seed in (0, 1))
    (alone, _), (together, _), (again, _) = (
        refine(tiny, data, models, 2) for models in ([a], [a, b], [a, b])
    )
    for refined in (alone, together):
        moved = jax.tree.map(lambda new, old: np.abs(new - old).max(), refined, a)
        # each of Adam's first steps is at most one learning rate
        assert max(jax.tree.leaves(moved)) < 2.1 * tiny.optimizer.generator_learning_rate
    differ = jax.tree.map(lambda one, other: (one != other).any(), alone, together)
    assert all(any(jax.tree.leaves(d)) for d in (differ.generator_g, differ.generator_f))
    jax.tree.map(np.testing.assert_array_equal, together, again)


def test_images_that_the_step_augments_give_the_same(tiny, data):
    tiny.data.shift = 2
    models = [generators(tiny, 0)]
    on_host, losses = refine(tiny, data, models, 1)
    tiny.augment_on_device = True
    on_device, same = refine(tiny, data, models, 1)
    assert losses == pytest.approx(same, rel=1e-5)
    # Adam's first step has the size of the rate, whatever the gradient's, so rounding can turn it
    moved = jax.tree.map(lambda a, b: np.mean(np.abs(a - b) > 1e-6), on_host, on_device)
    assert max(jax.tree.leaves(moved)) < 0.1


def test_a_loss_that_is_not_finite_stops_it(tiny, data):
    broken = jax.tree.map(lambda a: np.full_like(a, np.nan), generators(tiny, 1))
    with pytest.raises(InputError, match="a loss is not finite before step 2"):
        refine(tiny, data, [generators(tiny, 0), broken], 2)
