"""Writes a page that translates in the browser: `cyclegan-jax web` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("web")
