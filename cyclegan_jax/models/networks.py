"""The four networks: the container that they travel in, and how a config becomes modules.

Each kind of network has a file of its own. docs/extending.md shows how to add a generator.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from cyclegan_jax import InputError
from cyclegan_jax.config import GENERATORS, Config, base_config
from cyclegan_jax.models.patchgan import PatchDiscriminator


class Networks(flax.struct.PyTreeNode):
    """One entry for each network: its module, its parameters, its optimizer, its gradients, ..."""

    generator_g: Any  # X -> Y
    generator_f: Any  # Y -> X
    discriminator_x: Any
    discriminator_y: Any

    def map(self, function: Callable[..., Any], *others: "Networks") -> "Networks":
        """Applies `function` to each network's entry, and to the same entry of `others`."""
        return Networks(
            **{
                field.name: function(*(getattr(n, field.name) for n in (self, *others)))
                for field in dataclasses.fields(self)
            }
        )

    def only_generators(self) -> "Networks":
        """Returns the same generators, with None in the place of the discriminators."""
        return self.replace(discriminator_x=None, discriminator_y=None)


def build_modules(config: Config) -> Networks:
    """Returns the four Flax modules that a validated config describes.

    Raises:
      InputError: `config.generator` sets an option that its type of generator does not have.
    """
    dtype = jnp.dtype(config.dtype)
    d = config.discriminator
    generator = _build_generator(config.generator, dtype)
    discriminator = PatchDiscriminator(
        features=tuple(d.features),
        strides=tuple(d.strides),
        kernel_size=d.kernel_size,
        norm=d.norm,
        dtype=dtype,
    )
    return Networks(generator, generator, discriminator, discriminator)


def _build_generator(options: Config, dtype: jnp.dtype) -> Any:
    module, _, name = GENERATORS[options.type].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    fields = {field.name for field in dataclasses.fields(kind)}
    given = {key: tuple(v) if isinstance(v, list | tuple) else v for key, v in options.items()}
    defaults = base_config().generator
    for key, value in given.items():
        if key != "type" and key not in fields and value != defaults[key]:
            raise InputError(
                f"config.generator.{key} = {value!r}: the generator {options.type!r} has no such "
                f"option; leave it at {defaults[key]!r}, or choose another config.generator.type"
            )
    return kind(**{key: value for key, value in given.items() if key in fields}, dtype=dtype)


def init_params(config: Config, modules: Networks, seed: int | jax.Array) -> Networks:
    """Returns fresh parameters. Each network is initialised from a key of its own."""
    images = jnp.zeros((1, config.image_size, config.image_size, 1), jnp.float32)
    keys = Networks(*jax.random.split(jax.random.key(seed), 4))
    return modules.map(lambda module, key: module.init(key, images)["params"], keys)


@dataclasses.dataclass(frozen=True)
class Recomputed:
    """A module whose inner maps are not kept for the backward pass, but computed again there."""

    module: Any

    def apply(self, variables: Any, images: jax.Array) -> jax.Array:
        """Returns what the module's `apply` returns."""
        return jax.checkpoint(self.module.apply)(variables, images)


@functools.partial(jax.jit, static_argnums=0)
def apply_network(module: Any, params: Any, images: jax.Array) -> jax.Array:
    """Returns a network's output, `[B, h, w, 1]`, for `images` `[B, H, W, 1]` in [-1, 1].

    Compiled, so that both networks of a kind are traced, differentiated and lowered as one.
    """
    return module.apply({"params": params}, images)


def apply_to_both(module: Any, params: Any, a: jax.Array, b: jax.Array) -> list[jax.Array]:
    """Returns a network's outputs for two batches, computed in one call.

    Networks treat every image alone (instance norm), so this changes no number.
    """
    return jnp.split(apply_network(module, params, jnp.concatenate([a, b])), 2)
