"""Scores a run's checkpoint: on held-out pairs, or without pairs on training images.

    cyclegan-jax evaluate --workdir=runs/quickstart

Prints tables and writes <workdir>/eval/<step>/<split>/: scores.json, images.csv, subjects.csv,
grid.png, best.png and worst.png.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Prepared data set that is scored; default: the run's own."
)
_SPLIT = flags.DEFINE_string(
    "split", "", "test, val or train (without pairs); default: the first of these there is."
)
_PROTOCOL = flags.DEFINE_string(
    "protocol",
    "all",
    "brain, fixed, foreground, slice_max, gt_max, or all; see cyclegan_jax/evaluation/metrics.py.",
)


def main(arguments: list[str]) -> int:
    cli.refuse_arguments(arguments)
    from cyclegan_jax.evaluation.evaluate import evaluate
    from cyclegan_jax.report import page  # late: --help and a bad flag answer at once

    workdir = Path(_WORKDIR.value)
    folder = evaluate(workdir, _CHECKPOINT.value, _DATA_DIR.value, _SPLIT.value, _PROTOCOL.value)
    print(f"written to {folder}")
    page.write_or_say_why(workdir)
    return 0
