"""A first run on the embedded phantom: 64x64 slices of simulated heads, minutes on two CPU cores.

    cyclegan-jax train --config=quickstart --workdir=runs/quickstart

Expected time: 3 minutes. Expected score: SSIM on the 4 test heads, mean ± sd over 5 seeds, 0.824 ±
0.009 T1 to T2, 0.847 ± 0.012 T2 to T1 (untranslated 0.36); see docs/results.md. docs/experiments.md
says how the recipe was chosen, on validation heads.
"""

from cyclegan_jax.config import Config, base_config


def get_config() -> Config:
    """Returns the base config with the changes of this recipe."""
    c = base_config()
    c.image_size = 64
    c.batch_size = 4
    c.steps = 1500
    c.data.phantom.noise = 0.02
    c.data.phantom.bias = 0.1
    # One level only: with three levels, generators paint grey matter where it usually is, not where
    # this head has it.
    c.generator.features = (64,)
    c.generator.head = 64
    c.discriminator.features = (64, 128, 256)
    c.discriminator.strides = (2, 2, 2)
    c.loss.adversarial = "lsgan"
    c.loss.cycle_weight = 5.0
    c.loss.identity_ratio = 0.0
    c.optimizer.generator_learning_rate = c.optimizer.discriminator_learning_rate = 1e-3
    c.ema_decay = 0.99
    c.sample_every = c.eval_every = c.save_every = 500
    return c
