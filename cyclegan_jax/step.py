"""The steps that train, sample and translate: pure functions. The room `parallel` compiles them."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from cyclegan_jax.averaging import average_generators
from cyclegan_jax.domains import DOMAINS
from cyclegan_jax.image_pool import ImagePool, query
from cyclegan_jax.losses import Metrics, discriminator_loss, generator_loss
from cyclegan_jax.models.networks import Networks, apply_network, apply_to_both
from cyclegan_jax.ops.augmentation import images_of
from cyclegan_jax.optimizer import Hyperparameters, at_step, update_networks
from cyclegan_jax.state import Recipe, TrainState

Batch = dict[str, jax.Array]
Pools = dict[str, ImagePool]

_T = TypeVar("_T")

GRADIENT = "gradient_"  # before a network's name: the metric that is the norm of its gradient


def train_steps(
    state: TrainState,
    batches: Batch,
    hyper: Hyperparameters,
    recipe: Recipe,
    *,
    axis_name: str | None = None,
) -> tuple[TrainState, Metrics]:
    """Does the steps of one call: one, or `recipe.steps_per_call` without returning to the host.

    Args:
      state: before the first step.
      batches: of one step, as `train_step` takes it; of several steps `[K, B, H, W, 1]`.
      hyper: of every step.
      recipe: of every step.
      axis_name: of every step.

    Returns:
      The state after the last step, and the metrics; of several steps each is `[K]`.
    """
    if recipe.steps_per_call == 1:
        return train_step(state, batches, hyper, recipe, axis_name=axis_name)
    return jax.lax.scan(
        lambda state, batch: train_step(state, batch, hyper, recipe, axis_name=axis_name),
        state,
        batches,
    )


def train_step(
    state: TrainState,
    batch: Batch,
    hyper: Hyperparameters,
    recipe: Recipe,
    *,
    axis_name: str | None = None,
) -> tuple[TrainState, Metrics]:
    """Updates all four networks with gradients taken at the parameters the step started with.

    Args:
      state: before the step.
      batch: `{"x": [B, H, W, 1], "y": [B, H, W, 1]}` float32 in [-1, 1], unpaired; or plain images
        and the changes that the step makes to them (`ops.augmentation`).
      hyper: loss weights and learning rates.
      recipe: modules, optimizers and the kind of the losses.
      axis_name: the axis of devices over which gradients, metrics and the queries of the image
        pools are shared; None when the batch is the whole batch.

    Returns:
      The state after the step, and float32 scalars: every loss term, unweighted, the generators'
      weighted total, and the norm of each network's gradient. Where one of these is not finite and
      the recipe skips such steps, only `step` and the learning rates have changed in the state.
    """
    gradients, metrics, pools = _gradients(state, batch, hyper, recipe, axis_name)
    if axis_name is not None:
        gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    # A finite loss can have an infinite gradient. Without the barrier XLA shares the squares with
    # Adam's, and writes them to memory for that.
    norms = gradients.map(lambda grads: optax.tree.norm(jax.lax.optimization_barrier(grads)))
    metrics |= {GRADIENT + name: norm for name, norm in vars(norms).items()}
    # The metrics are those of the whole batch, so every device decides alike.
    finite = jnp.isfinite(jnp.stack(list(metrics.values()))).all()
    # A rate of 0 stops the networks whose gradients are still finite. The rates also wait for every
    # gradient, so that XLA can overwrite the parameters without copying them first.
    rates = hyper.learning_rates.map(lambda rate: jnp.where(finite, rate, 0.0))
    params, opt_state = update_networks(
        recipe.optimizers, gradients, state.opt_state, state.params, rates
    )
    ema = average_generators(state.ema, params, state.step, recipe.ema_decay)
    new = state.replace(params=params, opt_state=opt_state, ema=ema, pools=pools)
    if recipe.skip_nonfinite:
        new = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, state)
        new = new.replace(opt_state=at_step(new.opt_state, state.step + 1))
    return new.replace(step=state.step + 1), metrics


def _gradients(
    state: TrainState, batch: Batch, hyper: Hyperparameters, recipe: Recipe, axis_name: str | None
) -> tuple[Networks, Metrics, Pools | None]:
    """Returns each network's gradient on this device's images, the losses, and the new pools."""
    params, modules, objective = state.params, recipe.modules, recipe.objective
    given, batch = batch, images_of(batch)
    weights = objective.weights_at(state.step, hyper.loss_weights)

    def of_generators(batch: Batch) -> tuple[Any, Batch]:
        generators = (params.generator_g, params.generator_f)
        (_, (fakes, metrics)), gradients = jax.value_and_grad(generator_loss, has_aux=True)(
            generators, params, batch, modules, objective, weights, recipe.remat
        )
        return (gradients, metrics), fakes

    def of_discriminators(images: tuple[Batch, Batch]) -> tuple[Any, None]:
        discriminators = (params.discriminator_x, params.discriminator_y)
        gradients, metrics = jax.grad(discriminator_loss, has_aux=True)(
            discriminators, *images, modules, objective
        )
        return (gradients, metrics), None

    (generators, metrics), fakes = _by_parts(of_generators, batch, recipe.microbatches)
    if batch is not given:
        # Without it XLA for GPUs keeps maps of the discriminators while it computes those of the
        # generators: 0.43 GiB more at 256x256, batch 32.
        batch, fakes, generators = jax.lax.optimization_barrier((batch, fakes, generators))
    key = jax.random.fold_in(jax.random.key(state.seed), state.step)
    pools, pooled = _through_pools(state.pools, fakes, key, axis_name)
    (discriminators, more), _ = _by_parts(of_discriminators, (batch, pooled), recipe.microbatches)
    return Networks(*generators, *discriminators), metrics | more, pools


def _by_parts(function: Callable[[_T], tuple[Any, Any]], images: _T, count: int) -> tuple[Any, Any]:
    """Returns `function(images)`, computed on `count` equal parts of the images in turn.

    Args:
      function: maps images to means over them, and arrays with an entry for each image.
      images: arrays `[B, ...]`, `B` a multiple of `count`.
      count: of the parts.
    """
    if count == 1:
        return function(images)
    parts = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), images)
    like, _ = jax.eval_shape(function, jax.tree.map(lambda a: a[0], parts))

    def add(means: Any, part: _T) -> tuple[Any, Any]:
        of_part, each = function(part)
        return jax.tree.map(lambda mean, m: mean + m / count, means, of_part), each

    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
    means, each = jax.lax.scan(add, zeros, parts)
    return means, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), each)


def translate_step(generator: Any, params: Any, images: jax.Array) -> jax.Array:
    """Returns the other contrast of `images`; both are `[B, H, W, 1]` in [-1, 1]."""
    return apply_network(generator, params, images)


def sample_step(generators: Networks, batch: Batch, recipe: Recipe) -> Batch:
    """Returns every image of both directions: `real_x, fake_y, cycled_x, same_x` and the mirrors.

    Args:
      generators: parameters (averaged or not); its discriminators are not used.
      batch: `{"x", "y"}` `[B, H, W, 1]` in [-1, 1].
      recipe: holds the modules.
    """
    g, f = generators.generator_g, generators.generator_f
    m, x, y = recipe.modules, batch["x"], batch["y"]
    fake_y, same_y = apply_to_both(m.generator_g, g, x, y)
    fake_x, same_x = apply_to_both(m.generator_f, f, y, x)
    return {
        "real_x": x,
        "fake_y": fake_y,
        "cycled_x": translate_step(m.generator_f, f, fake_y),
        "same_x": same_x,
        "real_y": y,
        "fake_x": fake_x,
        "cycled_y": translate_step(m.generator_g, g, fake_x),
        "same_y": same_y,
    }


def _through_pools(
    pools: Pools | None, fakes: Batch, key: jax.Array, axis_name: str | None
) -> tuple[Pools | None, Batch]:
    """Returns the pools after the fakes were offered, and what the discriminators shall see."""
    fakes = jax.lax.stop_gradient(fakes)
    if pools is None:
        return None, fakes
    new, pooled = {}, {}
    for index, domain in enumerate(DOMAINS):
        images, domain_key = fakes[domain], jax.random.fold_in(key, index)
        if axis_name is None:
            new[domain], pooled[domain] = query(pools[domain], images, domain_key)
            continue
        # The pool is one and the same on every device, so all devices offer the whole batch with
        # the same key and each keeps its own part of the answer.
        everyone = jax.lax.all_gather(images, axis_name, tiled=True)
        new[domain], answer = query(pools[domain], everyone, domain_key)
        start = jax.lax.axis_index(axis_name) * images.shape[0]
        pooled[domain] = jax.lax.dynamic_slice_in_dim(answer, start, images.shape[0])
    return new, pooled
