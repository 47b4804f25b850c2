"""Where steps run: devices, independent trials on devices, several processes as one run.

Importing this room applies `jax_settings`, before JAX looks for devices.
"""

from cyclegan_jax.parallel import jax_settings

jax_settings.apply_settings()
