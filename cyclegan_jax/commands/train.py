"""Trains a CycleGAN, or resumes the run in --workdir.

    cyclegan-jax train --config=quickstart --workdir=runs/quickstart

Override values after the config: --config.loss.cycle_weight=10 --config.data.dir=data/mine

With --distributed this is one of several processes that train one run; see docs/scale.md.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli, config_flag

_CONFIG = config_flags.DEFINE_config_file("config", None, config_flag.HELP)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; is made if need be.", required=True
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    "",
    "RUN, RUN@STEP or MODEL: a new run starts from the weights of this run or exported model.",
)
_PROFILE = flags.DEFINE_string(
    "profile", "", "STEP:COUNT: traces COUNT steps from step STEP on, to WORKDIR/profile."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "This is one of several processes; without the next three flags, the cluster names them.",
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")
_PROCESSES = flags.DEFINE_integer("processes", None, "Number of processes.")
flags.mark_flag_as_required("config")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    # late: --help and a bad flag answer at once
    from cyclegan_jax.parallel import multihost
    from cyclegan_jax.training.train import train

    def work() -> int:
        config, workdir = _CONFIG.value, Path(_WORKDIR.value)
        # who asked it to stop may not wait for a report
        if train(config, workdir, _INIT_FROM.value, _PROFILE.value):
            from cyclegan_jax.report.page import finish  # late: it imports matplotlib and scipy

            finish(workdir, config.steps)
        return 0

    joining = (_COORDINATOR.value, _PROCESS_ID.value, _PROCESSES.value)
    if _DISTRIBUTED.value:
        return multihost.join_and_run(lambda: cli.report_errors(work), *joining)
    if any(value is not None for value in joining):
        raise InputError("--coordinator, --process_id and --processes need --distributed")
    return work()
