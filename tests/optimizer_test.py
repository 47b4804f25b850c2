"""The learning-rate schedule, Adam's b1, and the hyperparameters of a config."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cyclegan_jax.config import base_config
from cyclegan_jax.models.networks import Networks
from cyclegan_jax.optimizer import (
    Hyperparameters,
    build_optimizers,
    learning_rate,
    update_networks,
)


@pytest.mark.parametrize(
    ("decay_from", "expected"),
    [(0.5, [1, 1, 1, 0.5, 0]), (1.0, [1, 1, 1, 1, 1]), (0.0, [1, 0.75, 0.5, 0.25, 0])],
)
def test_learning_rate_is_constant_then_falls_linearly_to_zero(decay_from, expected):
    schedule = learning_rate(100, decay_from)
    values = [float(schedule(jnp.asarray(step))) for step in (0, 25, 50, 75, 100)]
    np.testing.assert_allclose(values, expected)


def test_hyperparameters_are_those_of_the_config(tiny):
    tiny.loss.cycle_weight, tiny.loss.identity_ratio = 10.0, 0.5
    tiny.optimizer.generator_learning_rate = 1e-3
    hyper = Hyperparameters.of(tiny)
    assert hyper.loss_weights == {"cycle": 10, "structure": 0, "start": 0, "identity": 5}
    rates = hyper.learning_rates
    assert rates.generator_g == rates.generator_f == np.float32(1e-3)
    assert rates.discriminator_x == rates.discriminator_y == np.float32(2e-4)


@pytest.mark.parametrize("b1", [0.5, 0.9])
def test_adam_is_that_of_the_config_but_for_the_last_place_of_a_half(b1):
    config = base_config()
    config.optimizer.b1, config.optimizer.decay_from, config.steps = b1, 1.0, 10
    params = {"a": jnp.linspace(-1, 1, 5)}
    gradient = {"a": jnp.linspace(3, -2, 5)}
    found, wanted = build_optimizers(config).generator_g, optax.adam(1.0, b1=b1, b2=0.999)
    states = [found.init(params), wanted.init(params)]
    for _ in range(3):
        (a, states[0]), (b, states[1]) = (
            optimizer.update(gradient, state, params)
            for optimizer, state in zip((found, wanted), states, strict=True)
        )
        np.testing.assert_allclose(a["a"], b["a"], rtol=1e-5)


@pytest.mark.parametrize(("platform", "flat"), [("cpu", 0), ("tpu", 0), ("cuda", 1)])
def test_gradients_take_the_layout_of_parameters_on_a_gpu_alone(platform, flat):
    config = base_config()
    one = {"kernel": jnp.ones((3, 3, 2, 5))}
    same = Networks(one, one, one, one)
    optimizers = build_optimizers(config)
    states = optimizers.map(lambda o, p: o.init(p), same)
    rates = Hyperparameters.of(config).learning_rates

    def update(gradients):
        return update_networks(optimizers, gradients, states, same, rates)

    text = jax.jit(update).trace(same).lower(lowering_platforms=(platform,)).as_text()
    assert len(re.findall(r"optimization_barrier.*tensor<90xf32>", text)) == flat
