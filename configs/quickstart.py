"""A first run on the embedded phantom: 64x64 slices of simulated heads, minutes on two CPU cores.

    python scripts/train.py --config=configs/quickstart.py --workdir=runs/quickstart

Expected time: 4 minutes. Expected score: SSIM on the test heads 0.78 both ways
(untranslated 0.36); docs/results.md has the figures and what did not work.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Deltas on the base config."""
    c = base_config()
    c.image_size = 64
    c.batch_size = 4
    c.steps = 1500
    c.data.phantom.noise = 0.02
    c.data.phantom.bias = 0.1
    c.generator.features = (32, 64, 128)
    c.generator.head = 32
    # A weak identity term: with the reference's the generators keep the contrast they see (dark
    # fluid stays dark) and invent ventricles where the other contrast often has them.
    c.discriminator.features = (64, 128, 256)
    c.discriminator.strides = (2, 2, 2)
    c.loss.cycle_weight = 5.0
    c.loss.identity_ratio = 0.1
    c.optimizer.generator_learning_rate = c.optimizer.discriminator_learning_rate = 5e-4
    c.ema_decay = 0.99
    c.sample_every = c.eval_every = c.save_every = 500
    return c
