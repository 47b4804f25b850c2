"""Whole heads at 2 mm on two CPU cores: a rehearsal of `ixi.py` on volumes of 120x120x90 voxels.

    python scripts/prepare_data.py --x=ixi2mm/t1 --y=ixi2mm/t2 --val_x=ixi2mm/paired_val/t1 \
        --val_y=ixi2mm/paired_val/t2 --out=data/ixi_small
    python scripts/train.py --config=configs/ixi_small.py --workdir=runs/ixi_small

Expected time on two cores: 40 minutes. Expected score, 3 seeds: SSIM on the 4 validation heads
0.514 +- 0.003 T1 to T2, 0.511 +- 0.008 T2 to T1 (untranslated 0.204): the T1 volumes are clipped,
docs/ixi.md says what that costs and has the data set.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the deltas on the base config."""
    c = base_config()
    c.image_size = 128
    c.data.dir = "data/ixi_small"
    c.data.shift = 4
    c.batch_size = 2
    c.steps = 6000
    c.generator.features = (32, 64, 128, 256, 256, 256)
    c.generator.head = 32
    # Discriminators that see the whole head: those of 34-pixel patches let the generator paint
    # ventricles again and again (docs/ixi.md).
    c.discriminator.features = (32, 64, 128, 256, 256)
    c.discriminator.strides = (2, 2, 2, 2, 2)
    c.ema_decay = 0.998
    c.sample_every = c.eval_every = c.save_every = 500
    return c
