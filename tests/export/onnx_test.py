"""An ONNX file: what it gives, what it says of itself, and what is refused."""

import json
import sys

import numpy as np
import onnx
import pytest

from cyclegan_jax import InputError
from cyclegan_jax.data import intensity
from cyclegan_jax.domains import Direction
from cyclegan_jax.export import program
from cyclegan_jax.export.model import export_model
from cyclegan_jax.export.onnx import OnnxFile, export_onnx
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.trained.origin import ModelFolder, Run
from cyclegan_jax.translation.translator import load_translator

T1_TO_T2, T2_TO_T1 = Direction


@pytest.fixture
def run(tiny_run):
    return Run(tiny_run, "latest")


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    export_model(tiny_run, "latest", folder, name="heads", data="8 heads", data_license="CC0")
    return ModelFolder(folder)


def noise(count, size):
    return np.random.default_rng(1).uniform(-1, 1, (count, size, size, 1)).astype(np.float32)


@pytest.mark.parametrize("direction", Direction)
def test_a_file_translates_as_its_run_at_any_size_and_number(run, tmp_path, direction):
    ours = TrainedGenerators(run.read(), run.name)
    for size, batch in ((0, 0), (24, 2)):
        out = tmp_path / "deep" / f"{size}.onnx"
        assert export_onnx(run, direction, out, size, batch) <= 1e-4
        file = OnnxFile(out)
        assert (file.size, file.batch) == (size or 16, batch or None)
        images = noise(5, size or 16)
        expected = ours.translate(direction, images)
        np.testing.assert_allclose(file.translate(images), expected, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["0.onnx", "24.onnx"]


def test_the_mean_with_the_mirror_image_is_in_the_graph(run, tmp_path, monkeypatch):
    plain, averaged = tmp_path / "plain.onnx", tmp_path / "averaged.onnx"
    export_onnx(run, T1_TO_T2, plain)
    saved = run.read()
    saved.meta["config"]["average_mirrored"] = True
    monkeypatch.setattr(Run, "read", lambda self: saved)
    export_onnx(run, T1_TO_T2, averaged)
    images = noise(2, 16)
    one, other = (OnnxFile(plain).translate(x) for x in (images, images[:, :, ::-1]))
    assert np.abs(one - other[:, :, ::-1]).max() > 1e-3
    found = OnnxFile(averaged).translate(images)
    np.testing.assert_allclose(found, (one + other[:, :, ::-1]) / 2, atol=1e-5)
    assert OnnxFile(averaged).facts["average_mirrored"] == "true"


def test_a_run_in_bfloat16_is_exported_in_float32(run, tmp_path, monkeypatch):
    export_onnx(run, T1_TO_T2, tmp_path / "a.onnx")
    saved = run.read()
    saved.meta["config"]["dtype"] = "bfloat16"
    monkeypatch.setattr(Run, "read", lambda self: saved)
    export_onnx(run, T1_TO_T2, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_metadata_say_what_a_user_must_know(run, folder, tmp_path):
    export_onnx(run, T2_TO_T1, tmp_path / "run.onnx", 24)
    export_onnx(folder, T2_TO_T1, tmp_path / "folder.onnx", 24, 1)
    facts, of_folder = (OnnxFile(tmp_path / f"{n}.onnx").facts for n in ("run", "folder"))
    translator = load_translator(run, T2_TO_T1)
    for side, contrast, known in (
        ("source", "T2", translator.source),
        ("target", "T1", load_translator(run, T1_TO_T2).source),
    ):
        found = json.loads(facts[side])
        assert found == {"contrast": contrast, **json.loads(json.dumps(known))}
        assert {"range", "pixel_mm", "least_head"} <= found.keys()
    assert json.loads(facts["target"])["range"] == list(translator.target_range)
    for key, value in {
        "direction": "t2_to_t1",
        "model": "run",
        "step": "4",
        "axis": "axial",
        "fit": "pad",
        "image_size": "24",
        "trained_image_size": "16",
        "image_size_multiple": "4",
        "average_mirrored": "false",
        "brain_only": "false",
        "training_data": "",
        "data_license": "",
        "layout": "float32 [batch, 1, height, width] in [-1, 1], -1 is air",
    }.items():
        assert facts[key] == value, key
    assert "not for diagnosis" in facts["use"]
    assert facts["made_by"].startswith("cyclegan_jax ")
    changed = {key for key in facts if facts[key] != of_folder[key]}
    assert facts["descrip"] == translator.descrip
    assert changed == {"model", "descrip", "training_data", "data_license"}
    given = [of_folder[key] for key in ("model", "training_data", "data_license")]
    assert given == ["heads", "8 heads", "CC0"]
    export_onnx(run, T1_TO_T2, tmp_path / "other.onnx")
    other = OnnxFile(tmp_path / "other.onnx").facts
    assert other["weights_sha256"] != facts["weights_sha256"] == of_folder["weights_sha256"]


def test_the_file_is_one_that_older_runtimes_read(run, tmp_path):
    export_onnx(run, T1_TO_T2, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert ([entry.version for entry in model.opset_import], model.ir_version) == ([17], 8)


def test_it_is_compared_on_the_training_data_or_on_phantoms(run, folder, monkeypatch):
    seen = []

    def compare(self, exported, size):
        seen.append(self.samples(size))

    monkeypatch.setattr(program.Program, "compare", compare)
    made = [program.program_of(origin, T1_TO_T2, "", "", "") for origin in (run, folder)]
    of_run, of_folder = (one.samples(16) for one in made)
    for images in (of_run, of_folder, made[1].samples(24)):
        assert images.dtype == np.float32
        assert len(images) == 6
        heads = images[:4]
        assert np.abs(images).max() <= 1
        assert 0.1 < (heads > intensity.HEAD).mean() < 0.9
    assert not np.array_equal(of_run, of_folder)


@pytest.mark.parametrize("wrong", [2e-4, np.nan])
def test_results_that_differ_are_refused_and_leave_nothing(run, tmp_path, monkeypatch, wrong):
    right = OnnxFile.translate

    def translate(self, images, at_once=8):
        made = right(self, images, at_once)
        made[-1, -1, -1] += wrong
        return made

    monkeypatch.setattr(OnnxFile, "translate", translate)
    with pytest.raises(InputError, match=r"differs from JAX by .*more than 0\.0001.*not written"):
        export_onnx(run, T1_TO_T2, tmp_path / "deep" / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_mistakes_are_one_line_before_any_work(run, tmp_path, monkeypatch):
    (tmp_path / "there.onnx").write_text("kept")
    (tmp_path / "file").write_text("")

    def refused(match, out="a.onnx", **given):
        with pytest.raises(InputError, match=match):
            export_onnx(run, T1_TO_T2, tmp_path / out, **given)

    refused("must be a file whose name ends in .onnx", "a.pt")
    refused("is there already; name a new file", "there.onnx")
    refused("file is no folder that can be written", "file/a.onnx")
    refused(
        "--image_size=18: must be a multiple of 4 and at least 8; .*training have 16", image_size=18
    )
    refused("--image_size=4: must be a multiple of 4 and at least 8", image_size=4)
    refused("--license: no text can be .*in one line", data_license="a\nb")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(Run, "read", lambda self: pytest.fail("read before the package is known"))
    refused(r'needs the package onnxruntime, .*: pip install "cyclegan_jax\[onnx\]"')
    assert {path.name for path in tmp_path.iterdir()} == {"there.onnx", "file"}


def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        export_onnx(run, T1_TO_T2, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_export_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_text("text")
    with pytest.raises(InputError, match=r"a\.onnx: onnxruntime cannot read it"):
        OnnxFile(tmp_path / "a.onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([], "g", [value], [value])
    versions = {"opset_imports": [onnx.helper.make_opsetid("", 17)], "ir_version": 8}
    onnx.save(onnx.helper.make_model(graph, **versions), tmp_path / "b.onnx")
    with pytest.raises(InputError, match=r"b\.onnx: was not made by cyclegan-jax export"):
        OnnxFile(tmp_path / "b.onnx")


def test_the_program_of_the_page_translates(run, tmp_path, page_program):
    export_onnx(run, T1_TO_T2, tmp_path / "mine.onnx")
    slices, found = page_program("ONNX", without=("jax",))
    np.testing.assert_allclose(found, expected_of(run, slices), rtol=1e-4, atol=0.1)


def expected_of(run, slices):
    translator = load_translator(run, T1_TO_T2)
    images = intensity.normalise(slices, intensity.IntensityRange(*np.percentile(slices, (1, 99))))
    made = translator.generate(T1_TO_T2, images[..., None])[..., 0]
    return intensity.denormalise(made, translator.target_range)
