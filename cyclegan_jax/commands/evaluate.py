"""Scores a run's checkpoint or a model: on held-out pairs, or without pairs on training images.

    cyclegan-jax evaluate --workdir=runs/quickstart
    cyclegan-jax evaluate --model=models/mine --data_dir=data/mine --out=scores/mine

Prints tables and writes <workdir>/eval/<step>/<split>/, or the folder --out: scores.json,
images.csv, subjects.csv, grid.png, best.png and worst.png; regions.csv where there are label maps.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODEL = flags.DEFINE_string(
    "model", None, "Instead of --workdir: folder of an exported model, or name of a shipped one."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Prepared data set that is scored; default: the run's own."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder for the scores, which --model needs; default: in the workdir."
)
_SPLIT = flags.DEFINE_string(
    "split", "", "test, val or train (without pairs); default: the first of these there is."
)
_PROTOCOL = flags.DEFINE_string(
    "protocol",
    "all",
    "brain, fixed, foreground, slice_max, gt_max, or all; see cyclegan_jax/evaluation/metrics.py.",
)
_LABEL_NAMES = flags.DEFINE_string(
    "label_names",
    "",
    "TSV with the names of the labels, in the place of those that the data were prepared with; "
    "dlmuse and freesurfer are shipped.",
)


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    # late: --help and a bad flag answer at once
    from cyclegan_jax.evaluation.evaluate import evaluate
    from cyclegan_jax.report import page
    from cyclegan_jax.trained.origin import origin_of

    origin = origin_of(_WORKDIR.value, _CHECKPOINT.value, _MODEL.value)
    out = Path(_OUT.value) if _OUT.value else None
    folder = evaluate(
        origin, _DATA_DIR.value, _SPLIT.value, _PROTOCOL.value, out, _LABEL_NAMES.value
    )
    print(f"written to {folder}")
    if out is None:
        page.write_or_say_why(origin.path)
    return 0
