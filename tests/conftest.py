"""A strict test process: eight CPU devices, no silent rank promotion, warnings are errors."""

import os
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import pytest

from cyclegan_jax import evaluate, report, train
from cyclegan_jax.config import Config, base_config
from cyclegan_jax.data import loading

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def _compile_equal_programs_once(tmp_path_factory):
    """Many tests train the same tiny networks."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def tiny_config() -> Config:
    config = base_config()
    config.image_size = 16
    config.batch_size = 8
    config.steps = 4
    config.data.phantom.subjects = 8
    config.data.phantom.held_out = 1
    config.data.phantom.slices = 2
    config.generator.features = (4, 8)
    config.discriminator.features = (4, 8)
    config.discriminator.strides = (2, 2)
    config.log_every = config.sample_every = config.eval_every = config.save_every = 2
    return config


@pytest.fixture
def tiny() -> Config:
    """The smallest config that has every part: 16x16 images, two levels, phantoms."""
    return tiny_config()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """The workdir of a tiny config that is trained and scored on its test pairs; do not write."""
    place = tmp_path_factory.mktemp("tiny_run")
    config = tiny_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        folder = loading.open_data(config).folder
        with config.unlocked():
            config.data.dir = str(folder)
        train.train(config, place / "run")
        evaluate.evaluate(place / "run", "latest")
        report.write(place / "run")
    return place / "run"


@pytest.fixture
def _own_cache(tmp_path, monkeypatch):
    """Phantoms are prepared for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def swept(tiny, _own_cache) -> Config:
    """A config of which a trial takes two steps."""
    tiny.steps = 2
    tiny.sample_every = tiny.save_every = 10
    return tiny


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Random images of both domains, `[8, 16, 16, 1]`."""
    rng = np.random.default_rng(0)
    return {d: rng.uniform(-1, 1, (8, 16, 16, 1)).astype(np.float32) for d in "xy"}
