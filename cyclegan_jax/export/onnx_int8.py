"""Stores the kernels of an ONNX graph as int8 where that loses nothing.

A model folder of int8 has kernels that are integers times a scale of their channel. A graph that
holds them as such is a quarter as large, and a runtime multiplies them once, when it loads them.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

_LARGEST = 127  # of int8, without its sign
_LEAST = 256  # values; a smaller constant is left as it is


def store_as_int8(model: onnx.ModelProto) -> None:
    """Replaces kernels by integers and scales whose product is the same bit for bit.

    Other kernels, such as those of a run, stay float32.
    """
    graph = model.graph
    kept: list[onnx.TensorProto] = []
    added: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for constant in graph.initializer:
        found = _split(numpy_helper.to_array(constant))
        if found is None:
            kept.append(constant)
            continue
        name = constant.name
        parts = [f"{name}_levels", f"{name}_scale", f"{name}_float"]
        added += [numpy_helper.from_array(part, parts[i]) for i, part in enumerate(found)]
        nodes.append(helper.make_node("Cast", parts[:1], parts[2:], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [parts[2], parts[1]], [name]))
    everything = [*nodes, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *added])
    graph.node.extend(everything)


def _split(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns integers and scales of a kernel, or None if it is no exact product of such."""
    if kernel.dtype != np.float32 or kernel.ndim < 2 or kernel.size < _LEAST:
        return None
    for axis in (0, 1):  # of the output channels in a convolution, and in a transposed one
        others = tuple(a for a in range(kernel.ndim) if a != axis)
        scale = np.abs(kernel).max(axis=others, keepdims=True) / np.float32(_LARGEST)
        # the product was rounded, so the scale may be a neighbour of what it gives back
        for near in (np.nextafter(scale, np.float32(to)) for to in (0, np.inf)):
            exact = (_levels(kernel, near) * near == kernel).all(axis=others, keepdims=True)
            scale = np.where(exact, near, scale)
        levels = _levels(kernel, scale)
        if (levels * scale == kernel).all():
            return levels.astype(np.int8), scale
    return None


def _levels(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    levels = np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale > 0)
    return np.clip(levels.round(), -_LARGEST, _LARGEST)
