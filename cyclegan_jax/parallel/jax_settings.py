"""The settings of JAX that this package needs, and the devices that it finds."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from cyclegan_jax import InputError


def apply_settings() -> None:
    """Applies them. JAX reads them when it first looks for devices, so call it before that.

    - One CPU device computes where it is called. A thread of its own, JAX's default, frees a step's
      temporary arrays a little late, when the next step may have allocated its own:
      docs/performance.md has the figures. No environment variable sets this.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def with_precision(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """Returns `function` with its matrix products and convolutions at this precision when compiled.

    Args:
      function: to be traced by JAX.
      precision: `config.matmul_precision`. "default" is what JAX does otherwise, also by
        `JAX_DEFAULT_MATMUL_PRECISION`.
    """
    if precision == "default":
        return function

    @functools.wraps(function)
    def traced(*arguments: Any, **named: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return function(*arguments, **named)

    return traced


def devices() -> list[Any]:
    """Returns all devices of all processes.

    Raises:
      InputError: JAX finds none, as with `JAX_PLATFORMS=cuda` where there is no GPU.
    """
    try:
        return jax.devices()
    except (AssertionError, RuntimeError) as error:  # jax asserts that it knows the platform
        wanted = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        reason = str(error).strip().split("\n")[0]
        found = (
            f"JAX_PLATFORMS={wanted}: JAX finds no such device" if wanted else "JAX has no device"
        )
        raise InputError(
            f"{found}{f' ({reason})' if reason else ''}; unset JAX_PLATFORMS to use what there is, "
            "or install the JAX of that device (docs/training.md)"
        ) from error
