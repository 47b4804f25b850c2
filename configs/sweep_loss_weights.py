"""Sweeps the quick start over the cycle weight lambda, the identity ratio and two seeds: 18 trials.

    cyclegan-jax sweep --config=sweep_loss_weights --workdir=runs/sweep_loss_weights

Expected time on two cores: 18 times as long as the quick start. Expected scores: not measured yet.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """Returns the config of the quick start."""
    return load_file(Path(__file__).with_name("quickstart.py")).get_config()


def sweep() -> dict[str, Any]:
    """Returns every combination; the seed changes fastest."""
    return {
        "loss.cycle_weight": (2.0, 5.0, 15.0),
        "loss.identity_ratio": (0.0, 0.1, 0.5),
        "seed": (0, 1),
    }
