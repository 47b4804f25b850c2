"""A StableHLO program: what it gives at any size, where it runs, and what is beside it."""

import json
import os

import jax.export
import numpy as np
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.domains import Direction
from cyclegan_jax.export.program import Program
from cyclegan_jax.export.stablehlo import PLATFORMS, export_stablehlo
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.trained.origin import Run
from cyclegan_jax.translation.translator import load_translator

T1_TO_T2, T2_TO_T1 = Direction


@pytest.fixture
def run(tiny_run):
    return Run(tiny_run, "latest")


def with_options(run, monkeypatch, **options):
    """Lets the run be read with another config, and weights that fit it."""
    saved = run.read()
    saved.meta["config"].update(options)
    monkeypatch.setattr(Run, "read", lambda self: saved)


def read(path):
    return jax.export.deserialize(bytearray(path.read_bytes()))


@pytest.mark.parametrize("averaged", [False, True])
def test_a_program_translates_as_its_run_at_any_size_and_number(
    run, tmp_path, monkeypatch, averaged
):
    with_options(run, monkeypatch, average_mirrored=averaged)
    out = tmp_path / "deep" / "a.stablehlo"
    assert export_stablehlo(run, T2_TO_T1, out) <= 1e-4
    program = read(out)
    assert program.platforms == PLATFORMS == ("cpu", "cuda", "tpu")
    ours = TrainedGenerators(run.read(), run.name)
    for shape in ((1, 8, 8, 1), (3, 16, 24, 1)):
        images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        expected = ours.translate(T2_TO_T1, images)
        np.testing.assert_allclose(program.call(images), expected, atol=1e-5)
    for shape in ((1, 4, 8, 1), (1, 8, 18, 1)):
        with pytest.raises(ValueError, match="shapes"):
            program.call(np.zeros(shape, np.float32))
    assert {path.name for path in out.parent.iterdir()} == {"a.stablehlo", "a.stablehlo.json"}
    facts = json.loads((tmp_path / "deep" / "a.stablehlo.json").read_text())
    assert facts["average_mirrored"] is averaged
    assert (facts["direction"], facts["step"]) == ("t2_to_t1", 4)
    assert (facts["image_size_multiple"], facts["least_image_size"]) == (4, 8)
    assert facts["layout"].startswith("float32 [batch, height, width, 1]")
    assert facts["target"]["contrast"] == "T1"
    assert "not for diagnosis" in facts["use"]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(run, tmp_path, monkeypatch):
    out = tmp_path / "a.stablehlo"
    with pytest.raises(InputError, match=r"must be a file whose name ends in \.stablehlo"):
        export_stablehlo(run, T1_TO_T2, tmp_path / "a.onnx")
    facts = tmp_path / "a.stablehlo.json"
    facts.write_text("kept")
    with pytest.raises(InputError, match=r"a\.stablehlo\.json is there already"):
        export_stablehlo(run, T1_TO_T2, out)
    facts.unlink()
    replace, calls = os.replace, []

    def full_later(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return replace(*paths)

    monkeypatch.setattr("os.replace", full_later)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        export_stablehlo(run, T1_TO_T2, out)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Program, "compare", lambda *_: pytest.fail("as if it differed"))
    with pytest.raises(pytest.fail.Exception):
        export_stablehlo(run, T1_TO_T2, out)
    assert not list(tmp_path.iterdir())


def test_the_program_of_the_page_needs_jax_alone(run, tmp_path, page_program):
    export_stablehlo(run, T1_TO_T2, tmp_path / "mine.stablehlo")
    slices, found = page_program("StableHLO")
    translator = load_translator(run, T1_TO_T2)
    images = intensity.normalise(slices, intensity.IntensityRange(*np.percentile(slices, (1, 99))))
    made = translator.generate(T1_TO_T2, images[..., None])[..., 0]
    expected = intensity.denormalise(made, translator.target_range)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.1)
