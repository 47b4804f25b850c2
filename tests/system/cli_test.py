"""Errors and statuses of scripts, each in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import threading, time
from cyclegan_jax import InputError
from cyclegan_jax.system import cli

def main(arguments):
    threading.Thread(target=time.sleep, args=(120,)).start()  # as orbax's, when a save has failed
    print("said")
    {end}

cli.run_script(main)
"""


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [("raise InputError('bad')", 1, "error: bad\n"), ("return 3", 3, "")],
)
def test_a_thread_that_does_not_end_keeps_no_failure_alive(end, status, message):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "said\n", message)


PIPED = """
from cyclegan_jax.system import cli

def main(arguments):
    for _ in range(100_000):
        print("much")
    return 0

cli.run_script(main)
"""


def test_an_output_that_nobody_reads_is_one_line():
    with subprocess.Popen(
        [sys.executable, "-c", PIPED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        message = process.stderr.read()
    assert process.returncode == 1
    assert message == "error: stopped, because the program that read the output has ended\n"
