"""Trains a CycleGAN, or goes on with the run in --workdir.

    python scripts/train.py --config=configs/quickstart.py --workdir=runs/quickstart

Override values after the config: --config.loss.cycle_weight=10 --config.data.dir=data/mine
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from cyclegan_jax import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "File that defines get_config().")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; made if need be.", required=True
)
flags.mark_flag_as_required("config")


def main(arguments: list[str]) -> int:
    if arguments:
        raise app.UsageError(f"unexpected arguments: {' '.join(arguments)}")
    from cyclegan_jax.train import train  # late: --help and a bad flag answer at once

    train(_CONFIG.value, Path(_WORKDIR.value))
    return 0


if __name__ == "__main__":
    cli.run(main)
