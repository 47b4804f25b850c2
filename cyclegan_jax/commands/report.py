"""Writes the page of a run, <workdir>/report.html, also while it trains, or the page of a model.

    cyclegan-jax report --workdir=runs/quickstart
    cyclegan-jax report --model=models/mine --out=mine.html

The page is one file that needs no network.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODEL = flags.DEFINE_string(
    "model", None, "Instead of --workdir: folder of an exported model, or name of a shipped one."
)
_OUT = flags.DEFINE_string("out", "", "File for the page of a model; it ends in .html.")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    # late: --help and a bad flag answer at once
    from cyclegan_jax.report import model_page, page
    from cyclegan_jax.trained.origin import BEST, origin_of

    origin = origin_of(_WORKDIR.value, BEST, _MODEL.value)
    if bool(_OUT.value) != (origin.workdir is None):
        raise InputError(
            "--out is for --model; the page of a run lies in its workdir"
            if _OUT.value
            else "--model needs --out, a file that ends in .html"
        )
    if origin.workdir is None:
        written = model_page.write_model_page(origin.path, Path(_OUT.value))
    else:
        written = page.write(origin.workdir)
    print(f"written to {written}")
    return 0
