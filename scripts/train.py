"""Trains a CycleGAN, or resumes a run: `cyclegan-jax train` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("train")
