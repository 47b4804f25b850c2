"""The commands of `cyclegan-jax`; those in `scripts/` are the same.

A command is an entry of `COMMANDS` and a module of its name in this room: a docstring, which is its
help, its flags, and `main`. Only the chosen module is imported, so flags of two commands may have
the same name.
"""

import importlib
import sys

from cyclegan_jax import __version__
from cyclegan_jax.system import cli
from cyclegan_jax.system.command_line import PROGRAM

COMMANDS = {  # {name: what it does}, in the order of use
    "prepare": "make a data set for training from folders of scans",
    "train": "train a CycleGAN, or resume a run",
    "evaluate": "score a run or a model on held-out pairs, or without pairs",
    "translate": "translate scans to the other contrast",
    "report": "write the page of a run or of a model",
    "sweep": "train many runs over config values, and compare them",
    "export": "write what a run has learned as a model folder, ONNX or StableHLO",
    "refine": "improve trained models by each other's translations, without pairs",
    "calibrate": "add to a model how far its translations can be trusted",
    "web": "write a page that translates in the browser",
    "checkpoint": "list, verify or export checkpoints",
    "compile": "compile the training step for GPUs or TPUs that need not be there",
    "benchmark": "time the training step, translation and the input",
    "device_check": "check the GPU or TPU of this machine, and write a report to send",
}


def main() -> None:
    """Runs the command that the first argument names; this is the program `cyclegan-jax`."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name == "--version":
        print(f"cyclegan_jax {__version__}")
        sys.exit(0)
    if name in ("", "--help", "-h", "help"):
        sys.exit(cli.report_errors(_print_overview) or (0 if name else 1))
    if name not in COMMANDS:
        sys.exit(f"error: there is no command {name!r}; choose one of {', '.join(COMMANDS)}")
    del sys.argv[1]
    run(name)


def run(name: str) -> None:
    """Runs a command on the arguments of this process, and exits with its status."""
    module = importlib.import_module(f"{__name__}.{name}")
    cli.run_script(module.main)


def _print_overview() -> int:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    text = "\n".join(
        [
            "CycleGAN for unpaired T1-weighted and T2-weighted brain MRI.",
            "",
            f"usage: {PROGRAM} COMMAND --FLAG=VALUE ...",
            "",
            "commands:",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help shows the flags of a command, and",
            f"{PROGRAM} --version the version.",
        ]
    )
    print(text, flush=True)
    return 0
