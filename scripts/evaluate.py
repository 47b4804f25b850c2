"""Scores a run: `cyclegan-jax evaluate` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("evaluate")
