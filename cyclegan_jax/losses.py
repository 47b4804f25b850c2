"""The loss terms of CycleGAN, each a mean over all elements, and their weighted sums.

Zhu et al. 2017, https://arxiv.org/abs/1703.10593: equation 1 (adversarial), equation 2 (cycle
consistency), section 5.2 (identity), section 4 (half weight of the discriminators' loss).

A new term of the generators' loss is an entry of `generator_terms` and its weight is
`config.loss.<kind>_weight`; docs/extending.md shows it.
"""

import dataclasses
import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cyclegan_jax.config import CHOICES, Config, computed_terms, start_steps
from cyclegan_jax.models.networks import Networks, Recomputed, apply_network, apply_to_both
from cyclegan_jax.polarity import reversed_onto
from cyclegan_jax.structure import structural_difference

Images = Mapping[str, jax.Array]  # by the names of the package's docstring: real_x, fake_y, ...
Terms = dict[str, dict[str, jax.Array]]  # {kind: {network or domain: scalar}}
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
    """The choice of the losses, which a step is compiled for.

    Attributes:
      adversarial: "bce" (cross entropy of the logits) or "lsgan" (mean squared distance; Mao et
        al. 2017).
      terms: the kinds of weighted terms that are computed, for example "cycle" and "identity".
      start_steps: after so many steps the weight of the term "start" has fallen to 0.
    """

    adversarial: str
    terms: tuple[str, ...]
    start_steps: int

    def weights_at(
        self, step: jax.Array, weights: Mapping[str, jax.Array]
    ) -> Mapping[str, jax.Array]:
        """Returns the weights of the terms at a step: all are constant but that of "start"."""
        if "start" not in self.terms:
            return weights
        left = jnp.clip(1 - step / self.start_steps, 0, 1)
        return {**weights, "start": left * weights["start"]}


def build_objective(config: Config) -> Objective:
    """Returns the objective of a validated config."""
    return Objective(config.loss.adversarial, computed_terms(config), start_steps(config))


def generator_terms(images: Images, judged: Images, objective: Objective) -> Terms:
    """Returns every term of the generators' loss, unweighted.

    Args:
      images: `[B, H, W, 1]` in [-1, 1], by the names `real_x`, `fake_y`, `cycled_x`, ...; `same_x`
        and `same_y` only for an objective with the term "identity".
      judged: the discriminators' raw outputs `[B, h, w, 1]` for `fake_x` and `fake_y`.
      objective: which terms are wanted.

    Returns:
      `{kind: {part: scalar}}`. The weight of "adversarial" is 1, that of every other kind is in
      `config.loss_weights`.
    """
    terms: Terms = {
        "adversarial": {
            "g": adversarial_loss(objective.adversarial, judged["fake_y"]),
            "f": adversarial_loss(objective.adversarial, judged["fake_x"]),
        },
        "cycle": {
            "x": mean_absolute_error(images["cycled_x"], images["real_x"]),
            "y": mean_absolute_error(images["cycled_y"], images["real_y"]),
        },
    }
    if "structure" in objective.terms:
        terms["structure"] = {
            "g": structural_difference(images["real_x"], images["fake_y"]),
            "f": structural_difference(images["real_y"], images["fake_x"]),
        }
    if "start" in objective.terms:
        x, y = images["real_x"], images["real_y"]
        terms["start"] = {
            "g": mean_absolute_error(images["fake_y"], reversed_onto(x, y)),
            "f": mean_absolute_error(images["fake_x"], reversed_onto(y, x)),
        }
    if "identity" in objective.terms:
        terms["identity"] = {
            "x": mean_absolute_error(images["same_x"], images["real_x"]),
            "y": mean_absolute_error(images["same_y"], images["real_y"]),
        }
    return terms


