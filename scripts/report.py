"""Writes the page of a run, <workdir>/report.html. This works while the run trains, too.

python scripts/report.py --workdir=runs/quickstart
"""

from pathlib import Path

from absl import app, flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)


def main(arguments: list[str]) -> int:
    if arguments:
        raise app.UsageError(f"unexpected arguments: {' '.join(arguments)}")
    from cyclegan_jax.report import page  # late: --help and a bad flag answer at once

    print(f"written to {page.write(Path(_WORKDIR.value))}")
    return 0


if __name__ == "__main__":
    cli.run_script(main)
