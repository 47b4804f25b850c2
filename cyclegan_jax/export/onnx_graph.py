"""Converts a JAX program on images to an ONNX graph, operation by operation.

JAX has maps as `[B, H, W, C]`, ONNX as `[B, C, H, W]`. So a value of four or more axes is stored in
the graph with its last axis second, whatever its axes mean. Then no convolution needs a
transposition, and the maps of one channel at both ends are the same bytes in either order.

Only what networks on images need is known, see `_OPERATIONS`. Whoever calls this must compare the
graph with the program: ONNX has other roundings, and a runtime may have faults of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import numpy as np
import onnx
from onnx import helper, numpy_helper

from cyclegan_jax import InputError
from cyclegan_jax.models.layers import EPSILON

INPUT, OUTPUT = "source", "translation"
_BATCH = "batch"
# Version 17 of the operators, of 2022, has all that is used here, and runtimes of today have it.
_OPSET, _IR = 17, 8
_END = -(2**31)  # before the first element, for a slice that runs backwards
_MAPS = (0, 3, 1, 2)  # the axes of maps [B, H, W, C] in the order of ONNX

# Calls of a function, which JAX keeps for its caches and its gradients; loops are none.
_INLINED = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call")

Value = str | np.ndarray  # the name of a stored value, or a constant with its axes as in JAX


def to_onnx(
    function: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    size: tuple[int, int],
    batch: int | None,
) -> onnx.ModelProto:
    """Returns an ONNX model of `function(params, images)`, with the parameters inside.

    Its input and its output are float32 `[batch, 1, H, W]`.

    Args:
      function: maps images `[B, H, W, 1]` to images of the same shape, each image alone.
      params: a pytree of arrays.
      size: H and W.
      batch: the number of images; None for any number.

    Raises:
      InputError: the function has an operation that is not known here.
    """
    (symbol,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((symbol, *size, 1), np.float32)
    program = jax.make_jaxpr(function)(params, images)
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    graph = _Graph()
    (out,) = graph.run(program.jaxpr, program.consts, [*arrays, INPUT])
    graph.nodes.append(helper.make_node("Identity", [graph.name_of(out)], [OUTPUT]))
    shape = [_BATCH if batch is None else batch, 1, *size]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in (INPUT, OUTPUT)
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "generator", ends[:1], ends[1:], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="cyclegan_jax",
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """The nodes and the constants of a graph that is being made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._names: dict[tuple[Any, ...], str] = {}

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """Adds the operations of a `jax.core.Jaxpr`, and returns its results."""
        known = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        known |= dict(zip(jaxpr.invars, inputs, strict=True))

        def value(atom: Any) -> Value:
            if hasattr(atom, "val"):  # a literal
                return np.asarray(atom.val, atom.aval.dtype)
            return known[atom]

        for equation in jaxpr.eqns:
            results = self._results(equation, [value(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, results, strict=True))
        return [value(atom) for atom in jaxpr.outvars]

    def _results(self, equation: Any, inputs: list[Value]) -> list[Value]:
        params = equation.params
        if equation.primitive.name in _INLINED:
            inner = params["jaxpr" if "jaxpr" in params else "call_jaxpr"]
            called = params.get("name", inner.jaxpr.debug_info.func_name)
            if called in _CALLS and all(isinstance(value, np.ndarray) for value in inputs[1:]):
                return [_CALLS[called](self, *inputs)]
            return self.run(inner.jaxpr, inner.consts, inputs)
        shapes = [var.aval.shape for var in equation.outvars]
        constant = all(isinstance(value, np.ndarray) for value in inputs)
        if constant and all(map(_is_known, shapes)) and equation.primitive.name != "dim_as_value":
            found = equation.primitive.bind(*inputs, **params)
            return [
                np.asarray(a) for a in (found if equation.primitive.multiple_results else [found])
            ]
        if equation.primitive.name not in _OPERATIONS:
            _refuse(equation)
        return [_OPERATIONS[equation.primitive.name](self, equation, *inputs)]

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Adds a node of one result, and returns the result's name."""
        name = f"{operator}_{len(self.nodes)}"
        names = [self.name_of(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name, **attributes))
        return name

    def name_of(self, value: Value) -> str:
        """Returns the name of a value; a constant is stored with its axes in our order."""
        if isinstance(value, str):
            return value
        return self.stored(value.transpose(_order(value.ndim)))

    def stored(self, array: np.ndarray) -> str:
        """Returns the name of a constant, each of which is kept once, with its axes as they are."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"constant_{len(self._names)}"
            self.constants.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]

    def integers(self, *values: int) -> str:
        """Returns the name of a list of numbers: axes, sizes, steps."""
        return self.stored(np.array(values, np.int64))

    def in_order(self, name: str, have: Sequence[int], want: Sequence[int]) -> str:
        """Returns a value whose axes, now `have`, are in the order `want`."""
        if tuple(have) == tuple(want):
            return name
        return self.add("Transpose", name, perm=[list(have).index(axis) for axis in want])


def _order(rank: int) -> tuple[int, ...]:
    """Returns the axes of a value in the order in which they are stored."""
    return (0, rank - 1, *range(1, rank - 1)) if rank >= 4 else tuple(range(rank))


def _place(axis: int, rank: int) -> int:
    """Returns where an axis of a value is stored."""
    return _order(rank).index(axis)


def _is_known(shape: tuple[Any, ...]) -> bool:
    return all(isinstance(size, int) for size in shape)


def _refuse(equation: Any) -> Any:
    what = equation.primitive.name
    raise InputError(
        f"this generator uses {what} in a way that export --format=onnx cannot write; use "
        "--format=stablehlo, or add it to cyclegan_jax/export/onnx_graph.py"
    )


def _sizes(equation: Any, shape: Sequence[Any]) -> list[int]:
    """Returns a shape for Reshape, in which -1 stands for the size that is not known."""
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return sizes if sizes.count(-1) <= 1 else _refuse(equation)


def _convolution(graph: _Graph, equation: Any, x: Value, kernel: Value) -> str:
    p = equation.params
    numbers, group = p["dimension_numbers"], p["feature_group_count"]
    padding, dilation, strides = p["padding"], p["lhs_dilation"], p["window_strides"]
    usual = numbers.lhs_spec == numbers.out_spec == _MAPS and p["batch_group_count"] == 1
    if not usual or not isinstance(kernel, np.ndarray):
        return _refuse(equation)
    kernel = kernel.transpose(numbers.rhs_spec)  # to [C_out, C_in, k, k]
    if dilation == (1, 1) and np.min(padding) >= 0:
        pads = [int(n) for n in np.transpose(padding).ravel()]
        dilations = list(p["rhs_dilation"])
        weight = graph.stored(kernel)
        return graph.add(
            "Conv", x, weight, strides=list(strides), dilations=dilations, pads=pads, group=group
        )
    # A convolution of a dilated map is the transposed convolution with the kernel turned, which
    # cuts off at each edge what is missing to the kernel's size less one.
    cut = [[k - 1 - n for n in edges] for k, edges in zip(kernel.shape[2:], padding, strict=True)]
    plain = strides == p["rhs_dilation"] == (1, 1) and group == 1
    if not plain or min(before for before, _ in cut) < 0:
        return _refuse(equation)
    turned = graph.stored(kernel[:, :, ::-1, ::-1].swapaxes(0, 1))
    return graph.add(
        "ConvTranspose",
        x,
        turned,
        strides=list(dilation),
        pads=[before for before, _ in cut] + [max(after, 0) for _, after in cut],
        output_padding=[max(-after, 0) for _, after in cut],
    )


def _window_sum(graph: _Graph, equation: Any, x: Value) -> str:
    p = equation.params
    window, padding, strides = (
        p[key] for key in ("window_dimensions", "padding", "window_strides")
    )
    dilated = {*p["base_dilation"], *p["window_dilation"]} != {1}
    if (
        len(window) != 4
        or dilated
        or window[0] * window[3] != 1
        or np.any([padding[0], padding[3]])
    ):
        return _refuse(equation)
    mean = graph.add(
        "AveragePool",
        x,
        kernel_shape=list(window[1:3]),
        strides=list(strides[1:3]),
        pads=[int(n) for n in np.transpose(padding[1:3]).ravel()],
        count_include_pad=1,
    )
    return graph.add("Mul", mean, np.array(window[1] * window[2], np.float32))


def _reduction(operator: str) -> Callable[..., str]:
    def reduce(graph: _Graph, equation: Any, x: Value) -> str:
        rank, axes = len(equation.invars[0].aval.shape), equation.params["axes"]
        stored = [_place(axis, rank) for axis in axes]
        if operator == "ReduceSum":
            reduced = graph.add(operator, x, graph.integers(*stored), keepdims=0)
        else:
            reduced = graph.add(operator, x, axes=stored, keepdims=0)
        kept = [axis for axis in range(rank) if axis not in axes]
        have = [kept.index(axis) for axis in _order(rank) if axis in kept]
        return graph.in_order(reduced, have, _order(len(kept)))

    return reduce


def _broadcast(graph: _Graph, equation: Any, x: Value, *_: Value) -> str:
    places, shape = equation.params["broadcast_dimensions"], equation.params["shape"]
    old = equation.invars[0].aval.shape
    rank, order = len(shape), _order(len(shape))
    want = [places.index(axis) for axis in order if axis in places]
    x = graph.in_order(graph.name_of(x), _order(len(old)), want)
    if new := [i for i, axis in enumerate(order) if axis not in places]:
        x = graph.add("Unsqueeze", x, graph.integers(*new))
    before = {axis: old[i] for i, axis in enumerate(places)}
    grows = [axis for axis in range(rank) if shape[axis] != before.get(axis, 1)]
    if not grows:
        return x
    if not _is_known(tuple(shape[axis] for axis in grows)):
        return _refuse(equation)
    sizes = [shape[axis] if axis in grows else 1 for axis in order]  # 1 keeps what is there
    return graph.add("Expand", x, graph.integers(*sizes))


def _reshape(graph: _Graph, equation: Any, x: Value) -> str:
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    name, have, want = graph.name_of(x), _order(len(old)), _order(len(new))
    alike = len(old) >= 4 and len(new) >= 4 and old[0] == new[0] and old[-1] == new[-1]
    if alike:  # the axis that is stored elsewhere takes no part
        sizes = _sizes(equation, [new[axis] for axis in want])
        return graph.add("Reshape", name, graph.integers(*sizes))
    name = graph.in_order(name, have, range(len(old)))
    name = graph.add("Reshape", name, graph.integers(*_sizes(equation, new)))
    return graph.in_order(name, range(len(new)), want)


def _transpose(graph: _Graph, equation: Any, x: Value) -> str:
    permutation = equation.params["permutation"]
    rank = len(permutation)
    want = [permutation[axis] for axis in _order(rank)]
    return graph.in_order(graph.name_of(x), _order(rank), want)


def _concatenate(graph: _Graph, equation: Any, *parts: Value) -> str:
    rank = len(equation.outvars[0].aval.shape)
    return graph.add("Concat", *parts, axis=_place(equation.params["dimension"], rank))


def _reverse(graph: _Graph, equation: Any, x: Value) -> str:
    axes = equation.params["dimensions"]
    places = [_place(axis, len(equation.invars[0].aval.shape)) for axis in axes]
    last, end, back = ([n] * len(axes) for n in (-1, _END, -1))
    return graph.add("Slice", x, *(graph.integers(*n) for n in (last, end, places, back)))


def _slice(graph: _Graph, equation: Any, x: Value) -> str:
    p, shape = equation.params, equation.invars[0].aval.shape
    steps = p["strides"] or (1,) * len(shape)
    ranges = list(zip(p["start_indices"], p["limit_indices"], steps, strict=True))
    cut = [i for i, found in enumerate(ranges) if found != (0, shape[i], 1)]
    if not all(_is_known(ranges[i]) for i in cut):
        return _refuse(equation)
    starts, ends, by = ([ranges[i][k] for i in cut] for k in range(3))
    places = [_place(i, len(shape)) for i in cut]
    return graph.add("Slice", x, *(graph.integers(*n) for n in (starts, ends, places, by)))


def _pad(graph: _Graph, equation: Any, x: Value, fill: Value) -> str:
    edges = equation.params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in edges):
        return _refuse(equation)
    order = _order(len(edges))
    sizes = [edges[axis][side] for side in (0, 1) for axis in order]
    return graph.add("Pad", x, graph.integers(*sizes), fill)


def _select(graph: _Graph, equation: Any, which: Value, *cases: Value) -> str:
    if len(cases) != 2 or equation.invars[0].aval.dtype != bool:
        return _refuse(equation)
    return graph.add("Where", which, cases[1], cases[0])


def _maximum(graph: _Graph, equation: Any, *inputs: Value) -> str:
    x, least = inputs
    if isinstance(least, np.ndarray) and least.ndim == 0 and least == 0:
        return graph.add("Relu", x)  # which runtimes join to the convolution before it
    return graph.add("Max", x, least)


def _converted(graph: _Graph, equation: Any, x: Value) -> Value:
    old, new = (v.aval.dtype for v in (equation.invars[0], equation.outvars[0]))
    return x if old == new else graph.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(new))


def _power(graph: _Graph, equation: Any, x: Value) -> str:
    return graph.add("Pow", x, np.array(equation.params["y"], np.float32))


def _plain(operator: str) -> Callable[..., str]:
    return lambda graph, equation, *inputs: graph.add(operator, *inputs)


# By the name of JAX's primitive: adds the nodes of an equation with its inputs, returns its result.
_OPERATIONS: dict[str, Callable[..., Value]] = {
    "conv_general_dilated": _convolution,
    "reduce_window_sum": _window_sum,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "rev": _reverse,
    "slice": _slice,
    "pad": _pad,
    "select_n": _select,
    "max": _maximum,
    "convert_element_type": _converted,
    "integer_pow": _power,
    "square": lambda graph, equation, x: graph.add("Mul", x, x),
    "rsqrt": lambda graph, equation, x: graph.add("Reciprocal", graph.add("Sqrt", x)),
    "reduce_sum": _reduction("ReduceSum"),
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    **{name: _plain(name.capitalize()) for name in ("add", "sub", "mul", "div", "min", "pow")},
    **{name: _plain(name.capitalize()) for name in ("tanh", "exp", "log", "sqrt", "abs", "neg")},
    **{"logistic": _plain("Sigmoid"), "erf": _plain("Erf"), "sign": _plain("Sign")},
    **{"gt": _plain("Greater"), "ge": _plain("GreaterOrEqual"), "eq": _plain("Equal")},
    **{"lt": _plain("Less"), "le": _plain("LessOrEqual")},
}


def _leaky_relu(graph: _Graph, x: Value, slope: Value) -> str:
    return graph.add("LeakyRelu", x, alpha=float(np.asarray(slope)))


def _instance_norm(graph: _Graph, x: Value, scale: Value, bias: Value) -> str:
    return graph.add("InstanceNormalization", x, scale, bias, epsilon=EPSILON)


# By the name of a function of JAX or of `models.layers` that has an operator of its own, which
# runtimes compute faster than its parts. The inputs after the first must be constants.
_CALLS: dict[str, Callable[..., Value]] = {
    "leaky_relu": _leaky_relu,
    "instance_norm": _instance_norm,
}