def generator_loss(
    generators: tuple[Any, Any],
    discriminators: Networks,
    batch: Images,
    modules: Networks,
    objective: Objective,
    weights: Mapping[str, jax.Array],
    remat: bool = False,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Metrics]]:
    """Returns the weighted sum of both generators' terms. Its gradient serves both at once.

    G's gradient of the sum equals that of G's own total, since F's adversarial and identity terms
    do not depend on G (and conversely), and both generators share the cycle terms. Without the
    term "identity" its passes are saved, a third of the generators' work.

    Args:
      generators: parameters of G and F.
      discriminators: parameters; only those of the discriminators are used.
      batch: `{"x": [B, H, W, 1], "y": [B, H, W, 1]}` in [-1, 1].
      modules: the four networks.
      objective: which terms are computed, and how.
      weights: a scalar for each kind of weighted term.
      remat: whether the generators' inner maps are computed again for the backward pass.

    Returns:
      The scalar sum, and (`{"x": fake_x, "y": fake_y}`, every unweighted term and the total).
    """
    g, f = generators
    module_g, module_f = modules.generator_g, modules.generator_f
    if remat:
        module_g, module_f = Recomputed(module_g), Recomputed(module_f)
    x, y = batch["x"], batch["y"]
    images = {"real_x": x, "real_y": y}
    if "identity" in objective.terms:
        images["fake_y"], images["same_y"] = apply_to_both(module_g, g, x, y)
    else:
        images["fake_y"] = apply_network(module_g, g, x)
    if remat:
        # In the backward pass G computes these maps again when F has finished with its own.
        f, images["fake_y"] = jax.lax.optimization_barrier((f, images["fake_y"]))
    if "identity" in objective.terms:
        images["fake_x"], images["same_x"] = apply_to_both(module_f, f, y, x)
    else:
        images["fake_x"] = apply_network(module_f, f, y)
    fake_x, fake_y = images["fake_x"], images["fake_y"]
    images["cycled_x"] = apply_network(module_f, f, fake_y)
    images["cycled_y"] = apply_network(module_g, g, fake_x)
    judged = {
        "fake_y": apply_network(modules.discriminator_y, discriminators.discriminator_y, fake_y),
        "fake_x": apply_network(modules.discriminator_x, discriminators.discriminator_x, fake_x),
    }
    terms = generator_terms(images, judged, objective)
    total = _summed(terms["adversarial"])
    for kind in objective.terms:
        total += weights[kind] * _summed(terms[kind])
    named = {f"{kind}_{part}": v for kind, parts in terms.items() for part, v in parts.items()}
    return total, ({"x": fake_x, "y": fake_y}, named | {"generators_total": total})


def discriminator_loss(
    discriminators: tuple[Any, Any],
    batch: Images,
    fakes: Images,
    modules: Networks,
    objective: Objective,
) -> tuple[jax.Array, Metrics]:
    """Returns the sum of both discriminators' losses, and each of them as a metric.

    Args:
      discriminators: parameters of D_X and D_Y.
      batch: `{"x", "y"}` real images `[B, H, W, 1]` in [-1, 1].
      fakes: generated images of the same shapes, which carry no gradient.
      modules: the four networks.
      objective: the kind of the adversarial loss.
    """
    metrics = {}
    for domain, params in zip("xy", discriminators, strict=True):
        name = f"discriminator_{domain}"
        module = getattr(modules, name)
        real, fake = apply_to_both(module, params, batch[domain], fakes[domain])
        metrics[name] = real_or_fake_loss(objective.adversarial, real, fake)
    return metrics["discriminator_x"] + metrics["discriminator_y"], metrics


def adversarial_loss(kind: str, fake_logits: jax.Array) -> jax.Array:
    """Returns how far a discriminator is from taking fakes for real; scalar.

    Args:
      kind: "bce" or "lsgan", see `Objective`.
      fake_logits: raw discriminator output `[B, h, w, 1]` for generated images.
    """
    return _distance(kind, fake_logits, 1.0)


def real_or_fake_loss(kind: str, real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Returns half the sum of the distances of real logits to 1 and of fake logits to 0; scalar.

    Args:
      kind: "bce" or "lsgan", see `Objective`.
      real_logits: raw discriminator output `[B, h, w, 1]` for real images.
      fake_logits: the same for generated images.
    """
    return 0.5 * (_distance(kind, real_logits, 1.0) + _distance(kind, fake_logits, 0.0))


def mean_absolute_error(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the mean of |a - b|, the distance of the cycle and the identity terms; scalar.

    Args:
      a: images `[B, H, W, 1]` in [-1, 1].
      b: images of the same shape.
    """
    return jnp.abs(a - b).mean()


def _summed(parts: Mapping[str, jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, parts.values())


def _distance(kind: str, logits: jax.Array, target: float) -> jax.Array:
    if kind == "bce":
        labels = jnp.full_like(logits, target)
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()
    if kind == "lsgan":
        return jnp.square(logits - target).mean()
    raise ValueError(f"adversarial must be one of {CHOICES['loss.adversarial']}, not {kind!r}")
