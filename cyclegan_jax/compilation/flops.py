"""Counts the operations of the convolutions and matrix products of a function.

It counts what the mathematics needs: neither the padding and the holes that a convolution reads,
nor what nobody uses. XLA's own count exists for some platforms only.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal


def count(function: Callable[..., Any], *arguments: Any) -> int:
    """Returns the operations of `function`; a multiplication and an addition are two.

    Where a function depends on the platform (`ops.convolution`), that of accelerators is counted.

    Args:
      function: to be traced by JAX.
      *arguments: arrays or `jax.ShapeDtypeStruct`.
    """
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    return _count(traced, [True] * len(traced.outvars))[0]


def _count(jaxpr: Any, wanted: Sequence[bool]) -> tuple[int, list[bool]]:
    """Returns the operations for the wanted outputs of a jaxpr, and which inputs they need."""
    needed = {
        v for v, want in zip(jaxpr.outvars, wanted, strict=True) if want and not _is_literal(v)
    }
    total = 0
    for eqn in reversed(jaxpr.eqns):
        outputs = [v in needed for v in eqn.outvars]
        if not (any(outputs) or eqn.effects):
            continue
        operations, inputs = _of_equation(eqn, outputs)
        total += operations
        needed |= {
            v for v, need in zip(eqn.invars, inputs, strict=True) if need and not _is_literal(v)
        }
    return total, [v in needed for v in jaxpr.invars]


def _of_equation(eqn: Any, outputs: list[bool]) -> tuple[int, list[bool]]:
    name, everything = eqn.primitive.name, [True] * len(eqn.invars)
    if name == "conv_general_dilated":
        return _of_convolution(eqn), everything
    if name == "dot_general":
        return _of_product(eqn), everything
    if name == "cond":
        platforms = eqn.params.get("branches_platforms") or ()
        chosen = platforms.index(None) if None in platforms else -1
        total, inputs = _count(eqn.params["branches"][chosen].jaxpr, outputs)
        return total, [True, *inputs]
    inner = [
        getattr(value, "jaxpr", value)
        for value in eqn.params.values()
        if hasattr(value, "eqns") or hasattr(value, "jaxpr")
    ]
    if name in ("jit", "pjit", "closed_call", "remat2", "checkpoint", "custom_vjp_call") and inner:
        total, inputs = _count(inner[0], outputs)
        return total, inputs if len(inputs) == len(everything) else everything
    times = eqn.params["length"] if name == "scan" else 1
    total = sum(_count(jaxpr, [True] * len(jaxpr.outvars))[0] for jaxpr in inner)
    return times * total, everything


def _of_convolution(eqn: Any) -> int:
    numbers, p = eqn.params["dimension_numbers"], eqn.params
    image, kernel = (v.aval.shape for v in eqn.invars)
    out = eqn.outvars[0].aval.shape
    taps = math.prod(
        _taps(image[i], kernel[k], out[o], stride, padding, holes, spread)
        for i, k, o, stride, padding, holes, spread in zip(
            numbers.lhs_spec[2:],
            numbers.rhs_spec[2:],
            numbers.out_spec[2:],
            p["window_strides"],
            p["padding"],
            p["lhs_dilation"],
            p["rhs_dilation"],
            strict=True,
        )
    )
    images = out[numbers.out_spec[0]]
    features, depth = kernel[numbers.rhs_spec[0]], kernel[numbers.rhs_spec[1]]
    return 2 * images * features * depth * taps


def _taps(
    size: int,
    kernel: int,
    out: int,
    stride: int,
    padding: tuple[int, int],
    holes: int,
    spread: int,
) -> int:
    """Returns how many pairs of an output and a tap along one axis meet a number of the image."""
    place = np.arange(out)[:, None] * stride - padding[0] + np.arange(kernel) * spread
    inside = (place >= 0) & (place <= (size - 1) * holes) & (place % holes == 0)
    return int(inside.sum())


def _of_product(eqn: Any) -> int:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return 2 * math.prod(eqn.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)


def _is_literal(variable: Any) -> bool:
    return isinstance(variable, Literal)
