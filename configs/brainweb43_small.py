"""The reference recipe's data and losses at 128x128, sized for two CPU cores.

    cyclegan-jax prepare --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --unpaired=shared \
        --out=data/brainweb43
    cyclegan-jax train --config=brainweb43_small --workdir=runs/brainweb43_small

Expected time on two cores: 15 to 22 minutes. Expected score: SSIM on the 9 held-out slices 0.85 T1
to T2, 0.90 T2 to T1 (untranslated 0.20); see docs/results.md.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the base config with the changes of this recipe."""
    c = base_config()
    c.image_size = 128
    c.data.dir = "data/brainweb43"
    c.data.fit = "resize"
    c.batch_size = 4
    c.steps = 2000
    c.generator.features = (32, 64, 128, 256, 256, 256)
    c.discriminator.features = (32, 64, 128, 256, 256)
    c.discriminator.strides = (2, 2, 2, 2, 2)
    c.ema_decay = 0.995
    c.sample_every = c.eval_every = c.save_every = 250
    return c
