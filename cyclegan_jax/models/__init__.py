"""The four networks as Flax modules: the U-Net generators and the patch discriminators.

`cyclegan_jax.models()` lists the models that are shipped. This folder has the same name, so the
module can be called, too.
"""

import importlib
import sys
import types


class _Models(types.ModuleType):
    def __call__(self) -> list[str]:
        """Returns what `trained.shipped.models` does."""
        return importlib.import_module("cyclegan_jax.trained.shipped").models()


sys.modules[__name__].__class__ = _Models
