"""The start that decides which tissue is bright: one contrast with its intensities reversed.

A CycleGAN may keep the polarity of its source, so that fluid is dark in a "T2": cycles do not show
it, and a run that has begun so stays so. What is bright in T1 is dark in T2 for the tissues of the
brain, so a generator that first learns to reverse intensities begins on the right side.
"""

import jax
import jax.numpy as jnp

from cyclegan_jax.data.intensity import HEAD

_LEVELS = 65  # quantiles of the intensities of a head


def reversed_onto(images: jax.Array, others: jax.Array) -> jax.Array:
    """Returns images whose brightest head pixels are as dark as the darkest of the other's head.

    This is histogram specification (Gonzalez and Woods, Digital Image Processing, section 3.3) with
    the order reversed: the quantile q of the head of an image becomes the quantile 1 - q of the
    head of its counterpart. Air stays as it is. The two need not show the same anatomy.

    Args:
      images: `[B, H, W, 1]` in [-1, 1].
      others: the same shape, in the other contrast.

    Returns:
      `[B, H, W, 1]` in [-1, 1]. An image stays as it is if one of the two has no head.
    """
    levels = jnp.linspace(0.0, 1.0, _LEVELS)

    def one(image: jax.Array, other: jax.Array) -> jax.Array:
        own, wanted = (
            jnp.nanquantile(jnp.where(values > HEAD, values, jnp.nan), levels)
            for values in (image, other)
        )
        made = jnp.interp(1 - jnp.interp(image, own, levels), levels, wanted)
        return jnp.where((image > HEAD) & jnp.isfinite(made), made, image)

    return jax.vmap(one)(images, others)
