"""Checks the GPU or TPU of this machine, and writes a report that can be sent.

    cyclegan-jax device_check --out=device_check
    cyclegan-jax device_check --out=tried --quick

It trains the quick start for 200 steps on the device and on the CPU and compares the losses, times
the training step at 256x256 with batches of 1, 8 and 32, and compares the memory that the device
held with what was planned. One device is used, the first that JAX finds. The report has no names of
files, users or machines. With --quick a few steps of small images show that the check itself works,
on a CPU too.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax import InputError
from cyclegan_jax.system import cli

_OUT = flags.DEFINE_string("out", "device_check", "New folder for report.txt and report.json.")
_QUICK = flags.DEFINE_boolean("quick", False, "Only show that the check works, in a minute.")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    out = Path(_OUT.value)
    if out.exists():
        raise InputError(f"--out={out} is there already; name a new folder, or remove it")
    from cyclegan_jax.device_check import check, report

    text = ""

    def show(found: check.Report) -> None:
        nonlocal text
        out.mkdir(parents=True, exist_ok=True)
        report.write(found, out)
        text = report.text(found)

    check.run(check.QUICK if _QUICK.value else check.FULL, show)
    print(f"{text}\n\nwritten to {out}/report.txt and {out}/report.json")
    return 0
