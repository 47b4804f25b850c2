"""Times the training step, translation and the input: `cyclegan-jax benchmark` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("benchmark")
