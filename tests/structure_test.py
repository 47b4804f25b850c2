"""The structural distance: what changes it, and what does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.data.phantom.head import make_phantom
from cyclegan_jax.structure import NEIGHBOURS, mind, structural_difference


@pytest.fixture(scope="module")
def head():
    """A head in both contrasts, `[1, 64, 64, 1]` in [-1, 1], without noise."""
    made = make_phantom(3, size=64, slices=5, lesions=False, noise=0.0, bias=0.0)
    return [
        jnp.asarray(volume[2] / volume[2].max() * 2 - 1)[None, ..., None]
        for volume in (made.t1, made.t2)
    ]


def test_descriptor_of_a_pixel_by_hand():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 7, 7, 1)).astype(np.float32)
    found = np.asarray(mind(jnp.asarray(image)))[0, 3, 3]

    def patch(row: int, column: int) -> np.ndarray:
        return image[0, row - 1 : row + 2, column - 1 : column + 2, 0]

    distances = np.array([np.mean((patch(3, 3) - patch(3 + r, 3 + c)) ** 2) for r, c in NEIGHBOURS])
    np.testing.assert_allclose(found, np.exp(-distances / distances.mean()), rtol=1e-5)


def test_contrast_is_not_seen_but_edges_are(head):
    t1, t2 = head
    assert structural_difference(t1, -t1) == 0
    brighter = structural_difference(t1, 0.5 * t1 + 0.3)
    other_contrast = structural_difference(t1, t2)
    moved = structural_difference(t1, jnp.roll(t2, 3, axis=2))
    erased = structural_difference(t1, jnp.full_like(t1, 0.1))
    assert brighter < 0.5 * other_contrast < 0.5 * min(moved, erased)


def test_air_and_constants_have_finite_gradients(head):
    t1, _ = head
    air = jnp.full_like(t1, -1.0)
    for a, b in ((t1, air), (air, air)):
        gradient = jax.grad(lambda image, other=a: structural_difference(other, image))(b)
        assert bool(jnp.isfinite(gradient).all())
    assert structural_difference(air, air) == 0
