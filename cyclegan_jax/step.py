"""The training, sampling and translation steps: pure functions, compiled by `parallel.py`.

Instance norm treats every image alone, so calls of the same network on different images merge into
one call on the concatenated batch: G sees `[real_x, real_y]` at once, D_X sees `[real_x, fake_x]`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cyclegan_jax import losses
from cyclegan_jax.image_pool import ImageHistory, query
from cyclegan_jax.state import Hyperparameters, Networks, Recipe, TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]

GRADIENT = "gradient_"  # before a network's name: the metric that is the norm of its gradient


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
      batch: `{"x": [B, H, W, 1], "y": [B, H, W, 1]}` float32 in [-1, 1], unpaired.
      hyper: loss weights and learning rates.
      recipe: modules and optimizers.
      axis_name: under `pmap`, the axis over which gradients, metrics and the history's queries are
        shared; None when the batch is the whole batch.

    Returns:
      The state after the step, and float32 scalars: every loss term, unweighted, the generators'
      weighted total, and the norm of each network's gradient. Where one of these is not finite and
      the recipe skips such steps, only `step` has changed in the state.
    """
    (_, (fakes, terms)), grads = jax.value_and_grad(generator_loss, has_aux=True)(
        (state.params.generator_g, state.params.generator_f), state.params, batch, hyper, recipe
    )
    key = jax.random.fold_in(jax.random.key(state.seed), state.step)
    history, shown = _through_history(state.history, fakes, key, axis_name)
    discriminator_grads, discriminator_terms = jax.grad(discriminator_loss, has_aux=True)(
        (state.params.discriminator_x, state.params.discriminator_y), batch, shown, recipe
    )
    gradients, metrics = Networks(*grads, *discriminator_grads), terms | discriminator_terms
    if axis_name is not None:
        gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    # A finite loss can have an infinite gradient. Without the barrier XLA shares the squares with
    # Adam's, and writes them to memory for that.
    norms = gradients.map(lambda grads: optax.tree.norm(jax.lax.optimization_barrier(grads)))
    metrics |= {GRADIENT + name: norm for name, norm in vars(norms).items()}
    # The metrics are those of the whole batch, so every device decides alike.
    finite = jnp.isfinite(jnp.stack(list(metrics.values()))).all()
    # Beside stopping what is still finite, rates that wait for every gradient let XLA overwrite the
    # parameters, which it would copy first as long as a gradient may still read them.
    rates = hyper.learning_rates.map(lambda rate: jnp.where(finite, rate, 0.0))
    params, opt_state = _update(state, gradients, rates, recipe)
    new = state.replace(
        params=params,
        opt_state=opt_state,
        ema=_averaged(state, params, recipe.ema_decay),
        history=history,
    )
    if recipe.skip_nonfinite:
        new = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, state)
    return new.replace(step=state.step + 1), metrics


def generator_loss(
    generators: tuple[Any, Any],
    params: Networks,
    batch: Batch,
    hyper: Hyperparameters,
    recipe: Recipe,
) -> tuple[jax.Array, tuple[Batch, Metrics]]:
    """The weighted sum of both generators' terms; its gradient serves both at once.

    G's gradient of the sum equals that of G's own total, since F's adversarial and identity terms
    do not depend on G (and conversely), and both generators share the cycle terms. A recipe without
    identity terms saves their passes, a third of the generators' work.

    Returns:
      The scalar sum, and (`{"x": fake_x, "y": fake_y}`, the unweighted terms).
    """
    g, f = generators
    m, x, y = recipe.modules, batch["x"], batch["y"]
    identity = {}
    if recipe.identity:
        fake_y, same_y = _apply_merged(m.generator_g, g, x, y)
        fake_x, same_x = _apply_merged(m.generator_f, f, y, x)
        identity = {
            "identity_x": losses.mean_absolute_error(same_x, x),
            "identity_y": losses.mean_absolute_error(same_y, y),
        }
    else:
        fake_y = _apply(m.generator_g, g, x)
        fake_x = _apply(m.generator_f, f, y)
    cycled_x = _apply(m.generator_f, f, fake_y)
    cycled_y = _apply(m.generator_g, g, fake_x)
    judged_y = _apply(m.discriminator_y, params.discriminator_y, fake_y)
    judged_x = _apply(m.discriminator_x, params.discriminator_x, fake_x)
    terms = {
        "adversarial_g": losses.generator_adversarial(recipe.adversarial, judged_y),
        "adversarial_f": losses.generator_adversarial(recipe.adversarial, judged_x),
        "cycle_x": losses.mean_absolute_error(cycled_x, x),
        "cycle_y": losses.mean_absolute_error(cycled_y, y),
    } | identity
    total = (
        terms["adversarial_g"]
        + terms["adversarial_f"]
        + hyper.cycle_weight * (terms["cycle_x"] + terms["cycle_y"])
        + hyper.identity_weight * sum(identity.values())
    )
    return total, ({"x": fake_x, "y": fake_y}, terms | {"generators_total": total})


