"""Changes training images on the device, as `data.augmentation` does on the host.

The random numbers come from the host, beside the images, so they are the same in both places.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax.data.augmentation import CHANGES
from cyclegan_jax.data.framing import AIR
from cyclegan_jax.data.intensity import full_range
from cyclegan_jax.domains import DOMAINS

PRODUCTS = 2  # matrix products that `images_of` adds to a program


def images_of(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the images of a batch as the networks see them: the changes beside them are made.

    Args:
      batch: of one step, see `data.batches.unpaired_batches`.

    Returns:
      `{"x", "y"}` float32 `[B, H, W, 1]`; the images as they are if there are no changes.
    """
    if batch.keys() == set(DOMAINS):
        return batch
    images, changes = (
        jnp.concatenate([batch[domain + suffix] for domain in DOMAINS]) for suffix in ("", CHANGES)
    )
    made = changed(images, changes)
    return dict(zip(DOMAINS, jnp.split(made, len(DOMAINS)), strict=True))


def changed(images: jax.Array, changes: jax.Array) -> jax.Array:
    """Returns images that are shifted, changed in contrast and mirrored, in this order.

    They equal those of the host within rounding.

    Args:
      images: `[B, H, W, 1]`, uint16 as stored or float32 in [-1, 1].
      changes: float32 `[B, 1, 1, 4]`, see `data.augmentation.random_changes`.

    Returns:
      float32 `[B, H, W, 1]` in [-1, 1].
    """
    down, right, gamma, mirrored = jnp.split(changes, 4, axis=-1)
    image = _moved(_normalised(images), down, right, mirrored > 0)
    curve = 2 * ((image + 1) / 2) ** gamma - 1
    return jnp.where(gamma == 1, image, curve)


def _normalised(images: jax.Array) -> jax.Array:
    if images.dtype != np.uint16:
        return images
    low, high = full_range(np.uint16)
    return jnp.clip((images.astype(np.float32) - low) * (2 / (high - low)) - 1, -1, 1)


def _moved(image: jax.Array, down: jax.Array, right: jax.Array, mirrored: jax.Array) -> jax.Array:
    """Shifts by whole pixels, fills with air, and mirrors left and right.

    Each image is a product with two matrices that have a single 1 in a row. That is exact if the
    products are, and an accelerator is good at it; to look up pixels it is not.
    """
    height, width = image.shape[1:3]
    down, right, mirrored = (a[..., 0] for a in (down, right, mirrored))
    place = functools.partial(jax.lax.broadcasted_iota, np.float32)
    # of each row and column of the result, where in the image it is
    row = place((1, height, 1), 1) - down
    column = place((1, 1, width), 2)
    column = jnp.where(mirrored, width - 1 - column, column) - right
    rows = row == place((1, 1, height), 2)
    columns = column == place((1, width, 1), 1)
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    moved = product(product(rows.astype(np.float32), image[..., 0]), columns.astype(np.float32))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return jnp.where(inside, moved, AIR)[..., None]
