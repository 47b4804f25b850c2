"""What docs/extending.md demands of a generator, for every generator that a config can name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.config import GENERATORS, base_config
from cyclegan_jax.models.networks import apply_to_both, build_modules


def built(kind, dtype="float32"):
    config = base_config()
    config.generator.type, config.generator.features, config.dtype = kind, (4, 8), dtype
    return build_modules(config).generator_g


def images(batch, height, width, seed=0):
    shape = (batch, height, width, 1)
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1, maxval=1)


@pytest.fixture(params=GENERATORS)
def kind(request):
    return request.param


def test_it_keeps_shape_and_range_in_float32(kind):
    for dtype in ("float32", "bfloat16"):
        module = built(kind, dtype)
        x = images(2, 16, 24)
        variables = module.init(jax.random.key(0), x)
        y = module.apply(variables, x)
        assert (y.shape, y.dtype) == (x.shape, jnp.float32)
        assert float(jnp.abs(y).max()) <= 1
        assert variables.keys() == {"params"}
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_its_size_multiple_is_true_and_known_to_the_config(kind):
    module = built(kind)
    assert 2 ** len(module.features) % module.size_multiple == 0
    small, large = (
        jax.eval_shape(module.init, jax.random.key(0), images(1, n, 2 * n))
        for n in (4 * module.size_multiple, 6 * module.size_multiple)
    )
    assert jax.tree.map(lambda leaf: leaf.shape, small) == jax.tree.map(
        lambda leaf: leaf.shape, large
    )
    if module.size_multiple > 1:
        with pytest.raises(InputError, match="must be a multiple of"):
            module.init(jax.random.key(0), images(1, 4 * module.size_multiple + 1, 64))


def test_it_treats_every_image_alone(kind):
    module = built(kind)
    a, b = images(2, 16, 16), 0.1 * images(3, 16, 16, seed=1)[:2] - 0.5
    params = module.init(jax.random.key(0), a)["params"]
    # larger weights than the first ones, so that a difference would be seen
    params = jax.tree.map(lambda leaf: 10 * leaf, params)
    both = apply_to_both(module, params, a, b)
    for one, batch in zip(both, (a, b), strict=True):
        np.testing.assert_allclose(one, module.apply({"params": params}, batch), atol=1e-5)


def test_an_option_that_a_generator_does_not_have_is_refused(monkeypatch):
    monkeypatch.setitem(GENERATORS, "plain", f"{__name__}.Plain")
    monkeypatch.setattr("importlib.import_module", lambda name: _Plain)
    config = base_config()
    config.generator.type = "plain"
    config.generator.head = 0  # the default
    assert isinstance(build_modules(config).generator_g, _Plain.Plain)
    config.generator.head = 32
    with pytest.raises(InputError, match=r"generator\.head = 32: .*'plain' has no such option"):
        build_modules(config)


class _Plain:
    """Stands for a module with a generator that has one option."""

    class Plain(nn.Module):
        features: tuple
        dtype: object = None
