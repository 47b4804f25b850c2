"""Trains every trial of a config's sweep() and reports which values are best.

    cyclegan-jax sweep --config=sweep_loss_weights --workdir=runs/weights --dry_run
    cyclegan-jax sweep --config=sweep_loss_weights --workdir=runs/weights

Launch it again to resume. docs/sweeps.md has the grammar, clusters and the files.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from cyclegan_jax import InputError
from cyclegan_jax import config as config_lib
from cyclegan_jax.system import cli, config_flag, shipped
from cyclegan_jax.system.workdir import Workdir

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Name of a shipped sweep, for example sweep_loss_weights, or a file that defines get_config() "
    "and sweep().",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the sweep; is made if need be.", required=True
)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "List and check the trials, train nothing.")
_TRIAL = flags.DEFINE_integer("trial", None, "Train this trial alone, for job arrays.")
_COLLECT = flags.DEFINE_boolean("collect", False, "Gather what there is, train nothing.")
_AT_ONCE = flags.DEFINE_integer(
    "parallel_trials",
    1,
    "Trials at once, each on a device of its own. It pays with several accelerators; two CPU cores "
    "as two devices were 3 to 6 % faster than one trial after the other (docs/performance.md).",
    lower_bound=1,
)
_METRIC = flags.DEFINE_string("metric", "ssim", "Validation metric to rank by: ssim, psnr or mae.")
_STOPPED = 75  # EX_TEMPFAIL: a job scheduler should launch it again
flags.mark_flag_as_required("config")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    from cyclegan_jax.sweeps import grammar, page, results, runner  # late: --help is quick

    results.check_metric(_METRIC.value)
    if _COLLECT.value and _TRIAL.value is not None:
        raise InputError("give either --collect or --trial, not both")
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    name = config_flag.named(file)
    overridden = config_flags.get_override_values(flags.FLAGS["config"])
    module = config_lib.load_file(file) if file.endswith(config_flag.RECIPE) else None
    if module is None or not hasattr(module, "sweep"):
        sweeps = [
            recipe for recipe in shipped.names(config_flag.RECIPE) if recipe.startswith("sweep_")
        ]
        raise InputError(
            f"{name} defines no sweep(); write one (docs/sweeps.md), or give a shipped one: "
            f"{', '.join(sweeps)}"
        )
    sweep = grammar.expand(_CONFIG.value, module.sweep(), list(overridden))
    workdir = Path(_WORKDIR.value)
    print(runner.listing(sweep), flush=True)
    digests = runner.check(sweep, _TRIAL.value, _AT_ONCE.value)
    if _COLLECT.value and not Workdir(workdir).sweep.exists():
        raise InputError(f"{workdir} holds no sweep to collect")
    runner.claim(sweep, workdir, digests, new=not _DRY_RUN.value)
    if _DRY_RUN.value:
        return 0
    if not _COLLECT.value and not runner.train_trials(sweep, workdir, _TRIAL.value, _AT_ONCE.value):
        print("stopped and saved; to resume, launch the same command again")
        return _STOPPED
    if _TRIAL.value is None:
        chosen = [f"--config={name}", *(f"--config.{k}={v}" for k, v in overridden.items())]
        page.collect(sweep, workdir, _METRIC.value, chosen)
    return 0
