"""Refines trained generators by back-translation, without pairs and without discriminators.

A trained G, whose weights are fixed, makes a T2 scan of a real T1 scan, and F learns to make the
real T1 scan of it; and conversely. So each generator learns from inputs that are nearly right and
targets that are real. Sennrich et al. 2016 (https://arxiv.org/abs/1511.06709) do so with sentences.
It is the cycle term of the CycleGAN without the gradient through the first of its translations: G
cannot hide in its output what F needs. Several models translate in turn. docs/experiments.md has
what it brings, and that G must not change meanwhile.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax import InputError
from cyclegan_jax.config import Config
from cyclegan_jax.data import from_config
from cyclegan_jax.data.batches import read_ahead
from cyclegan_jax.data.dataset import Dataset
from cyclegan_jax.data.intensity import HEAD
from cyclegan_jax.losses import mean_absolute_error
from cyclegan_jax.models.networks import Networks, apply_network
from cyclegan_jax.ops.augmentation import images_of
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.parallel.jax_settings import with_precision
from cyclegan_jax.state import build_recipe
from cyclegan_jax.step import Batch
from cyclegan_jax.training.train import progress_bar, show_loss

# The sd of the noise on the head of a translation that is translated back, in units of [-1, 1]. It
# covers the fine traces of its source that a translation keeps.
NOISE = 0.05
_SHOWN_EVERY = 50  # steps


def refine(
    config: Config, dataset: Dataset, models: Sequence[Networks], steps: int
) -> tuple[Networks, list[float]]:
    """Returns refined generators.

    Args:
      config: of the first model. Its options of the data, the batch size, the learning rate of the
        generators (which falls linearly to 0) and the seed are used.
      dataset: whose training images are used.
      models: parameters of trained generators. The first one is refined. All of them translate, one
        after the other from step to step, and none of them changes.
      steps: how many.

    Returns:
      The parameters of G and F on the host, and the mean loss of each `_SHOWN_EVERY` steps, the sum
      of both generators' mean absolute errors.

    Raises:
      InputError: the batch cannot be split over the devices, the data set has no training images,
        or a loss is not finite.
    """
    parallel = Parallel("jit")
    parallel.check_batch_size(config.batch_size)
    modules = build_recipe(config).modules
    rate = optax.linear_schedule(config.optimizer.generator_learning_rate, 0.0, steps)
    optimizer = optax.adam(rate, b1=config.optimizer.b1, b2=config.optimizer.b2)
    step = functools.partial(_step, modules=modules, optimizer=optimizer)
    step = jax.jit(with_precision(step, config.matmul_precision), donate_argnums=(0, 1))
    fixed = [parallel.place_state(model) for model in models]
    # an array of its own, since a step overwrites it
    params: Any = jax.tree.map(jnp.copy, fixed[0])
    opt_state = optimizer.init(params)
    key = jax.random.key(config.seed)
    batches = read_ahead(from_config.training_batches(config, dataset), 0, config.data.workers)
    losses: list[float] = []
    recent = []
    with progress_bar(0, steps) as bar:
        for number in range(steps):
            batch = parallel.place_batch(next(batches))
            of_step = jax.random.fold_in(key, number)
            model = fixed[number % len(fixed)]
            params, opt_state, loss = step(params, opt_state, model, batch, of_step)
            recent.append(loss)
            if len(recent) == _SHOWN_EVERY or number + 1 == steps:
                losses.append(_mean(recent, number + 1))
                recent = []
                show_loss(bar, losses[-1])
            bar.update()
    return jax.device_get(params), losses


def _step(
    params: Any,
    opt_state: Any,
    fixed: Networks,
    batch: Batch,
    key: jax.Array,
    modules: Networks,
    optimizer: optax.GradientTransformation,
) -> tuple[Any, Any, jax.Array]:
    """Returns the parameters and the state of Adam after a step, and the loss before it."""
    batch = images_of(batch)
    x, y = batch["x"], batch["y"]
    keys = jax.random.split(key)
    fake_y = _with_noise(apply_network(modules.generator_g, fixed.generator_g, x), keys[0])
    fake_x = _with_noise(apply_network(modules.generator_f, fixed.generator_f, y), keys[1])

    def loss_of(params: Any) -> jax.Array:
        back_x = apply_network(modules.generator_f, params.generator_f, fake_y)
        back_y = apply_network(modules.generator_g, params.generator_g, fake_x)
        return mean_absolute_error(back_x, x) + mean_absolute_error(back_y, y)

    loss, gradients = jax.value_and_grad(loss_of)(params)
    updates, opt_state = optimizer.update(gradients, opt_state)
    return optax.apply_updates(params, updates), opt_state, loss


def _with_noise(images: jax.Array, key: jax.Array) -> jax.Array:
    noisy = images + NOISE * jax.random.normal(key, images.shape, images.dtype)
    return jnp.where(images > HEAD, noisy, images)


def _mean(losses: Sequence[jax.Array], step: int) -> float:
    mean = float(np.mean(jax.device_get(losses)))
    if not np.isfinite(mean):
        raise InputError(
            f"a loss is not finite before step {step}; use a lower learning rate: train with a "
            "lower config.optimizer.generator_learning_rate, and refine that model"
        )
    return mean
