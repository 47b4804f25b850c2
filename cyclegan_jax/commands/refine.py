r"""Refines trained models by back-translation, without pairs, and writes a new model folder.

    cyclegan-jax refine --model=models/a --model=models/b --model=models/c \
        --data_dir=data/mine --out=models/refined

The first model is refined with the help of all of them, which are best the seeds of one recipe.
One model alone also improves, by less. docs/training.md says how, docs/experiments.md how much.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli

_MODELS = flags.DEFINE_multi_string(
    "model", [], "Folder of an exported model, or name of a shipped one; give it several times."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "The prepared data set that the models were trained on; models of phantoms need none.",
)
_OUT = flags.DEFINE_string("out", None, "Folder to make; it must not exist.", required=True)
_STEPS = flags.DEFINE_integer("steps", 2000, "Number of steps.")
_NAME = flags.DEFINE_string("name", "", "Name of the model; default: that of the first one.")
_DATA = flags.DEFINE_string("data", "", "The training data in words; default: as the first one.")
_LICENSE = flags.DEFINE_string(
    "license", "", "Licence of the training data; default: as the first one."
)
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "float32",
    ["float32", "int8"],
    "Type of the weights; int8 makes a file of a quarter.",
)


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    if not _MODELS.value or not all(_MODELS.value):
        raise InputError("give --model, the folder of an exported model, once or several times")
    # late: --help and a bad flag answer at once
    from cyclegan_jax.export.refined import refine_models
    from cyclegan_jax.trained.shipped import find_model

    folders, out = [find_model(name) for name in _MODELS.value], Path(_OUT.value)
    texts = {"name": _NAME.value, "data": _DATA.value, "license": _LICENSE.value}
    refine_models(folders, _DATA_DIR.value, out, _STEPS.value, texts, _WEIGHTS.value)
    print(f"refined model written to {out}; look at {out / 'README.md'}")
    return 0
