"""Whole heads at 1 mm on one GPU, from the IXI data set. docs/ixi.md says how to get and align it.

    cyclegan-jax prepare --x=IXI/T1 --y=IXI/T2 --val_x=IXI/val/T1 --val_y=IXI/val/T2 \
        --test_x=IXI/test/T1 --test_y=IXI/test/T2 --spacing=1 --out=data/ixi
    cyclegan-jax train --config=ixi --workdir=runs/ixi

The recipe has the 70x70 patch discriminators of pix2pix, least squares, an image pool of 50 images,
averaged generators, and bfloat16 activations. Expected time and score: not measured yet.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the base config with the changes of this recipe."""
    c = base_config()
    c.data.dir = "data/ixi"
    c.data.shift = 8
    c.data.contrast = 0.1
    c.data.workers = 4
    c.batch_size = 8
    c.steps = 100_000
    c.dtype = "bfloat16"
    c.generator.upsampling = "resize"
    c.discriminator.features = (64, 128, 256, 512)
    c.discriminator.strides = (2, 2, 2, 1)
    c.loss.adversarial = "lsgan"
    c.history_size = 50
    c.ema_decay = 0.999
    c.log_every = 100
    c.sample_every = c.eval_every = c.save_every = 2000
    return c
