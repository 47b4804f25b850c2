"""Lists or verifies the checkpoints of a run, or exports the parameters of one.

    cyclegan-jax checkpoint list --workdir=runs/quickstart
    cyclegan-jax checkpoint verify --workdir=runs/quickstart
    cyclegan-jax checkpoint export_params --workdir=runs/quickstart --out=params.npz

verify reads everything, compares it with the digests, and exits with status 1 if a checkpoint is
damaged.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "best",
    "Checkpoint to export: best (by the score during training), latest, or a step.",
)
_OUT = flags.DEFINE_string("out", "", "File to export to; its name ends in .npz.")
_COMMANDS = ("list", "verify", "export_params")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    if len(arguments) != 1 or arguments[0] not in _COMMANDS:
        raise InputError(f"give one of {', '.join(_COMMANDS)}, not {' '.join(arguments)!r}")
    from cyclegan_jax.checkpoints import inspect  # late: --help and wrong flags must answer at once
    from cyclegan_jax.render import text_table

    workdir, out = Path(_WORKDIR.value), Path(_OUT.value)
    if arguments[0] == "export_params":
        if not _OUT.value:
            raise InputError("export_params needs --out, a file that ends in .npz")
        step = inspect.export_params(workdir, _CHECKPOINT.value, out)
        print(f"parameters of step {step} written to {out}")
        return 0
    table, damaged = inspect.checkpoint_table(
        workdir, "all" if arguments[0] == "verify" else "meta"
    )
    print(text_table.as_text(table))
    return int(damaged > 0 and arguments[0] == "verify")
