"""Every shipped config builds; its networks have the expected outputs and sizes."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cyclegan_jax.config import load_file, validate
from cyclegan_jax.state import build_recipe, create_state

FOLDER = Path(__file__).parents[1] / "configs"
# {name: (parameters of a generator, of a discriminator, logits for one image)}; those of the
# reference networks were also added up by hand from widths and kernels
EXPECTED = {
    "brainweb43": (23_529_857, 11_154_241, (4, 4)),
    "brainweb43_best": (873_047, 1_742_753, (4, 4)),
    "brainweb43_small": (4_114_625, 1_742_753, (4, 4)),
    "ixi": (23_529_857, 2_763_585, (32, 32)),
    "ixi_brain": (4_119_127, 1_742_753, (4, 4)),
    "ixi_small": (4_119_127, 1_742_753, (4, 4)),
    "quickstart": (11_303, 661_313, (8, 8)),
    "sweep_brainweb43": (2_344_129, 693_665, (4, 4)),
    "sweep_brainweb43_ablation": (873_047, 693_665, (4, 4)),
    "sweep_loss_weights": (11_303, 661_313, (8, 8)),
}


def load(name):
    return load_file(FOLDER / f"{name}.py")


def count(params):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def test_every_config_is_listed_here():
    assert {path.stem for path in FOLDER.glob("*.py")} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_config_builds_with_the_expected_sizes(name):
    config = load(name).get_config()
    validate(config)
    recipe = build_recipe(config)
    state = jax.eval_shape(lambda: create_state(config, recipe, config.seed))
    generator, discriminator, logits = EXPECTED[name]
    assert count(state.params.generator_g) == count(state.params.generator_f) == generator
    assert count(state.params.discriminator_x) == discriminator
    image = jax.ShapeDtypeStruct((2, config.image_size, config.image_size, 1), jnp.float32)
    for module, params, shape in (
        (recipe.modules.generator_g, state.params.generator_g, image.shape),
        (recipe.modules.discriminator_y, state.params.discriminator_y, (2, *logits, 1)),
    ):
        assert jax.eval_shape(module.apply, {"params": params}, image).shape == shape


@pytest.mark.parametrize("name", EXPECTED)
def test_config_says_how_to_run_it_and_what_to_expect(name):
    text = load(name).__doc__ or ""
    assert f"--config={name} " in text
    assert re.search("[Ee]xpected time", text)
    assert re.search("score", text)
