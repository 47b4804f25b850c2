"""Translates images, NIfTI volumes and DICOM series, or folders of them, to the other contrast.

    cyclegan-jax translate --model=ixi-2mm --direction=t1_to_t2 scan_T1.nii.gz
    cyclegan-jax translate --workdir=runs/mine --direction=t1_to_t2 --out=translated T1_FOLDER
    cyclegan-jax translate --model=ixi-2mm --direction=t1_to_t2 --bids=ROOT --out=DERIVATIVES

Each result is on the grid of its scan, and volumes get a preview PNG beside it.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.domains import DIRECTIONS, Direction

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODEL = flags.DEFINE_multi_string(
    "model",
    [],
    "Instead of --workdir: folder of an exported model, or name of a shipped one. Given several "
    "times, the result is the mean of their translations, and <subject>_<contrast>_sd.nii.gz says "
    "where they differ.",
)
_DIRECTION = flags.DEFINE_enum("direction", None, list(DIRECTIONS), "Which contrast to make.")
_OUT = flags.DEFINE_string("out", "translated", "Folder for the results; made if need be.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_FRAME = flags.DEFINE_integer(
    "frame", None, "Which frame of 4-D NIfTI files to translate, from 0.", lower_bound=0
)
_CYCLE_ERROR = flags.DEFINE_bool(
    "cycle_error",
    False,
    "Also write <subject>_cycle_error.nii.gz: |F(G(x)) - x| in normalised units (0 to 2), where "
    "translating back does not return the source. NOT a calibrated uncertainty: a CycleGAN can "
    "have a small one where its translation is wrong.",
)
_MOVED = flags.DEFINE_bool(
    "moved_copies",
    False,
    "Translate five copies of each slice, four of them moved by a few pixels. The result is their "
    "mean, and <subject>_<contrast>_sd.nii.gz says where they differ. It takes five times as long.",
)
_RESAMPLE = flags.DEFINE_bool(
    "resample",
    True,
    "Translate volumes of other pixels than in training at the voxel size of training, and "
    "resample the result back to their grid.",
)
_STRICT = flags.DEFINE_bool(
    "strict",
    False,
    "Refuse a scan that is not like those of training, instead of saying so in a note.",
)
_INTERVAL = flags.DEFINE_float(
    "interval",
    None,
    "Also write <subject>_<contrast>_lower.nii.gz and _upper.nii.gz of volumes: intervals that "
    "hold the true value in this share of the head's voxels, on average: 0.5, 0.8, 0.9 or 0.95. "
    "The model must have been calibrated.",
)
_BIDS = flags.DEFINE_string(
    "bids",
    None,
    "Instead of scans: the root of a raw BIDS data set. --out becomes a derivative data set of it; "
    "it may be ROOT/derivatives/NAME.",
)
_FILTER = flags.DEFINE_multi_string(
    "filter",
    [],
    "With --bids: which scans are translated, as acq=highres, run=1 or rec=none (names without "
    "it). May be given several times.",
)


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    if _DIRECTION.value is None:
        raise InputError(f"give --direction={' or --direction='.join(DIRECTIONS)}")
    if _BIDS.value and arguments:
        raise InputError(f"--bids and {arguments[0]} exclude each other; give one of them")
    if _FILTER.value and not _BIDS.value:
        raise InputError("--filter is for --bids; omit it")
    # late: --help and a bad flag answer at once
    from cyclegan_jax.data.preparation.bids_names import read_filters
    from cyclegan_jax.trained.origin import origin_of
    from cyclegan_jax.translation.translate_files import translate

    failed = translate(
        [
            origin_of(_WORKDIR.value, _CHECKPOINT.value, model)
            for model in dict.fromkeys(_MODEL.value) or [None]
        ],
        Direction(_DIRECTION.value),
        [Path(argument) for argument in arguments],
        Path(_OUT.value),
        _FRAME.value,
        _CYCLE_ERROR.value,
        _RESAMPLE.value,
        Path(_BIDS.value) if _BIDS.value else None,
        read_filters(_FILTER.value),
        _STRICT.value,
        _INTERVAL.value,
        _MOVED.value,
    )
    if failed:
        print(f"{failed} of the scans failed; see above")
    return 1 if failed else 0
