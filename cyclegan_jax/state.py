"""The state of a training run: four networks, their optimizers, and what a step needs to go on."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax.config import Config, has_identity, identity_weight
from cyclegan_jax.image_pool import ImageHistory
from cyclegan_jax.models.unet import PatchDiscriminator, UNetGenerator

_T = TypeVar("_T")


def generators_to_use(trained: _T, averaged: _T | None) -> _T:
    """Returns what to score and to translate with: the averaged generators, if there are any."""
    return trained if averaged is None else averaged


class Networks(flax.struct.PyTreeNode):
    """Anything that exists once for each network: modules, parameters, optimizers, gradients."""

    generator_g: Any  # X -> Y
    generator_f: Any  # Y -> X
    discriminator_x: Any
    discriminator_y: Any

    def map(self, function: Callable[..., Any], *others: "Networks") -> "Networks":
        """`function` of each network's entry (and the same entry of `others`)."""
        return Networks(
            **{
                field.name: function(*(getattr(n, field.name) for n in (self, *others)))
                for field in dataclasses.fields(self)
            }
        )


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes during training.

    `ema` holds the averaged generators (its discriminators are None) or is None; `history` holds
    an `ImageHistory` for each domain under "x" and "y", or is None. Randomness is
    `fold_in(key(seed), step)`.
    """

    step: jax.Array
    seed: jax.Array
    params: Networks
    opt_state: Networks
    ema: Networks | None
    history: dict[str, ImageHistory] | None

    @property
    def generators(self) -> Networks:
        """The generators to score and to translate with; their discriminators may be None."""
        return generators_to_use(self.params, self.ema)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a step is compiled for: the modules, their optimizers, and the kind of the losses.

    The optimizers are Adam at rates that fall from 1; `Hyperparameters` scales them.
    """

    modules: Networks
    optimizers: Networks
    adversarial: str
    identity: bool
    ema_decay: float
    skip_nonfinite: bool


class Hyperparameters(flax.struct.PyTreeNode):
    """Numbers that a compiled step takes as arguments, so that another value compiles nothing.

    `identity_weight` is absolute, and read only by a recipe with identity terms; the learning rates
    are those of the first step.
    """

    cycle_weight: jax.Array
    identity_weight: jax.Array
    generator_learning_rate: jax.Array
    discriminator_learning_rate: jax.Array

    @classmethod
    def of(cls, config: Config) -> "Hyperparameters":
        """Float32 scalars of a validated config."""
        o = config.optimizer
        values = (
            config.loss.cycle_weight,
            identity_weight(config),
            o.generator_learning_rate,
            o.discriminator_learning_rate,
        )
        return cls(*(np.float32(value) for value in values))  # pyright: ignore[reportArgumentType]

    @property
    def learning_rates(self) -> Networks:
        """One for each network."""
        g, d = self.generator_learning_rate, self.discriminator_learning_rate
        return Networks(g, g, d, d)


def build_modules(config: Config) -> Networks:
    """The four Flax modules that a validated config describes."""
    dtype = jnp.dtype(config.dtype)
    g, d = config.generator, config.discriminator
    generator = UNetGenerator(tuple(g.features), g.head, g.kernel_size, g.upsampling, g.norm, dtype)
    discriminator = PatchDiscriminator(
        tuple(d.features), tuple(d.strides), d.kernel_size, d.norm, dtype
    )
    return Networks(generator, generator, discriminator, discriminator)


def learning_rate(steps: int, decay_from: float) -> optax.Schedule:
    """Constant 1 for the fraction `decay_from` of `steps`, then linear to 0 at `steps`."""
    start = round(decay_from * steps)
    if start >= steps:
        return optax.constant_schedule(1.0)
    return optax.linear_schedule(1.0, 0.0, steps - start, transition_begin=start)


def build_recipe(config: Config) -> Recipe:
    """What the steps of a validated config are compiled for."""
    o = config.optimizer
    # Of b1 m + (1 - b1) g with equal weights XLA makes b1 (m + g), which it then computes twice and
    # from a copy of m; one unit in the last place keeps it from that (docs/performance.md).
    b1 = float(np.nextafter(np.float32(0.5), np.float32(1))) if o.b1 == 0.5 else o.b1
    adam = optax.adam(learning_rate(config.steps, o.decay_from), b1=b1, b2=o.b2)
    return Recipe(
        modules=build_modules(config),
        optimizers=Networks(adam, adam, adam, adam),
        adversarial=config.loss.adversarial,
        identity=has_identity(config),
        ema_decay=config.ema_decay,
        skip_nonfinite=config.on_nonfinite == "skip",
    )


def init_params(config: Config, modules: Networks, seed: int | jax.Array) -> Networks:
    """Fresh parameters, each network from a key of its own."""
    images = jnp.zeros((1, config.image_size, config.image_size, 1), jnp.float32)
    keys = Networks(*jax.random.split(jax.random.key(seed), 4))
    return modules.map(lambda module, key: module.init(key, images)["params"], keys)


def create_state(config: Config, recipe: Recipe, seed: int | jax.Array) -> TrainState:
    """The state before the first step of a validated config, whose own seed is not read."""
    params = init_params(config, recipe.modules, seed)
    ema = None
    if config.ema_decay:
        ema = params.replace(discriminator_x=None, discriminator_y=None)
    history = None
    if config.history_size:
        shape = (config.image_size, config.image_size, 1)
        history = {d: ImageHistory.empty(config.history_size, shape) for d in ("x", "y")}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.int32),
        params=params,
        opt_state=recipe.optimizers.map(lambda o, p: o.init(p), params),
        ema=ema,
        history=history,
    )
