"""Kernels of int8 in an ONNX graph: nothing is lost, and only such kernels are stored so."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cyclegan_jax.domains import Direction
from cyclegan_jax.export.model import export_model
from cyclegan_jax.export.onnx import OnnxFile, export_onnx
from cyclegan_jax.export.onnx_int8 import store_as_int8
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.trained.origin import ModelFolder


def graph_of(*kernels: np.ndarray) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(kernel, f"k{i}") for i, kernel in enumerate(kernels)]
    return helper.make_model(helper.make_graph([], "kernels", [], [], constants))


def product(model: onnx.ModelProto, name: str) -> np.ndarray:
    stored = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    assert stored[f"{name}_levels"].dtype == np.int8
    return stored[f"{name}_levels"].astype(np.float32) * stored[f"{name}_scale"]


def test_integers_times_a_scale_are_found_bit_for_bit():
    rng = np.random.default_rng(0)
    kernels = []
    for shape in ((64, 5, 3, 3), (1, 64, 1, 1)):
        levels = rng.integers(-127, 128, (5, 64, 3, 3)).astype(np.float32)
        levels[0] = 127
        scale = rng.uniform(1e-4, 1, shape if shape[0] == 1 else (5, 1, 1, 1)).astype(np.float32)
        scale.flat[1] = 0
        kernels.append(levels * scale)
    kernels.append(rng.normal(size=(5, 64, 3, 3)).astype(np.float32))
    model = graph_of(*kernels)
    store_as_int8(model)
    for i in range(2):
        np.testing.assert_array_equal(product(model, f"k{i}"), kernels[i])
    assert "k2" in [constant.name for constant in model.graph.initializer]
    assert [node.op_type for node in model.graph.node] == ["Cast", "Mul"] * 2


def test_a_model_folder_of_int8_gives_a_smaller_file_that_translates_alike(tiny_run, tmp_path):
    sizes = []
    for kind in ("float32", "int8"):
        export_model(tiny_run, "latest", tmp_path / kind, stored_as=kind)
        origin = ModelFolder(tmp_path / kind)
        export_onnx(origin, Direction.T1_TO_T2, tmp_path / f"{kind}.onnx")
        content = onnx.load(tmp_path / f"{kind}.onnx")
        sizes.append(sum(len(constant.raw_data) for constant in content.graph.initializer))
        images = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 1)).astype(np.float32)
        ours = TrainedGenerators(origin.read(), kind).translate(Direction.T1_TO_T2, images)
        found = OnnxFile(tmp_path / f"{kind}.onnx").translate(images)
        np.testing.assert_allclose(found, ours, atol=1e-5)
    assert sizes[1] < 0.6 * sizes[0]
