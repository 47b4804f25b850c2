"""Sweeps lambda and the identity ratio on BrainWeb at 64x64: 9 settings, two seeds, 18 trials.

    cyclegan-jax prepare --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --validation=2::5 \
        --unpaired=shared --out=data/brainweb43_val
    cyclegan-jax sweep --config=sweep_brainweb43 --workdir=runs/sweep_brainweb43

Expected time on two cores: 40 minutes. Expected scores: docs/results.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """Returns `brainweb43_small.py` with a quarter of its pixels and with validation pairs."""
    c = load_file(Path(__file__).with_name("brainweb43_small.py")).get_config()
    c.data.dir = "data/brainweb43_val"
    c.image_size = 64
    c.generator.features = (32, 64, 128, 256, 256)
    c.discriminator.features = (32, 64, 128, 256)
    c.discriminator.strides = (2, 2, 2, 2)
    c.steps = 1000
    return c


def sweep() -> dict[str, Any]:
    """Returns every combination: all settings with the first seed, then all with the second."""
    return {
        "seed": (0, 1),
        "loss.cycle_weight": (5.0, 15.0, 45.0),
        "loss.identity_ratio": (0.0, 0.25, 1.0),
    }
