"""A strict test process: eight CPU devices, no silent rank promotion, warnings are errors."""

import locale
import os
import re
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import pytest
import SimpleITK as sitk

from cyclegan_jax import InputError
from cyclegan_jax.config import Config, base_config

IDENTITY = np.eye(3)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def _compile_equal_programs_once(tmp_path_factory):
    """Many tests train the same tiny networks."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def tiny() -> Config:
    """The smallest config that has every part: 16x16 images, two levels, phantoms."""
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
def save_series():
    """Writes slices `[K, rows, columns]` as a DICOM series in the patient's LPS+ space."""

    def save(
        folder: Path,
        slices: np.ndarray,
        *,
        spacing=(1.0, 1.5),
        step=2.0,
        axes=IDENTITY,
        compressor="",
        **tags,
    ) -> list[Path]:
        """`spacing` is between columns and rows, `axes` holds the directions [3, 3] as columns."""
        folder.mkdir(exist_ok=True)
        kept = locale.setlocale(locale.LC_CTYPE)
        paths = []
        for k, pixels in enumerate(slices):
            image = sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3)
            image.SetSpacing(spacing)
            position = axes @ [5, -6, 7 + step * k]
            facts = {
                "0008|0060": "MR",
                "0008|103e": "T1 head",
                "0020|000d": "1.2.3",
                "0020|000e": "1.2.3.4",
                "0020|0032": "\\".join(f"{p:.6f}" for p in position),
                "0020|0037": "\\".join(f"{c:.8f}" for c in axes[:, :2].T.ravel()),
            }
            for key, value in (facts | tags).items():
                image.SetMetaData(key, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()  # or SimpleITK makes a series of each file
            if compressor:
                writer.UseCompressionOn()
                writer.SetCompressor(compressor)
            # The last in position is the first in name: names tell nothing of the order.
            paths.append(folder / f"{tags.get('0020|000e', '')}{len(slices) - k:03d}.dcm")
            writer.SetFileName(str(paths[-1]))
            writer.Execute(image)
            locale.setlocale(locale.LC_CTYPE, kept)  # writing DICOM resets it
        return paths

    return save


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Random images of both domains, `[8, 16, 16, 1]`."""
    rng = np.random.default_rng(0)
    return {d: rng.uniform(-1, 1, (8, 16, 16, 1)).astype(np.float32) for d in "xy"}


@pytest.fixture
def fails():
    """Expects an InputError that names a path and says some words, in that order."""

    def expect(path: Path, *words: str):
        pattern = ".*".join(re.escape(word) for word in (str(path), *words))
        return pytest.raises(InputError, match=pattern)

    return expect
