"""Exports a model folder: `cyclegan-jax export` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("export")
