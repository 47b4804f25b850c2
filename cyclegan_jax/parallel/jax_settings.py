"""The settings of JAX that this package needs."""

import jax


def apply() -> None:
    """Applies them. JAX reads them when it first looks for devices, so call it before that.

    - One CPU device computes where it is called. A thread of its own, JAX's default, frees a step's
      temporary arrays a little late, when the next step may have allocated its own:
      docs/performance.md has the figures. No environment variable sets this.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
