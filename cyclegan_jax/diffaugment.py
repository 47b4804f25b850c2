"""Differentiable augmentation (Zhao et al. 2020)."""

import jax
import jax.numpy as jnp


def augment(images: jax.Array, key: jax.Array, kinds: str) -> jax.Array:
    """Images [B, H, W, 1] as the discriminator sees them; each image by draws of its own."""
    if not kinds:
        return images
    b, h, w, _ = images.shape
    keys = jax.random.split(key, 8)
    if "color" in kinds:
        # air stays: contrast about -1
        gain = jax.random.uniform(keys[0], (b, 1, 1, 1), minval=0.7, maxval=1.3)
        images = (images + 1) * gain - 1
    if "translation" in kinds:
        shift = jax.random.randint(keys[2], (b, 2), -h // 8, h // 8 + 1)
        pad = h // 8
        padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=-1.0)
        images = jax.vmap(
            lambda i, s: jax.lax.dynamic_slice(i, (s[0] + pad, s[1] + pad, 0), (h, w, 1))
        )(padded, shift)
    if "cutout" in kinds:
        size = h // 2
        at = jax.random.randint(keys[3], (b, 2, 1, 1, 1), 0, h)
        rows = jnp.arange(h)[None, :, None, None]
        cols = jnp.arange(w)[None, None, :, None]
        hole = (abs(rows - at[:, 0]) < size // 2) & (abs(cols - at[:, 1]) < size // 2)
        images = jnp.where(hole, -1.0, images)
    return images
