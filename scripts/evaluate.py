"""Scores a run's checkpoint on held-out pairs, both directions.

    python scripts/evaluate.py --workdir=runs/quickstart

Writes <workdir>/eval/<step>/scores.json, images.csv and grid.png.
"""

from pathlib import Path

from absl import app, flags

from cyclegan_jax import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Prepared data set whose test pairs are scored; default: the run's own."
)


def main(arguments: list[str]) -> int:
    if arguments:
        raise app.UsageError(f"unexpected arguments: {' '.join(arguments)}")
    from cyclegan_jax import report  # late: --help and a bad flag answer at once
    from cyclegan_jax.evaluate import evaluate

    workdir = Path(_WORKDIR.value)
    folder = evaluate(workdir, _CHECKPOINT.value, _DATA_DIR.value)
    print(f"written to {folder}")
    report.write_or_say_why(workdir)
    return 0


if __name__ == "__main__":
    cli.run(main)
