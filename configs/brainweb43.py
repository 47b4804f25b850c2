"""The reference recipe: 43 BrainWeb slices of each contrast at 256x256.

    cyclegan-jax prepare --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --unpaired=shared \
        --out=data/brainweb43
    cyclegan-jax train --config=brainweb43 --workdir=runs/brainweb43

It has BCE losses, lambda 15, identity 0.25 lambda, and batches of 8 images in 4 views. It has no
image pool and no averaged generators. Expected time: the recipe is meant for one GPU and is not
measured there yet; two CPU cores need about a minute for a step. Expected score: not measured yet;
`brainweb43_small.py` is measured, see docs/results.md.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the recipe. The base config has its networks, losses and optimizers already."""
    c = base_config()
    c.data.dir = "data/brainweb43"
    c.data.views = 4
    c.data.contrast = 0.2
    c.batch_size = 32
    c.steps = 5000
    return c
