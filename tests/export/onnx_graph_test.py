"""The ONNX graph of a generator, in onnxruntime, against JAX: every option and many operations."""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.config import GENERATORS
from cyclegan_jax.export.onnx_graph import to_onnx
from cyclegan_jax.models.networks import build_modules


def in_onnxruntime(function, params, images, batch=None):
    model = to_onnx(function, params, images.shape[1:3], batch)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (input_,), (output,) = session.get_inputs(), session.get_outputs()
    assert input_.shape == output.shape == [batch or "batch", 1, *images.shape[1:3]]
    (made,) = session.run(None, {input_.name: images.transpose(0, 3, 1, 2)})
    return made.transpose(0, 2, 3, 1), model


def uniform(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


OPTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 4, "head": 8},
    {"kernel_size": 5, "norm": "none"},
    {"kernel_size": 1, "head": 8, "norm": "none"},
    {"kernel_size": 2},
    {"upsampling": "resize", "head": 8},
    {"upsampling": "pixel_shuffle", "kernel_size": 2, "head": 8},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_of_the_generator_gives_what_jax_gives(tiny, options):
    tiny.generator.update(options)
    module = build_modules(tiny).generator_g
    images = uniform(3, 16, 24, 1)
    params = module.init(jax.random.key(0), images)["params"]
    params = jax.tree.map(lambda leaf: 10 * leaf, params)  # so that a difference would be seen

    def function(params, images):
        return module.apply({"params": params}, images)

    made, model = in_onnxruntime(function, params, images)
    expected = jax.jit(function)(params, images)
    assert float(jnp.abs(expected).max()) > 0.01
    np.testing.assert_allclose(made, expected, atol=1e-5)
    used = {node.op_type for node in model.graph.node}
    assert ("Transpose" in used) == (options.get("upsampling") == "pixel_shuffle")
    assert ("InstanceNormalization" in used) == (options.get("norm") != "none")


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_generator_that_a_config_names_is_known(tiny, kind):
    tiny.generator.type = kind
    module = build_modules(tiny).generator_g
    images = uniform(2, 16, 16, 1)
    params = module.init(jax.random.key(0), images)["params"]
    made, _ = in_onnxruntime(lambda p, x: module.apply({"params": p}, x), params, images, batch=2)
    np.testing.assert_allclose(made, module.apply({"params": params}, images), atol=1e-5)


def test_a_constant_is_kept_once():
    kernel = uniform(64, 64)

    def function(params, images):
        for _ in range(3):
            images = images + params.sum(0)[None, :1, None, None] + 0 * images
        return images

    _, model = in_onnxruntime(function, kernel, uniform(1, 4, 4, 1))
    assert sum(len(constant.raw_data) for constant in model.graph.initializer) < 100


FUNCTIONS = {
    "pixels_of_each_row": lambda x: jnp.broadcast_to(x.sum((2, 3))[:, :, None, None], x.shape),
    "channels_away_and_back": lambda x: jnp.concatenate([x, 2 * x, -x], 3).max(3)[..., None],
    "least": lambda x: x - jnp.concatenate([x, 2 * x], -1).min(-1, keepdims=True),
    "transposed_and_back": lambda x: jnp.swapaxes(jnp.exp(jnp.swapaxes(x, 1, 2)), 1, 2),
    "rows_are_moved": lambda x: jnp.pad(
        jax.lax.slice_in_dim(x, 1, 4, axis=1), ((0, 0), (0, 1), (0, 0), (0, 0))
    ),
    "every_second_pixel_twice": lambda x: jax.lax.slice(
        x, (0, 0, 0, 0), x.shape, (1, 1, 2, 1)
    ).repeat(2, axis=2),
    "turned": lambda x: jnp.flip(x, (1, 2)),
    "cases": lambda x: jnp.where(x > 0.5, jnp.sqrt(jnp.abs(x)), x**3),
    "float_and_whole": lambda x: x.astype(jnp.int32).astype(jnp.float32) - jax.nn.sigmoid(x),
    "softplus": lambda x: jnp.minimum(jnp.maximum(x, -0.5), 0.5) / (1 + jnp.abs(x)) ** 0.5,
    "blocks": lambda x: x.reshape(x.shape[0], 2, 2, 3, 2, 1).max((2, 4)).repeat(2, 1).repeat(2, 2),
    "flat": lambda x: x.reshape(x.shape[0], -1)[:, :, None, None].reshape(x.shape),
    "dilated": lambda x: jax.lax.conv_general_dilated(
        x,
        jnp.asarray(uniform(3, 3, 1, 1)),
        (1, 1),
        ((2, 2), (2, 2)),
        rhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_that_another_generator_may_have(name):
    images = uniform(2, 4, 6, 1)
    function = FUNCTIONS[name]
    made, _ = in_onnxruntime(lambda _, x: function(x), {}, images)
    np.testing.assert_allclose(made, function(jnp.asarray(images)), atol=1e-6)


UNKNOWN = {
    "sort": jnp.sort,
    "the number of images": lambda x: x / x.shape[0],
    "a loop": lambda x: jax.lax.fori_loop(0, 3, lambda _, x: 2 * x, x),
    "one size for another": lambda x: jnp.repeat(x[:1], x.shape[0], axis=0),
}


@pytest.mark.parametrize("function", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_one_line(function):
    with pytest.raises(InputError, match=r"uses \w+ in a way .*use --format=stablehlo"):
        to_onnx(lambda _, x: function(x), {}, (4, 4), None)
