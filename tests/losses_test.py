"""The loss terms against values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax import losses
from cyclegan_jax.config import CHOICES

LOGITS = jnp.array([0.0, 2.0, -1.0, 30.0]).reshape(1, 2, 2, 1)


def test_bce_by_hand():
    # -log sigmoid(z) = log(1 + exp(-z)), for the target 0 with z instead of -z
    real = (np.log(2) + np.log1p(np.exp(-2)) + np.log1p(np.exp(1)) + np.exp(-30)) / 4
    fake = (np.log(2) + np.log1p(np.exp(2)) + np.log1p(np.exp(-1)) + 30) / 4
    assert losses.adversarial_loss("bce", LOGITS) == pytest.approx(real, rel=1e-6)
    both = losses.real_or_fake_loss("bce", LOGITS, LOGITS)
    assert both == pytest.approx((real + fake) / 2, rel=1e-6)


def test_lsgan_by_hand():
    real = (1 + 1 + 4 + 29**2) / 4
    fake = (0 + 4 + 1 + 900) / 4
    assert losses.adversarial_loss("lsgan", LOGITS) == pytest.approx(real, rel=1e-6)
    both = losses.real_or_fake_loss("lsgan", LOGITS, LOGITS)
    assert both == pytest.approx((real + fake) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", CHOICES["loss.adversarial"])
def test_a_discriminator_that_tells_apart_has_less_loss(kind):
    high, low = jnp.full((2, 3, 3, 1), 1.0), jnp.full((2, 3, 3, 1), 0.0)
    assert losses.real_or_fake_loss(kind, high, low) < losses.real_or_fake_loss(kind, low, high)
    assert losses.adversarial_loss(kind, high) < losses.adversarial_loss(kind, low)


@pytest.mark.parametrize("kind", CHOICES["loss.adversarial"])
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_gradients_are_finite_at_extreme_logits(kind, logit):
    logits = jnp.full((1, 2, 2, 1), logit)
    gradient = jax.grad(lambda z: losses.real_or_fake_loss(kind, z, z))(logits)
    assert bool(jnp.isfinite(gradient).all())


def test_mean_absolute_error_by_hand():
    a = jnp.array([1.0, -1.0, 0.5, 0.0]).reshape(1, 2, 2, 1)
    assert losses.mean_absolute_error(a, jnp.zeros_like(a)) == pytest.approx(2.5 / 4)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'wgan'"):
        losses.adversarial_loss("wgan", LOGITS)
