"""Measures each choice of `brainweb43_best.py`: undoes one at a time, on BrainWeb at 64x64.

    cyclegan-jax prepare --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --validation=2::5 \
        --unpaired=shared --out=data/brainweb43_val
    cyclegan-jax sweep --config=sweep_brainweb43_ablation --workdir=runs/ablation

Expected time on two cores: 15 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """Returns `brainweb43_best.py` with a quarter of its pixels and with validation pairs."""
    c = load_file(Path(__file__).with_name("brainweb43_best.py")).get_config()
    c.data.dir = "data/brainweb43_val"
    c.image_size = 64
    c.discriminator.features = (32, 64, 128, 256)
    c.discriminator.strides = (2, 2, 2, 2)
    c.steps = 1000
    return c


def sweep() -> list[dict[str, Any]]:
    """Returns the recipe itself, and the recipe with each choice of the reference recipe."""
    rates = ("optimizer.generator_learning_rate", "optimizer.discriminator_learning_rate")
    return [
        {},
        {"generator.head": 0},
        {"generator.features": (32, 64, 128, 256, 256)},
        {"loss.adversarial": "bce"},
        dict.fromkeys(rates, 2e-4),
        {"loss.cycle_weight": 15.0, "loss.identity_ratio": 0.25},
    ]
