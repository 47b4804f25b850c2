"""Levers that helped, together: BrainWeb at 64x64.

python scripts/sweep.py --config=configs/sweep_levers_together.py --workdir=runs/levers_together

Expected time on two cores: 6 trials of 2 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """`sweep_levers_head.py` with larger learning rates."""
    c = load_file(Path(__file__).with_name("sweep_levers_head.py")).get_config()
    c.optimizer.generator_learning_rate = c.optimizer.discriminator_learning_rate = 5e-4
    return c


LSGAN: dict[str, Any] = {"loss.adversarial": "lsgan"}
LEVERS: list[dict[str, Any]] = [
    LSGAN,
    LSGAN | {"generator.features": (32, 64, 128, 256)},
    LSGAN | {"data.dir": "data/brainweb43_val_disjoint"},
]


def sweep() -> list[dict[str, Any]]:
    """Every lever with each seed."""
    return [lever | {"seed": seed} for lever in LEVERS for seed in (0, 1)]
