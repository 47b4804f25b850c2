"""A distance of two images of one anatomy that does not see their contrast.

The descriptor is MIND, Heinrich et al. 2012, https://doi.org/10.1016/j.media.2012.05.008: it says
of each pixel which of its neighbours look like it. Edges and textures change it; which tissue is
bright does not. Yang et al. 2020, https://doi.org/10.1109/TMI.2020.3015379, keep the anatomy of a
CycleGAN with it.
"""

import jax
import jax.numpy as jnp

NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
_PATCH = 3  # pixels on a side, compared around each pixel and around its neighbour
# Squared distances of patches below this are noise: its root is 0.8 % of the range of the images.
_NOISE = 2.5e-4


def structural_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the mean absolute difference of the descriptors of two images; scalar in [0, 1].

    Args:
      a: images `[B, H, W, 1]` in [-1, 1].
      b: images of the same shape.
    """
    return jnp.abs(mind(a) - mind(b)).mean()


def mind(images: jax.Array) -> jax.Array:
    """Returns the modality independent neighbourhood descriptor of each pixel, in (0, 1].

    Entry r is `exp(-D(p, p + r) / V(p))`, Heinrich et al. 2012, equation 1. D is the mean squared
    difference of the patches around p and p + r, and V(p) the mean of D over all r. A neighbour
    outside the image is its nearest pixel inside.

    Args:
      images: `[B, H, W, 1]` in [-1, 1].

    Returns:
      `[B, H, W, R]`, an entry for each of `NEIGHBOURS`.
    """
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    neighbours = [
        padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        for down, right in NEIGHBOURS
    ]
    distances = jnp.concatenate([_patch_mean(jnp.square(images - n)) for n in neighbours], -1)
    variance = jnp.maximum(distances.mean(-1, keepdims=True), _NOISE)
    return jnp.exp(-distances / variance)


def _patch_mean(images: jax.Array) -> jax.Array:
    window = (1, _PATCH, _PATCH, 1)
    sums = jax.lax.reduce_window(images, 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME")
    return sums / _PATCH**2
