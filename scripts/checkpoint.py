"""Lists, verifies or exports checkpoints: `cyclegan-jax checkpoint` from a clone."""

from cyclegan_jax.commands import run

if __name__ == "__main__":
    run("checkpoint")
