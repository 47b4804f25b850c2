"""Exports trained generators for use elsewhere: a model folder, an ONNX file, or StableHLO.

    cyclegan-jax export --workdir=runs/mine --format=model --out=models/mine --data="IXI, 8 people"
    cyclegan-jax export --model=models/mine --format=onnx --direction=t1_to_t2 --out=mine.onnx

translate, evaluate and report take a model folder in the place of a run. The other two formats hold
one direction, and need no cyclegan_jax to run; see docs/export.md.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.domains import DIRECTIONS, Direction
from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Instead of --workdir, for onnx and stablehlo: folder of an exported model, or name of a "
    "shipped one.",
)
_OUT = flags.DEFINE_string(
    "out",
    None,
    "What to make; it must not exist: a folder, a file .onnx, or a file .stablehlo.",
    required=True,
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "model",
    ["model", "onnx", "stablehlo"],
    "What is written: a model folder with both directions, or one direction as a program.",
)
_DIRECTION = flags.DEFINE_enum(
    "direction", None, list(DIRECTIONS), "Which contrast to make, for onnx and stablehlo."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    None,
    "Height and width of an ONNX file's slices; default: as in training.",
    lower_bound=1,
)
_BATCH = flags.DEFINE_integer(
    "batch", None, "How many slices an ONNX file takes at once; default: any number.", lower_bound=1
)
_NAME = flags.DEFINE_string("name", "", "Name of the model; default: that of the source.")
_DATA = flags.DEFINE_string("data", "", "The training data in words.")
_LICENSE = flags.DEFINE_string("license", "", "Licence of the training data.")
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    None,
    ["float32", "int8"],
    "Type of a model folder's weights; default: float32. int8 makes a file of a quarter.",
)


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    out, about = Path(_OUT.value), (_NAME.value, _DATA.value, _LICENSE.value)
    _check_flags()
    # late: --help and a bad flag answer at once
    if _FORMAT.value == "model":
        from cyclegan_jax.export.model import export_model

        run, stored_as = Path(_WORKDIR.value or ""), _WEIGHTS.value or "float32"
        step = export_model(run, _CHECKPOINT.value, out, *about, stored_as)
        print(f"model of step {step} written to {out}; look at {out / 'README.md'}")
        return 0
    from cyclegan_jax.trained.origin import origin_of

    origin = origin_of(_WORKDIR.value, _CHECKPOINT.value, _MODEL.value)
    direction = Direction(_DIRECTION.value)
    if _FORMAT.value == "onnx":
        from cyclegan_jax.export.onnx import export_onnx

        size, batch = _IMAGE_SIZE.value or 0, _BATCH.value or 0
        difference = export_onnx(origin, direction, out, size, batch, *about)
    else:
        from cyclegan_jax.export.stablehlo import export_stablehlo

        difference = export_stablehlo(origin, direction, out, *about)
    print(f"{direction} written to {out}; it differs from cyclegan_jax by at most {difference:.1g}")
    return 0


def _check_flags() -> None:
    """Raises `InputError` if a flag is missing, or does not fit the format."""
    kind, programs = _FORMAT.value, ("onnx", "stablehlo")
    fits = (
        (_MODEL, programs),
        (_DIRECTION, programs),
        (_IMAGE_SIZE, ("onnx",)),
        (_BATCH, ("onnx",)),
        (_WEIGHTS, ("model",)),
    )
    for flag, formats in fits:
        if flag.value is not None and kind not in formats:
            raise InputError(
                f"--{flag.name}={flag.value}: --format={kind} has no use for it; omit it, or give "
                f"--format={' or '.join(formats)}"
            )
    if kind == "model" and not _WORKDIR.value:
        raise InputError("give --workdir, the folder of a run")
    if kind != "model" and _DIRECTION.value is None:
        raise InputError(f"--format={kind} holds one direction; give --direction")
