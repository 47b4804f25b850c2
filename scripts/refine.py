"""Refines trained models: `cyclegan-jax refine` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("refine")
