"""The four loss terms of CycleGAN, unweighted, each a mean over all elements.

Zhu et al. 2017, https://arxiv.org/abs/1703.10593: equation 1 (adversarial), 2 (cycle
consistency), section 5.2 (identity), section 4 (half weight of the discriminators' loss).
"""

import jax
import jax.numpy as jnp
import optax

ADVERSARIAL = ("bce", "lsgan")


def _distance(kind: str, logits: jax.Array, target: float) -> jax.Array:
    if kind == "bce":
        labels = jnp.full_like(logits, target)
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()
    if kind == "lsgan":  # Mao et al. 2017: raw outputs are drawn to 1 (real) and 0 (fake)
        return jnp.square(logits - target).mean()
    raise ValueError(f"adversarial must be one of {ADVERSARIAL}, not {kind!r}")


def generator_adversarial(kind: str, fake_logits: jax.Array) -> jax.Array:
    """How far the discriminator is from taking the fakes for real; scalar.

    Args:
      kind: "bce" (cross entropy of the logits) or "lsgan" (mean squared distance).
      fake_logits: raw discriminator output `[B, h, w, 1]` on generated images.
    """
    return _distance(kind, fake_logits, 1.0)


def discriminator(kind: str, real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Half the sum of the distances of real logits to 1 and fake logits to 0; scalar.

    Args:
      kind: "bce" or "lsgan".
      real_logits: raw discriminator output `[B, h, w, 1]` on real images.
      fake_logits: the same on generated images.
    """
    return 0.5 * (_distance(kind, real_logits, 1.0) + _distance(kind, fake_logits, 0.0))


def mean_absolute_error(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean |a - b|, the distance of the cycle and the identity terms; scalar.

    Args:
      a: images `[B, H, W, 1]` in [-1, 1].
      b: images of the same shape.
    """
    return jnp.abs(a - b).mean()
