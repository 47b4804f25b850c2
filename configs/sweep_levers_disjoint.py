"""Levers on `brainweb43_best.py`, one at a time: BrainWeb at 64x64, no slice in both contrasts.

    python scripts/prepare_data.py --x=T1_FOLDER --y=T2_FOLDER --holdout=2::5 --validation=2::5 \
        --out=data/brainweb43_val_disjoint
    python scripts/sweep.py --config=configs/sweep_levers_disjoint.py --workdir=runs/levers_disjoint

Expected time on two cores: 50 minutes. Expected scores: docs/experiments.md.
"""

from pathlib import Path
from typing import Any

from cyclegan_jax.config import Config, load_file


def get_config() -> Config:
    """The base of the ablation, on slices of which each is in one contrast only."""
    c = load_file(Path(__file__).with_name("sweep_brainweb43_ablation.py")).get_config()
    c.data.dir = "data/brainweb43_val_disjoint"
    return c


def sweep() -> list[dict[str, Any]]:
    """The recipe with two seeds, and one lever at a time."""
    rate = "optimizer.discriminator_learning_rate"
    return [
        {},
        {"seed": 1},
        {"loss.adversarial": "hinge"},
        {"loss.r1": 0.1},
        {"loss.r1": 1.0},
        {rate: 2e-4},
        {rate: 1e-4},
        {"history_size": 50},
        {"generator.upsampling": "resize"},
        {"generator.upsampling": "pixel_shuffle"},
        {"loss.cycle_gradients": 1.0},
        {"loss.cycle_ssim": 0.2},
        {"loss.cycle_start": 0.2},
        {"loss.cycle_end": 0.2},
        {"data.shift": 4},
        {"data.contrast": 0.1},
        {"discriminator.features": (16, 32, 64, 128)},
        {"discriminator.features": (64, 128, 256, 512)},
    ]
