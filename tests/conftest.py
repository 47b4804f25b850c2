"""A strict test process: eight CPU devices, no silent rank promotion, warnings are errors."""

import dataclasses
import locale
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import pytest
import SimpleITK as sitk
from absl import flags
from PIL import Image

from cyclegan_jax import InputError
from cyclegan_jax.config import Config, base_config
from cyclegan_jax.data import from_config
from cyclegan_jax.data.intensity import IntensityRange
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.domains import Direction
from cyclegan_jax.report import page
from cyclegan_jax.training import train

ROOT = Path(__file__).parents[1]
IDENTITY = np.eye(3)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def _compile_equal_programs_once(tmp_path_factory):
    """Many tests train the same tiny networks."""
    flags.FLAGS(["pytest"])  # worker processes are handed absl's flags
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(autouse=True)
def _drop_compiled_programs():
    """A process that has 65,530 mappings crashes, and each compiled program has some."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


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
        folder = from_config.open_data(config).folder
        with config.unlocked():
            config.data.dir = str(folder)
        train.train(config, place / "run")
        page.finish(place / "run", config.steps)
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
def image_folder():
    """Writes random images of 6 rows and 8 columns whose values reach `highest`."""

    def make(folder: Path, names: list[str], *, dtype: type = np.uint8, highest: int = 200) -> Path:
        folder.mkdir()
        for i, name in enumerate(names):
            pixels = np.random.default_rng(i).integers(0, highest, (6, 8)).astype(dtype)
            pixels[0, 0] = highest
            Image.fromarray(pixels).save(folder / f"{name}.png")
        return folder

    return make


@pytest.fixture
def constant():
    """Makes scans with one constant slice for each of `values`."""

    def make(subject: str, *values: float, high: float = 1.0) -> Scan:
        images = {f"{subject}#{i}": np.full((4, 6), v, np.float32) for i, v in enumerate(values)}
        read = ScanImages(images, IntensityRange(0.0, high), (len(values), 4, 6))
        return Scan(subject, lambda: read)

    return make


@pytest.fixture
def two_scans(constant):
    """Makes the smallest source: T1 scans, by default one, and one T2 scan."""

    def make(*x: Scan) -> Source:
        splits = {"train_x": list(x) or [constant("a", 0)], "train_y": [constant("b", 0)]}
        return Source(splits, {"x": "float32", "y": "float32"}, {"kind": "test"})

    return make


@pytest.fixture
def fails():
    """Expects an InputError that names a path and says some words, in that order."""

    def expect(path: Path, *words: str):
        pattern = ".*".join(re.escape(word) for word in (str(path), *words))
        return pytest.raises(InputError, match=pattern)

    return expect


@pytest.fixture
def translator():
    """Makes translators, trained at 16 pixels, on a network that takes multiples of 8."""
    from cyclegan_jax.translation.translator import Translator

    def make(
        generate: Any = lambda images: images, generate_back: Any = None, **changed: Any
    ) -> Translator:
        def checked(direction: Direction, images: np.ndarray) -> np.ndarray:
            assert images.dtype == np.float32
            assert images.ndim == 4
            assert images.shape[3] == 1
            assert min(images.shape[1:3]) >= 16
            assert images.shape[1] % 8 == images.shape[2] % 8 == 0
            assert np.abs(images).max() <= 1
            back = None if direction is made.direction else generate_back
            return (back or generate)(images)

        made = Translator(
            model="run",
            direction=Direction.T1_TO_T2,
            step=7,
            generate=checked,
            multiple=8,
            image_size=16,
            mode="pad",
            axis="axial",
            source={"dtype": "uint8", "range": [0.0, 255.0]},
            target={"dtype": "uint8", "range": [0.0, 255.0]},
        )
        made = dataclasses.replace(made, **changed)
        return made

    return make


@pytest.fixture
def head():
    """Makes volumes of air 100 and a box of 110 to 500, each common enough not to be clipped."""

    def make(*shape: int) -> np.ndarray:
        data = np.full(shape, 100, np.float32)
        inner = tuple(slice(2, n - 1) for n in shape)
        tissue = np.random.default_rng(0).integers(110, 500, data[inner].shape)
        tissue[:, :, 0] = 500
        data[inner] = tissue
        return data

    return make


@pytest.fixture(scope="session")
def config_text() -> str:
    """A config file that the scripts train in seconds."""
    return """
from cyclegan_jax.config import base_config

def get_config():
    c = base_config()
    c.image_size, c.batch_size, c.steps = 32, 4, 4
    c.generator.features = c.discriminator.features = (4, 8)
    c.discriminator.strides = (2, 2)
    c.log_every = c.sample_every = c.eval_every = c.save_every = 2
    return c
"""


@pytest.fixture(scope="session")
def command():
    """The command line of a script."""

    def line(name, *arguments):
        return [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]

    return line


@pytest.fixture(scope="session")
def environment():
    """A user's environment, in which the cache is in a folder."""

    def variables(place):
        keep = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PYTHONPATH")}
        return keep | {"XDG_CACHE_HOME": str(place / "cache")}

    return variables


@pytest.fixture(scope="session")
def script(command, environment):
    """Runs a script in a folder as a user does, in a process of its own."""

    def run(place, name, *arguments):
        line, told = command(name, *arguments), {"capture_output": True, "text": True}
        return subprocess.run(
            line, cwd=place, env=environment(place), check=False, timeout=300, **told
        )

    return run
