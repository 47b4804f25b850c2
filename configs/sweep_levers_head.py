"""Levers on the shallow generator with a head, one at a time: BrainWeb at 64x64.

python scripts/sweep.py --config=configs/sweep_levers_head.py --workdir=runs/levers_head

Expected time on two cores: 14 trials of 2 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """`sweep_brainweb43.py` at its best setting, with three levels and the head."""
    c = load_file(Path(__file__).with_name("sweep_brainweb43.py")).get_config()
    c.loss.cycle_weight = 45.0
    c.loss.identity_ratio = 0.0
    c.generator.features = (32, 64, 128)
    c.generator.head = 32
    c.save_every = 1000
    c.keep = 1
    return c


LEVERS: list[dict[str, Any]] = [
    {"loss.cycle_weight": 15.0},
    {"data.dir": "data/brainweb43_val_disjoint"},
    {"generator.features": (32, 64, 128, 256)},
    {"loss.adversarial": "lsgan"},
    {"loss.cycle_noise": 0.05},
    {"discriminator.augment": "color,translation"},
    {"optimizer.generator_learning_rate": 5e-4, "optimizer.discriminator_learning_rate": 5e-4},
]


def sweep() -> list[dict[str, Any]]:
    """Every lever with each seed."""
    return [lever | {"seed": seed} for seed in (0, 1) for lever in LEVERS]
