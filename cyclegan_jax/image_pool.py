"""The pool of generated images that the discriminators see, as a pure pytree.

Shrivastava et al. 2017, section 2.3 (https://arxiv.org/abs/1612.07828), as CycleGAN uses it: until
the pool is full, every fake is stored and returned; then each fake is, with probability 1/2,
swapped for a random stored one.
"""

import flax.struct
import jax
import jax.numpy as jnp


class ImagePool(flax.struct.PyTreeNode):
    """Images `[size, H, W, 1]`, of which the first `count` (scalar int32) are filled."""

    images: jax.Array
    count: jax.Array

    @classmethod
    def empty(cls, size: int, image_shape: tuple[int, int, int]) -> "ImagePool":
        """Returns a pool with room for `size` images of `image_shape` `[H, W, 1]`, none stored."""
        return cls(jnp.zeros((size, *image_shape), jnp.float32), jnp.zeros((), jnp.int32))


def query(pool: ImagePool, fakes: jax.Array, key: jax.Array) -> tuple[ImagePool, jax.Array]:
    """Offers `fakes` to the pool one by one, and returns what the discriminator shall see.

    Args:
      pool: as it is before this batch.
      fakes: `[B, H, W, 1]` generated images in [-1, 1].
      key: the choice of image i depends on `key` and i only, not on the batch's size.

    Returns:
      The new pool, and images of the shape of `fakes`.
    """
    size = pool.images.shape[0]

    def offer(pool: ImagePool, item):
        fake, index = item
        key_swap, key_slot = jax.random.split(jax.random.fold_in(key, index))
        filling = pool.count < size
        slot = jnp.where(filling, pool.count, jax.random.randint(key_slot, (), 0, size))
        swap = ~filling & jax.random.bernoulli(key_swap)
        stored = pool.images[slot]
        images = pool.images.at[slot].set(jnp.where(filling | swap, fake, stored))
        return ImagePool(images, pool.count + filling), jnp.where(swap, stored, fake)

    return jax.lax.scan(offer, pool, (fakes, jnp.arange(fakes.shape[0])))
