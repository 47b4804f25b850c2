"""Writes the page of a run: `cyclegan-jax report` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("report")
