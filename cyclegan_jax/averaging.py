"""Averaged generators: exponential moving averages of the parameters, and where they are used."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import optax

from cyclegan_jax.models.networks import Networks

T = TypeVar("T")


def generators_to_use(trained: T, averaged: T | None) -> T:
    """Returns what is evaluated and what translates: the averaged generators if there are any.

    This is the only place that chooses between them.
    """
    return trained if averaged is None else averaged


def average_generators(
    averages: Networks | None, params: Networks, step: jax.Array, decay: float
) -> Networks | None:
    """Returns the averages after a step: `decay` times the old ones plus the rest new parameters.

    A young average follows closely, so that the random start is soon forgotten: at first `decay` is
    (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage.

    Args:
      averages: before the step, without discriminators; None where nothing is averaged.
      params: after the step.
      step: the number of steps done before; int32 scalar.
      decay: `config.ema_decay`.
    """
    if averages is None:
        return None
    done = step.astype(jnp.float32)
    weight = 1.0 - jnp.minimum(decay, (1.0 + done) / (10.0 + done))
    return params.only_generators().map(
        lambda new, old: optax.incremental_update(new, old, weight), averages
    )
