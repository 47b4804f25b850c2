"""Adds to a model folder what says how far its translations can be trusted, see docs/trust.md.

    cyclegan-jax calibrate --model=models/mine --data_dir=data/mine

These are the limits of the training scans, by which other scans are compared with them, and
intervals that were calibrated on held-out pairs. The card is written anew.
"""

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli

_MODEL = flags.DEFINE_string(
    "model", None, "Folder of an exported model, or name of a shipped one.", required=True
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "The prepared data set that the model was trained on, or another one with pairs, of which the "
    "intervals are then; models of phantoms need none.",
)


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    # late: --help and a bad flag answer at once
    from cyclegan_jax.export.calibration import calibrate_model
    from cyclegan_jax.trained.shipped import find_model

    if not _MODEL.value:
        raise InputError("--model is empty; give the folder of a model")
    folder = find_model(_MODEL.value)
    done = calibrate_model(folder, _DATA_DIR.value)
    for note in done.notes:
        print(f"note: {note}")
    print(f"{folder} has now: {', '.join(done.added)}")
    return 0
