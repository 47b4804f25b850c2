"""Quick start"""

from cyclegan_jax.config import base_config


def get_config():
    c = base_config()
    c.image_size = 64
    c.batch_size = 8
    c.steps = 300
    c.generator.features = (32, 64, 128, 256, 256)
    c.discriminator.features = (32, 64, 128, 128)
    c.discriminator.strides = (2, 2, 2, 2)
    c.ema_decay = 0.995
    c.sample_every = c.eval_every = c.save_every = 100
    return c
