"""Compiles for accelerators that are not there: `cyclegan-jax compile` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("compile")
