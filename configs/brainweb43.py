"""The reference recipe: 43 BrainWeb slices of each contrast at 256x256.

    python scripts/prepare_data.py --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --unpaired=shared \
        --out=data/brainweb43
    python scripts/train.py --config=configs/brainweb43.py --workdir=runs/brainweb43

BCE, lambda 15, identity 0.25 lambda, 8 images in 4 views in every batch, no history, no averaging.
Expected time: meant for one GPU and not measured there yet; two CPU cores need about a minute a
step. Expected score: not measured yet; `brainweb43_small.py` has been, see docs/results.md.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the base config, which has this recipe's networks and losses, with its data."""
    c = base_config()
    c.data.dir = "data/brainweb43"
    c.data.views = 4
    c.data.contrast = 0.2
    c.batch_size = 32
    c.steps = 5000
    return c
