"""Translates scans to the other contrast: `cyclegan-jax translate` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("translate")
