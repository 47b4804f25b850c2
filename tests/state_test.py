"""The initial state."""

import jax

from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe


def created(config):
    one_device = Parallel("jit", jax.devices()[:1])
    return one_device.compile_create_state(config, build_recipe(config))(config.seed)


def test_networks_start_from_keys_of_their_own(tiny):
    params = created(tiny).params
    for a, b in (
        (params.generator_g, params.generator_f),
        (params.discriminator_x, params.discriminator_y),
    ):
        kernels = [(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True) if x.ndim > 1]
        assert kernels
        assert all(bool((x != y).any()) for x, y in kernels)


def test_same_seed_same_state_other_seed_other_state(tiny):
    first = created(tiny)
    again = created(tiny)
    tiny.seed = 1
    other = created(tiny)
    equal = jax.tree.map(lambda a, b: bool((a == b).all()), first, again)
    assert all(jax.tree.leaves(equal))
    differ = jax.tree.map(lambda a, b: bool((a != b).any()), first.params, other.params)
    assert any(jax.tree.leaves(differ))


def test_optional_parts_are_there_only_if_asked_for(tiny):
    plain = created(tiny)
    assert plain.ema is None
    assert plain.pools is None
    assert plain.generators is plain.params
    tiny.ema_decay, tiny.history_size = 0.9, 5
    full = created(tiny)
    assert full.generators is full.ema
    assert full.ema is not None
    assert full.pools is not None
    assert full.ema.discriminator_x is None
    assert full.pools["x"].images.shape == (5, 16, 16, 1)


def test_no_two_leaves_share_a_buffer(tiny):
    # a step that donates its state would crash
    tiny.ema_decay, tiny.history_size = 0.9, 5
    leaves = jax.tree.leaves(created(tiny))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in leaves]
    assert len(set(pointers)) == len(pointers)
