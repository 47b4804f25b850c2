"""Compiles the training step for accelerators that need not be there, and says what it needs.

    cyclegan-jax compile --target=tpu:v5e:2x4 --config=ixi
    cyclegan-jax compile --target=cuda:h100:8 --config=brainweb43 --config.dtype=bfloat16

A target is a chip and how many there are: the shape of a TPU slice, a number of GPUs or hosts and
GPUs of each (cuda:h100:2x8), or a number of CPU devices (cpu:8). The batch, the type and the kind
of parallelism are those of the config. Compiling for TPUs needs `pip install
'cyclegan-jax[compile-tpu]'`, and for GPUs 'cyclegan-jax[compile-cuda]'. Compilation for a TPU takes
minutes. docs/accelerators.md has the chips and the figures, and says what they leave out.
"""

import json
import os

from absl import flags
from ml_collections import config_flags

from cyclegan_jax import config as config_lib
from cyclegan_jax.system import cli, config_flag

_CONFIG = config_flags.DEFINE_config_file("config", None, config_flag.HELP)
_TARGET = flags.DEFINE_string(
    "target", None, "Chip and number, for example tpu:v5e:2x4 or cuda:h100:8.", required=True
)
_LARGEST = flags.DEFINE_boolean(
    "largest_batch", True, "Compile larger batches, too, to find the largest one that fits."
)
_JSON = flags.DEFINE_boolean("json", False, "Print one JSON line.")
flags.mark_flag_as_required("config")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    from cyclegan_jax.compilation import targets  # without JAX, which reads the environment

    target, config = targets.parse(_TARGET.value), _CONFIG.value
    config_lib.validate(config)
    os.environ.update(targets.environment(target, os.environ))
    from cyclegan_jax.compilation import facts, tables
    from cyclegan_jax.render.text_table import as_text

    gathered = facts.gather(config, target, _LARGEST.value)
    if _JSON.value:
        print(json.dumps(gathered))
    else:
        print("\n\n".join(as_text(table) for table in tables.tables(gathered, target)))
    return 0
