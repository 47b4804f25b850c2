"""Shapes, sizes, receptive field, dtypes and initial weights of both networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.models.layers import check_size
from cyclegan_jax.models.patchgan import PatchDiscriminator
from cyclegan_jax.models.unet import UNetGenerator


def init(module, shape):
    x = jax.random.uniform(jax.random.key(1), shape, minval=-1, maxval=1)
    return x, module.init(jax.random.key(0), x)


@pytest.mark.parametrize("upsampling", ["transpose", "resize", "pixel_shuffle"])
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_generator_keeps_the_shape_and_the_range(upsampling, norm):
    x, params = init(UNetGenerator((4, 8, 8), upsampling=upsampling, norm=norm), (2, 16, 24, 1))
    y = UNetGenerator((4, 8, 8), upsampling=upsampling, norm=norm).apply(params, x)
    assert y.shape == x.shape
    assert float(jnp.abs(y).max()) <= 1
    assert float(y.std()) > 0


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_head_maps_each_pixel_from_its_own_detail_given_its_context(norm):
    module = UNetGenerator((4, 8), head=8, norm=norm)
    x, params = init(module, (2, 16, 16, 1))
    y = module.apply(params, x)
    assert y.shape == x.shape
    # without context (and without norm, which sees all pixels) only the 9x9 band reaches it
    if norm == "none":
        cut = jax.tree.map(lambda leaf: leaf, params)
        cut["params"]["up_0"] = jax.tree.map(jnp.zeros_like, params["params"]["up_0"])
        gradient = jax.grad(lambda x: module.apply(cut, x)[0, 5, 7, 0])(x)
        rows, columns = np.nonzero(np.asarray(gradient[0, :, :, 0]))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 9, 3, 11)
        # and evenly from all sides, so that it cannot move anything
        window = gradient[0, 1:10, 3:12, 0]
        np.testing.assert_allclose(window, window[::-1, ::-1], rtol=1e-5)


def test_generator_sees_the_whole_image():
    # at a 1x1 bottleneck without norm every output pixel depends on every input pixel
    module = UNetGenerator((4, 8, 8, 8), norm="none")
    x, params = init(module, (1, 16, 16, 1))
    gradient = jax.grad(lambda x: module.apply(params, x)[0, 0, 0, 0])(x)
    assert bool((gradient != 0).all())


def test_every_parameter_of_the_generator_matters():
    module = UNetGenerator((4, 8, 8), kernel_size=3)
    x, params = init(module, (2, 16, 16, 1))
    noise = jax.random.normal(jax.random.key(2), x.shape)
    grads = jax.grad(lambda p: (module.apply(p, x) * noise).sum())(params)
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads))


def test_batch_is_separable():
    # what allows merging calls: an image's output does not depend on its neighbours in the batch
    for module in (UNetGenerator((4, 8)), PatchDiscriminator((4, 8), (2, 2))):
        x, params = init(module, (3, 16, 16, 1))
        together = module.apply(params, x)
        alone = jnp.concatenate([module.apply(params, x[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "near"), [((100, 96), "96 or 128"), ((96, 100), "96 or 128"), ((20, 32), "32")]
)
def test_bad_size_names_the_nearest_good_ones(size, near):
    with pytest.raises(InputError, match=f"multiple of 32.*{near}"):
        check_size(size, 32)
    module = UNetGenerator((2, 2, 2, 2, 2))
    with pytest.raises(InputError, match=near):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *size, 1)))


def test_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="bilinear"):
        init(UNetGenerator((4, 8), upsampling="bilinear"), (1, 8, 8, 1))


def test_discriminator_of_the_reference_ends_in_4_by_4():
    module = PatchDiscriminator((8, 8, 8, 8, 8, 8), (2,) * 6)
    x = jax.ShapeDtypeStruct((2, 256, 256, 1), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), x)
    assert jax.eval_shape(module.apply, params, x).shape == (2, 4, 4, 1)


def test_patch_layout_sees_70_by_70_pixels():
    module = PatchDiscriminator((2, 2, 2, 2), (2, 2, 2, 1), norm="none")
    x, params = init(module, (1, 128, 128, 1))
    # every weight one, so that no path cancels another
    params = jax.tree.map(jnp.ones_like, params)
    gradient = jax.grad(lambda x: module.apply(params, x)[0, 8, 8, 0])(jnp.abs(x))
    rows, columns = np.nonzero(np.asarray(gradient[0, :, :, 0]))
    assert np.ptp(rows) + 1 == 70
    assert np.ptp(columns) + 1 == 70


def test_discriminator_wants_a_stride_for_each_layer():
    with pytest.raises(ValueError, match="2 features but 1 strides"):
        init(PatchDiscriminator((4, 4), (2,)), (1, 8, 8, 1))


def test_weights_start_at_the_papers_spread():
    params = init(UNetGenerator((64, 128)), (1, 16, 16, 1))[1]["params"]
    for layer in ("down_1", "up_1"):
        inner = next(v for k, v in params[layer].items() if "Conv" in k)
        assert float(inner["kernel"].std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("upsampling", ["transpose", "resize", "pixel_shuffle"])
def test_bfloat16_reaches_every_layer_but_the_parameters(upsampling):
    for module in (
        UNetGenerator((4, 8), upsampling=upsampling, dtype=jnp.bfloat16),
        PatchDiscriminator((4, 8), (2, 2), dtype=jnp.bfloat16),
    ):
        x, params = init(module, (1, 16, 16, 1))
        assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        out, state = module.apply(params, x, capture_intermediates=True)
        assert out.dtype == jnp.float32
        inner = {
            "/".join(map(str, path)): leaf.dtype
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                {k: v for k, v in state["intermediates"].items() if k != "__call__"}
            )
        }
        assert set(inner.values()) == {jnp.dtype("bfloat16")}
