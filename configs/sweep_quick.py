"""Levers on the quick start: phantoms at 64x64.

python scripts/sweep.py --config=configs/sweep_quick.py --workdir=runs/quick

Expected time on two cores: 12 trials of 4 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """`quickstart.py`."""
    c = load_file(Path(__file__).with_name("quickstart.py")).get_config()
    c.save_every = 1500
    c.keep = 1
    return c


LSGAN: dict[str, Any] = {"loss.adversarial": "lsgan"}
STRONG: dict[str, Any] = {"loss.cycle_weight": 45.0, "loss.identity_ratio": 0.0}
LEVERS: list[dict[str, Any]] = [
    LSGAN,
    STRONG,
    LSGAN | STRONG,
    LSGAN | {"loss.cycle_weight": 15.0, "loss.identity_ratio": 0.0},
    LSGAN
    | STRONG
    | {"discriminator.features": (32, 64, 128, 256), "discriminator.strides": (2, 2, 2, 2)},
    LSGAN | {"loss.cycle_weight": 15.0, "loss.identity_ratio": 0.1},
]


def sweep() -> list[dict[str, Any]]:
    """Every lever with each seed."""
    return [lever | {"seed": seed} for seed in (0, 1) for lever in LEVERS]
