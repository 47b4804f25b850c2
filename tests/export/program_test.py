"""Exporting leaves the program that trains as it is, and every option has unknown sizes."""

import jax
import jax.export
import numpy as np
import pytest

from cyclegan_jax.domains import Direction
from cyclegan_jax.export.program import program_of
from cyclegan_jax.export.stablehlo import export_stablehlo
from cyclegan_jax.models.networks import build_modules, init_params
from cyclegan_jax.optimizer import Hyperparameters
from cyclegan_jax.state import build_recipe, create_state
from cyclegan_jax.step import train_step
from cyclegan_jax.trained.origin import Run


def lowered_step(config, batch):
    """The training step as it is compiled, lowered anew."""
    jax.clear_caches()
    recipe = build_recipe(config)
    state = jax.eval_shape(lambda: create_state(config, recipe, 0))
    step = jax.jit(lambda state, batch, hyper: train_step(state, batch, hyper, recipe=recipe))
    return step.lower(state, batch, Hyperparameters.of(config)).as_text()


def test_exporting_changes_nothing_of_the_training_step(tiny, tiny_run, batch, tmp_path):
    tiny.generator.head = 8
    before = lowered_step(tiny, batch)
    assert "platform_index" in before or before.count("dot_general") > 10  # the CPU's products
    export_stablehlo(Run(tiny_run, "latest"), Direction.T1_TO_T2, tmp_path / "a.stablehlo")
    assert lowered_step(tiny, batch) == before


@pytest.mark.parametrize(
    "options",
    [
        {"head": 8, "kernel_size": 4},
        {"upsampling": "resize", "norm": "none"},
        {"upsampling": "pixel_shuffle", "head": 8, "kernel_size": 1},
    ],
    ids=str,
)
def test_every_option_of_the_generator_takes_unknown_sizes(tiny, options):
    tiny.generator.update(options)
    module = build_modules(tiny).generator_g
    params = init_params(tiny, build_modules(tiny), 0).generator_g
    params = jax.tree.map(lambda leaf: 10 * leaf, params)
    shape = jax.export.symbolic_shape("b, 4*h, 4*w, 1", constraints=("h >= 2", "w >= 2"))
    function = jax.jit(lambda images: module.apply({"params": params}, images))
    program = jax.export.export(function)(jax.ShapeDtypeStruct(shape, np.float32))
    images = np.random.default_rng(0).uniform(-1, 1, (3, 12, 20, 1)).astype(np.float32)
    np.testing.assert_allclose(program.call(images), function(images), atol=1e-5)


def test_a_program_is_of_full_precision(tiny_run):
    program = program_of(Run(tiny_run, "latest"), Direction.T1_TO_T2, "", "", "")
    images = np.zeros((1, 16, 16, 1), np.float32)
    text = jax.jit(program.function).lower(program.params, images).as_text()
    assert "HIGHEST" in text
    assert "DEFAULT" not in text
