"""Levers against the known failures of the reference losses, one at a time: BrainWeb at 64x64.

python scripts/sweep.py --config=configs/sweep_levers_brainweb43.py --workdir=runs/levers

Expected time on two cores: 6 trials of 2 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file

SEEDS = (0, 1)


def get_config() -> Config:
    """`sweep_brainweb43.py` at its best setting."""
    c = load_file(Path(__file__).with_name("sweep_brainweb43.py")).get_config()
    c.loss.cycle_weight = 45.0
    c.loss.identity_ratio = 0.0
    c.save_every = 1000
    c.keep = 1
    return c


LEVERS: list[dict[str, Any]] = [
    {},
    {"generator.features": (32, 64, 128)},
    {"generator.features": (32, 64, 128), "generator.head": 32},
]


def sweep() -> list[dict[str, Any]]:
    """Every lever with each seed."""
    return [lever | {"seed": seed} for lever in LEVERS for seed in SEEDS]
