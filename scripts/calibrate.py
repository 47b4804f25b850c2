"""Adds limits to a model folder: `cyclegan-jax calibrate` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("calibrate")
