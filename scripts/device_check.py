"""Checks the GPU or TPU of this machine: `cyclegan-jax device_check` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("device_check")
