"""The reversed intensities that a run may start from."""

import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.config import base_config
from cyclegan_jax.data.intensity import HEAD
from cyclegan_jax.data.phantom.head import TISSUES, make_phantom
from cyclegan_jax.losses import build_objective
from cyclegan_jax.polarity import reversed_onto


@pytest.fixture(scope="module")
def heads():
    """T1 and labels of one head and T2 of another one, images `[1, 64, 64, 1]` in [-1, 1]."""
    own, other = (
        make_phantom(seed, size=64, slices=5, lesions=False, noise=0.02, bias=0.0)
        for seed in (3, 4)
    )
    t1, t2 = (
        jnp.asarray(np.clip(v[2] / np.percentile(v, 99.5) * 2 - 1, -1, 1), jnp.float32)
        for v in (own.t1, other.t2)
    )
    return t1[None, ..., None], t2[None, ..., None], own.labels[2]


def test_fluid_becomes_bright_and_white_matter_dark(heads):
    t1, t2, labels = heads
    made = np.asarray(reversed_onto(t1, t2))[0, ..., 0]
    own = np.asarray(t1)[0, ..., 0]
    fluid, white = (labels == TISSUES.index(t) for t in ("csf", "white_matter"))
    fluid &= own > HEAD
    assert own[fluid].mean() < own[white].mean() - 0.5
    assert made[fluid].mean() > made[white].mean() + 0.5


def test_order_is_reversed_and_intensities_are_those_of_the_other(heads):
    t1, t2, _ = heads
    made, own, other = (np.asarray(a).ravel() for a in (reversed_onto(t1, t2), t1, t2))
    inside = own > HEAD
    order = np.argsort(own[inside])
    assert (np.diff(made[inside][order]) <= 1e-6).all()
    np.testing.assert_array_equal(made[~inside], own[~inside])
    levels = (0.1, 0.5, 0.9)
    np.testing.assert_allclose(
        np.quantile(made[inside], levels), np.quantile(other[other > HEAD], levels), atol=0.03
    )


def test_without_a_head_an_image_stays_as_it_is(heads):
    t1, _, _ = heads
    air = jnp.full_like(t1, -1.0)
    np.testing.assert_array_equal(reversed_onto(t1, air), t1)
    np.testing.assert_array_equal(reversed_onto(air, t1), air)


def test_its_weight_falls_to_0_and_the_others_stay():
    config = base_config()
    config.loss.start_weight, config.loss.start_steps = 20.0, 200
    weights = {"cycle": jnp.float32(5), "start": jnp.float32(20)}
    objective = build_objective(config)
    found = [objective.weights_at(jnp.int32(n), weights)["start"] for n in (0, 50, 200, 300)]
    assert found == pytest.approx([20, 15, 0, 0])
    assert objective.weights_at(jnp.int32(300), weights)["cycle"] == 5
    config.loss.start_steps, config.steps = 0, 1000  # the whole run
    found = [build_objective(config).weights_at(jnp.int32(n), weights) for n in (250, 1000)]
    assert [weights["start"] for weights in found] == pytest.approx([15, 0])
