"""Generators of a checkpoint: which parameters, which direction, and what is refused."""

import jax
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.checkpoints.contents import Checkpoint
from cyclegan_jax.checkpoints.manager import Checkpoints
from cyclegan_jax.domains import DIRECTIONS, Direction
from cyclegan_jax.inference import (
    CompiledGenerators,
    TrainedGenerators,
    pixels_in_training,
)
from cyclegan_jax.parallel import jax_settings
from cyclegan_jax.parallel.data_parallel import Parallel
from cyclegan_jax.state import build_recipe
from cyclegan_jax.trained.origin import Run


@pytest.fixture(params=[0.0, 0.9], ids=["plain", "averaged"])
def saved(tiny, request, tmp_path):
    """A config and a state whose averaged generators differ from the plain ones, and its run."""
    tiny.ema_decay = request.param
    recipe = build_recipe(tiny)
    state = Parallel("jit").compile_create_state(tiny, recipe)(0)
    if state.ema is not None:
        state = state.replace(ema=jax.tree.map(lambda leaf: leaf + 0.1, state.ema))
    with Checkpoints(tmp_path / "run", keep=1) as checkpoints:
        checkpoints.save(state, {"config": tiny.to_dict()}, None)
    return recipe, state, tmp_path / "run"


def test_each_direction_has_its_generator_averaged_if_the_run_averages(saved, batch):
    recipe, state, run = saved
    generators = TrainedGenerators(Run(run, "latest").read(), "run")
    params = state.params if state.ema is None else state.ema
    for direction, name in zip(DIRECTIONS, ("generator_g", "generator_f"), strict=True):
        images = batch[direction.source]
        module = getattr(recipe.modules, name)
        wanted = module.apply({"params": getattr(params, name)}, images)
        np.testing.assert_allclose(generators.translate(direction, images), wanted, atol=1e-5)


def test_mirrored_images_are_averaged_if_the_config_says_so(tiny, batch, tmp_path):
    tiny.average_mirrored = True
    recipe = build_recipe(tiny)
    state = Parallel("jit").compile_create_state(tiny, recipe)(0)
    with Checkpoints(tmp_path / "run", keep=1) as checkpoints:
        checkpoints.save(state, {"config": tiny.to_dict()}, None)
    generators = TrainedGenerators(Run(tmp_path / "run", "latest").read(), "run")
    images = np.asarray(batch["x"])

    def g(images: np.ndarray) -> np.ndarray:
        return recipe.modules.generator_g.apply({"params": state.params.generator_g}, images)

    wanted = (g(images) + g(images[:, :, ::-1])[:, :, ::-1]) / 2
    found = generators.translate(Direction.T1_TO_T2, images)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - g(images)).max() > 1e-3
    again = generators.translate(Direction.T1_TO_T2, images[:, :, ::-1])
    np.testing.assert_allclose(again[:, :, ::-1], found, atol=1e-6)


@pytest.mark.parametrize("saved", [0.0], indirect=True)
def test_the_precision_is_that_of_the_config(saved, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(
        jax_settings, "with_precision", lambda step, precision: [asked.append(precision), step][1]
    )
    tiny.matmul_precision = "high"
    TrainedGenerators(Run(saved[2], "latest").read(), "run", tiny)
    assert asked == ["high", "high"]


def test_values_that_are_not_finite_are_refused(saved, batch, monkeypatch):
    _, _, run = saved
    generators = TrainedGenerators(Run(run, "latest").read(), "model")
    broken = lambda self, params, direction, images: images * np.nan  # noqa: E731
    monkeypatch.setattr(CompiledGenerators, "translate", broken)
    with pytest.raises(InputError, match="checkpoint 0 of model translates t2_to_t1 to values"):
        generators.translate(Direction.T2_TO_T1, batch["y"])


@pytest.mark.parametrize(
    ("directory", "fit", "data", "wanted"),
    [
        ("some", "resize", {"pixel_seen_mm": {"y": [2, 3]}}, {"y": (2, 3)}),
        ("", "resize", {}, {"x": (14.375, 14.375), "y": (14.375, 14.375)}),
        ("some", "pad", {"domains": {"x": {"pixel_mm": [1, 2]}, "y": {}}}, {"x": (1, 2)}),
        ("some", "resize", {"domains": {"x": {"pixel_mm": [1, 2]}, "y": {}}}, {}),
    ],
    ids=["recorded", "older, phantoms", "older", "older, scaled by a size that is not known"],
)
def test_the_pixels_of_training_are_known_of_old_checkpoints_too(
    tiny, directory, fit, data, wanted
):
    tiny.data.dir, tiny.data.fit = directory, fit
    saved = Checkpoint(1, {"config": tiny.to_dict(), "data": data}, {})
    assert pixels_in_training(saved) == wanted
