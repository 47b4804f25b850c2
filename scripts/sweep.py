"""Trains many runs over config values: `cyclegan-jax sweep` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("sweep")