def discriminator_loss(
    discriminators: tuple[Any, Any], batch: Batch, fakes: Batch, recipe: Recipe
) -> tuple[jax.Array, Metrics]:
    """The sum of both discriminators' losses on real images and on `fakes`, and its two terms."""
    terms = {}
    for domain, module, params in zip(
        "xy",
        (recipe.modules.discriminator_x, recipe.modules.discriminator_y),
        discriminators,
        strict=True,
    ):
        real, fake = _apply_merged(module, params, batch[domain], fakes[domain])
        terms[f"discriminator_{domain}"] = losses.discriminator(recipe.adversarial, real, fake)
    return terms["discriminator_x"] + terms["discriminator_y"], terms


def translate_step(generator: Any, params: Any, images: jax.Array) -> jax.Array:
    """The other contrast of `images`, both `[B, H, W, 1]` in [-1, 1]."""
    return _apply(generator, params, images)


def sample_step(generators: Networks, batch: Batch, recipe: Recipe) -> Batch:
    """Every picture of both directions: `real_x, fake_y, cycled_x, same_y` and the mirror image.

    Args:
      generators: parameters (averaged or not); its discriminators are not used.
      batch: `{"x", "y"}` `[B, H, W, 1]` in [-1, 1].
      recipe: holds the modules.
    """
    g, f = generators.generator_g, generators.generator_f
    m, x, y = recipe.modules, batch["x"], batch["y"]
    fake_y, same_y = _apply_merged(m.generator_g, g, x, y)
    fake_x, same_x = _apply_merged(m.generator_f, f, y, x)
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


@functools.partial(jax.jit, static_argnums=0)
def _apply(module: Any, params: Any, images: jax.Array) -> jax.Array:
    # Compiled, so that both networks of a kind are traced, differentiated and lowered as one.
    return module.apply({"params": params}, images)


def _apply_merged(module: Any, params: Any, a: jax.Array, b: jax.Array) -> list[jax.Array]:
    return jnp.split(_apply(module, params, jnp.concatenate([a, b])), 2)


def _through_history(
    history: dict[str, ImageHistory] | None, fakes: Batch, key: jax.Array, axis_name: str | None
) -> tuple[dict[str, ImageHistory] | None, Batch]:
    fakes = jax.lax.stop_gradient(fakes)
    if history is None:
        return None, fakes
    new, shown = {}, {}
    for index, domain in enumerate("xy"):
        images, domain_key = fakes[domain], jax.random.fold_in(key, index)
        if axis_name is None:
            new[domain], shown[domain] = query(history[domain], images, domain_key)
            continue
        # The history is one and the same on every device, so all devices offer the whole batch
        # with the same key and each keeps its own part of the answer.
        everyone = jax.lax.all_gather(images, axis_name, tiled=True)
        new[domain], answer = query(history[domain], everyone, domain_key)
        start = jax.lax.axis_index(axis_name) * images.shape[0]
        shown[domain] = jax.lax.dynamic_slice_in_dim(answer, start, images.shape[0])
    return new, shown


def _update(
    state: TrainState, gradients: Networks, rates: Networks, recipe: Recipe
) -> tuple[Networks, Networks]:
    def update(optimizer, grads, opt_state, params, rate):
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, optax.tree.scale(rate, updates)), opt_state

    updated = recipe.optimizers.map(update, gradients, state.opt_state, state.params, rates)
    return updated.map(lambda pair: pair[0]), updated.map(lambda pair: pair[1])


def _averaged(state: TrainState, params: Networks, decay: float) -> Networks | None:
    if state.ema is None:
        return None
    # A young average follows closely, so that the random start is soon forgotten.
    step = state.step.astype(jnp.float32)
    weight = 1.0 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return params.replace(discriminator_x=None, discriminator_y=None).map(
        lambda new, old: optax.incremental_update(new, old, weight), state.ema
    )
