"""Exports the generators of a run as a model folder, with weights, facts and a card.

    cyclegan-jax export --workdir=runs/mine --format=model --out=models/mine --data="IXI, 8 people"

translate, evaluate and report take such a folder in the place of a run.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to make; it must not exist.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_FORMAT = flags.DEFINE_enum("format", "model", ["model"], "What is written: a model folder.")
_NAME = flags.DEFINE_string("name", "", "Name of the model; default: that of the workdir.")
_DATA = flags.DEFINE_string("data", "", "The training data in words, for the card.")
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "float32",
    ["float32", "int8"],
    "Type of the weights; int8 makes a file of a quarter.",
)
_LICENSE = flags.DEFINE_string("license", "", "Licence of the training data, for the card.")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    from cyclegan_jax.export.model import export_model  # late: --help and a bad flag answer at once

    out = Path(_OUT.value)
    step = export_model(
        Path(_WORKDIR.value),
        _CHECKPOINT.value,
        out,
        _NAME.value,
        _DATA.value,
        _LICENSE.value,
        _WEIGHTS.value,
    )
    print(f"model of step {step} written to {out}; look at {out / 'README.md'}")
    return 0
