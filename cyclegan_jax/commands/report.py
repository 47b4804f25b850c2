"""Writes the page of a run, <workdir>/report.html. This works while the run trains, too.

cyclegan-jax report --workdir=runs/quickstart
"""

from pathlib import Path

from absl import flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)


def main(arguments: list[str]) -> int:
    cli.refuse_arguments(arguments)
    from cyclegan_jax.report import page  # late: --help and a bad flag answer at once

    print(f"written to {page.write(Path(_WORKDIR.value))}")
    return 0
