"""History of generated images for the discriminators, as a pure pytree.

Shrivastava et al. 2017, section 2.3 (https://arxiv.org/abs/1612.07828), in CycleGAN's form: until
the buffer is full every fake is stored and returned; then each fake is, with probability 1/2,
swapped for a random stored one.
"""

import flax.struct
import jax
import jax.numpy as jnp


class ImageHistory(flax.struct.PyTreeNode):
    """Buffer `images` `[size, H, W, 1]` of which the first `count` (scalar int32) are filled."""

    images: jax.Array
    count: jax.Array

    @classmethod
    def empty(cls, size: int, image_shape: tuple[int, int, int]) -> "ImageHistory":
        """A buffer of `size` images of `image_shape` `[H, W, 1]`, with no image stored."""
        return cls(jnp.zeros((size, *image_shape), jnp.float32), jnp.zeros((), jnp.int32))


def query(
    history: ImageHistory, fakes: jax.Array, key: jax.Array
) -> tuple[ImageHistory, jax.Array]:
    """Offers `fakes` one after the other and returns what the discriminator shall see.

    Args:
      history: the buffer before this batch.
      fakes: `[B, H, W, 1]` generated images in [-1, 1].
      key: the choice of image i depends on `key` and i only, not on the batch's size.

    Returns:
      The new buffer, and images of the shape of `fakes`.
    """
    size = history.images.shape[0]

    def offer(history: ImageHistory, item):
        fake, index = item
        key_swap, key_slot = jax.random.split(jax.random.fold_in(key, index))
        filling = history.count < size
        slot = jnp.where(filling, history.count, jax.random.randint(key_slot, (), 0, size))
        swap = ~filling & jax.random.bernoulli(key_swap)
        stored = history.images[slot]
        images = history.images.at[slot].set(jnp.where(filling | swap, fake, stored))
        return ImageHistory(images, history.count + filling), jnp.where(swap, stored, fake)

    return jax.lax.scan(offer, history, (fakes, jnp.arange(fakes.shape[0])))
