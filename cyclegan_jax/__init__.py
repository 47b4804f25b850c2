"""CycleGAN in JAX/Flax for unpaired T1-weighted <-> T2-weighted brain MRI translation.

Conventions, used everywhere and written only here:

* Domain **X is T1-weighted**, domain **Y is T2-weighted**. ``generator_g`` maps X to Y and
  ``generator_f`` maps Y to X. ``discriminator_x`` judges images of X, ``discriminator_y``
  images of Y. The four always travel together in ``models.networks.Networks``.
* Images inside the package are ``float32 [B, H, W, 1]`` in ``[-1, 1]``; -1 is air and is the
  padding value.
* With G = generator_g and F = generator_f: ``fake_y = G(real_x)``, ``cycled_x = F(fake_y)``,
  ``same_y = G(real_y)``, and the mirror image ``fake_x``, ``cycled_y``, ``same_x``.

`load_model` and `models` are the Python interface, see docs/python.md. They are imported when they
are first used, so that `import cyclegan_jax` imports no JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclegan_jax.interface import Model, load_model
    from cyclegan_jax.trained.shipped import models

__all__ = ["InputError", "Model", "__version__", "load_model", "models"]
__version__ = "0.1.0"


class InputError(ValueError):
    """A mistake in the input. The message names the file or key, the value, and what to do.

    The commands print it as one line and exit with status 1. Any other error is a bug and keeps its
    stack trace.
    """


def __getattr__(name: str) -> Any:
    if name in ("Model", "load_model"):
        return getattr(importlib.import_module("cyclegan_jax.interface"), name)
    if name == "models":  # the room of the networks, which is called as a function
        return importlib.import_module("cyclegan_jax.models")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
