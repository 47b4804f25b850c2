"""Makes a data set for training from folders of scans: `cyclegan-jax prepare` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("prepare")
