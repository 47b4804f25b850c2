"""What changes during training (`TrainState`), and what a step is compiled for (`Recipe`)."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from cyclegan_jax.averaging import generators_to_use
from cyclegan_jax.config import Config
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.image_pool import ImagePool
from cyclegan_jax.losses import Objective, build_objective
from cyclegan_jax.models.networks import Networks, build_modules, init_params
from cyclegan_jax.optimizer import build_optimizers


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes during training. Randomness is `fold_in(key(seed), step)`.

    Attributes:
      step: number of steps done; int32 scalar.
      seed: of the run; int32 scalar.
      params: parameters of the four networks.
      opt_state: states of their optimizers.
      ema: exponential moving averages of the generators' parameters, without discriminators; None
        if `config.ema_decay` is 0.
      pools: an `ImagePool` for each domain, "x" and "y"; None if `config.history_size` is 0.
    """

    step: jax.Array
    seed: jax.Array
    params: Networks
    opt_state: Networks
    ema: Networks | None
    pools: dict[str, ImagePool] | None

    @property
    def generators(self) -> Networks:
        """The generators to score and to translate with; their discriminators may be None."""
        return generators_to_use(self.params, self.ema)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The part of a config that a step is compiled for; the rest are arguments of the step.

    Attributes:
      modules: the four Flax modules.
      optimizers: of the four networks, see `optimizer.build_optimizers`.
      objective: which loss terms are computed, and how.
      ema_decay: of the averaged generators; 0 where there are none.
      skip_nonfinite: whether a step with a loss or gradient that is not finite updates nothing.
      remat: whether the maps inside the generators are computed again for the backward pass.
      microbatches: the number of parts of a device's images that are computed in turn.
      steps_per_call: the number of steps of one call of the program.
    """

    modules: Networks
    optimizers: Networks
    objective: Objective
    ema_decay: float
    skip_nonfinite: bool
    remat: bool
    microbatches: int
    steps_per_call: int


def build_recipe(config: Config) -> Recipe:
    """Returns what the steps of a validated config are compiled for."""
    return Recipe(
        modules=build_modules(config),
        optimizers=build_optimizers(config),
        objective=build_objective(config),
        ema_decay=config.ema_decay,
        skip_nonfinite=config.on_nonfinite == "skip",
        remat=config.remat,
        microbatches=config.microbatches,
        steps_per_call=config.steps_per_call,
    )


def create_state(config: Config, recipe: Recipe, seed: int | jax.Array) -> TrainState:
    """Returns the state before the first step.

    Args:
      config: validated; its own seed is not read.
      recipe: of `config`.
      seed: of the run.
    """
    params = init_params(config, recipe.modules, seed)
    pools = None
    if config.history_size:
        shape = (config.image_size, config.image_size, 1)
        pools = {domain: ImagePool.empty(config.history_size, shape) for domain in DOMAINS}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.int32),
        params=params,
        opt_state=recipe.optimizers.map(lambda o, p: o.init(p), params),
        ema=params.only_generators() if config.ema_decay else None,
        pools=pools,
    )
