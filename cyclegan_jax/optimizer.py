"""Adam for each network, the schedule of its rate, and the numbers that a step is given."""

from typing import Any

import flax.struct
import jax
import numpy as np
import optax

from cyclegan_jax.config import Config, loss_weights
from cyclegan_jax.models.networks import Networks


class Hyperparameters(flax.struct.PyTreeNode):
    """Numbers that a compiled step takes as arguments, so that another value compiles nothing.

    Attributes:
      loss_weights: the absolute weight of each kind of term, by the names of `losses`.
      generator_learning_rate: of both generators, at the first step.
      discriminator_learning_rate: of both discriminators, at the first step.
    """

    loss_weights: dict[str, jax.Array]
    generator_learning_rate: jax.Array
    discriminator_learning_rate: jax.Array

    @classmethod
    def of(cls, config: Config) -> "Hyperparameters":
        """Returns those of a validated config, as float32 scalars."""
        weights = {kind: _scalar(weight) for kind, weight in loss_weights(config).items()}
        return cls(
            loss_weights=weights,
            generator_learning_rate=_scalar(config.optimizer.generator_learning_rate),
            discriminator_learning_rate=_scalar(config.optimizer.discriminator_learning_rate),
        )

    @property
    def learning_rates(self) -> Networks:
        """The rate of each network at the first step."""
        g, d = self.generator_learning_rate, self.discriminator_learning_rate
        return Networks(generator_g=g, generator_f=g, discriminator_x=d, discriminator_y=d)


def build_optimizers(config: Config) -> Networks:
    """Returns Adam for each network, at a rate that falls from 1; `Hyperparameters` scales it."""
    o = config.optimizer
    rate = learning_rate(config.steps, o.decay_from)
    adam = optax.adam(rate, b1=_compilable_b1(o.b1), b2=o.b2)
    return Networks(adam, adam, adam, adam)


def learning_rate(steps: int, decay_from: float) -> optax.Schedule:
    """Returns a schedule: 1 for the fraction `decay_from` of `steps`, then linear to 0 at `steps`.

    Zhu et al. 2017, section 4, has it constant for one half and falling for the other.

    It depends on nothing else. So a run that is resumed with more steps takes the rates of a run of
    the new length from there on: until they fall the schedule is stretched, and later it is a warm
    restart.
    """
    start = _decay_start(steps, decay_from)
    if start >= steps:
        return optax.constant_schedule(1.0)
    return optax.linear_schedule(1.0, 0.0, steps - start, transition_begin=start)


def _decay_start(steps: int, decay_from: float) -> int:
    return round(decay_from * steps)


def new_rates_in_words(old: Config, new: Config, step: int) -> str:
    """Returns what a change of `steps` or `optimizer.decay_from` after `step` does to the rates."""
    before, after = (
        float(np.asarray(learning_rate(config.steps, config.optimizer.decay_from)(step)))
        for config in (old, new)
    )
    if before == after == 1:
        kind = "the schedule is stretched" if new.steps > old.steps else "the schedule is shortened"
        kind += ", since they had not begun to fall"
    elif after > before:
        kind = "a warm restart, since they had begun to fall"
    else:
        kind = "they fall sooner"
    start = _decay_start(new.steps, new.optimizer.decay_from)
    until = f"fall from step {max(start, step)} to 0 at step {new.steps}"
    return (
        f"learning rates: {kind}; {before:.3g} -> {after:.3g} of their full values at step {step}, "
        f"and they {until if start < new.steps else 'stay there'}"
    )


def update_networks(
    optimizers: Networks, gradients: Networks, states: Networks, params: Networks, rates: Networks
) -> tuple[Networks, Networks]:
    """Returns the parameters and the optimizer states after one step of each network's optimizer.

    Args:
      optimizers: of `build_optimizers`.
      gradients: of the parameters.
      states: of the optimizers.
      params: that are updated.
      rates: a scalar for each network, that scales its update.
    """
    gradients = _as_parameters_lie(gradients)

    def update(optimizer, gradient, state, params, rate):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, optax.tree.scale(rate, updates)), state

    updated = optimizers.map(update, gradients, states, params, rates)
    return updated.map(lambda pair: pair[0]), updated.map(lambda pair: pair[1])


def _as_parameters_lie(gradients: Networks) -> Networks:
    """Returns the gradients in the memory layout of the parameters, on a GPU.

    cuDNN computes the gradient of a kernel in a layout of its own. XLA would take the parameters
    and Adam's two means to that layout and back, six copies instead of one.
    """

    def of_gpu(gradients: Networks) -> Networks:
        flat = jax.tree.map(lambda g: g.reshape(-1), gradients)
        flat = jax.lax.optimization_barrier(flat)
        return jax.tree.map(lambda f, g: f.reshape(g.shape), flat, gradients)

    return jax.lax.platform_dependent(gradients, cuda=of_gpu, rocm=of_gpu, default=lambda g: g)


def at_step(states: Networks, step: Any) -> Networks:
    """Returns the optimizer states with the rates of `step`, whatever number of updates was made.

    The schedule counts updates. A step that was left out is none, but it is one of `config.steps`.

    Args:
      states: of the optimizers.
      step: the number of steps done; an int32 scalar.
    """

    def moved(part: Any) -> Any:
        return part._replace(count=step) if isinstance(part, optax.ScaleByScheduleState) else part

    return states.map(lambda state: tuple(map(moved, state)))


def _compilable_b1(b1: float) -> float:
    """Returns `b1`, or for 1/2 the next larger float32.

    With b1 = 1/2 XLA turns b1 m + (1 - b1) g into b1 (m + g). It then computes this twice, from a
    copy of m. A change of b1 in its last place prevents that (docs/performance.md).
    """
    return float(np.nextafter(np.float32(0.5), np.float32(1))) if b1 == 0.5 else b1


def _scalar(value: float) -> jax.Array:
    return np.float32(value)  # pyright: ignore[reportReturnType]  # a host scalar serves as well
