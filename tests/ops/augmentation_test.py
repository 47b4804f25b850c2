"""Images that are changed on the device equal those that are changed on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.data.augmentation import Augmentation, augmented, random_changes
from cyclegan_jax.data.frames import normalised
from cyclegan_jax.ops import augmentation

PLAIN = Augmentation(views=1, flip=False, contrast=0.0, shift=0)
SHIFT = Augmentation(views=1, flip=False, contrast=0.0, shift=5)
FLIP = Augmentation(views=1, flip=True, contrast=0.0, shift=0)
CONTRAST = Augmentation(views=1, flip=False, contrast=0.5, shift=0)
BOTH = Augmentation(views=1, flip=True, contrast=0.0, shift=5)
ALL = Augmentation(views=1, flip=True, contrast=0.5, shift=5)
FAR = Augmentation(views=1, flip=True, contrast=0.0, shift=40)  # most images leave the frame
FOUR = Augmentation(views=4, flip=True, contrast=0.5, shift=5)
EVERY = {"plain": PLAIN, "shift": SHIFT, "flip": FLIP, "contrast": CONTRAST, "both": BOTH}
EVERY |= {"all": ALL, "far": FAR, "four": FOUR}
ROUNDING = 5e-7  # of numbers up to 1


def stored(count, dtype, size=24):
    """Random frames, with air, the brightest value and every value between."""
    frames = np.random.default_rng(0).integers(0, 2**16, (count, size, size)).astype(np.uint16)
    frames[:, :3], frames[:, 3:5] = 0, 2**16 - 1
    return frames if dtype == "uint16" else normalised(frames)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_the_device_makes_the_changes_of_the_host(name, dtype):
    a, frames = EVERY[name], stored(40, dtype)
    host = np.concatenate(
        [augmented(normalised(f), a, np.random.default_rng(i)) for i, f in enumerate(frames)]
    )
    changes = np.concatenate([random_changes(a, np.random.default_rng(i)) for i in range(40)])
    images = np.repeat(frames, a.views, axis=0)[..., None]
    device = np.asarray(jax.jit(augmentation.changed)(images, changes))[..., 0]
    assert device.dtype == np.float32
    assert np.abs(device).max() <= 1
    np.testing.assert_allclose(device, host, rtol=0, atol=ROUNDING)
    if not a.contrast and dtype == "float32":  # pixels that only move stay what they are
        np.testing.assert_array_equal(device, host)


def test_both_domains_are_changed_and_a_batch_without_changes_stays():
    x, y = stored(4, "uint16"), stored(4, "uint16")[::-1]
    drawn = [random_changes(ALL, np.random.default_rng(i)) for i in range(8)]
    batch = {"x": x[..., None], "y": y[..., None]}
    batch |= {"x_changes": np.concatenate(drawn[:4]), "y_changes": np.concatenate(drawn[4:])}
    made = augmentation.images_of({name: jnp.asarray(values) for name, values in batch.items()})
    assert made.keys() == {"x", "y"}
    for images, seeds, domain in ((x, range(4), "x"), (y, range(4, 8), "y")):
        for image, seed, ours in zip(images, seeds, made[domain], strict=True):
            (wanted,) = augmented(normalised(image), ALL, np.random.default_rng(seed))
            np.testing.assert_allclose(ours[..., 0], wanted, rtol=0, atol=ROUNDING)
    assert augmentation.images_of(made) is made


def test_moving_pixels_is_exact_whatever_the_precision_of_the_step():
    changes = np.concatenate([random_changes(BOTH, np.random.default_rng(i)) for i in range(4)])
    lowered = jax.jit(augmentation.changed).lower(stored(4, "uint16")[..., None], changes)
    products = [line for line in lowered.as_text().split("\n") if "dot_general" in line]
    assert len(products) == augmentation.PRODUCTS
    assert all("HIGHEST, HIGHEST" in line and "bf16" not in line for line in products)
