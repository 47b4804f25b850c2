"""How a user starts a command: `cyclegan-jax train`, or `python scripts/train.py` in a clone.

What is printed to be typed next names commands in the way in which this process was started.
"""

import shutil
import sys
from pathlib import Path

import cyclegan_jax

PROGRAM = "cyclegan-jax"
_SCRIPTS = Path(cyclegan_jax.__file__).parents[1] / "scripts"  # in a clone
_OTHER_NAMES = {"prepare": "prepare_data"}  # of the scripts that are not called like the command


def start_of(command: str) -> list[str]:
    """Returns the words that start a command, for example `["cyclegan-jax", "train"]`."""
    started = Path(sys.argv[0])
    if started.suffix == ".py" and started.resolve().parent == _SCRIPTS.resolve():
        return ["python", str(started.with_name(f"{_OTHER_NAMES.get(command, command)}.py"))]
    return [PROGRAM, command]


def typed() -> list[str]:
    """Returns the words that started this process, as the user typed them.

    The console command is a file that Python runs. So its first word is not the interpreter, and
    it has no folder if the shell finds it without one.
    """
    words, program = sys.orig_argv, sys.argv[0]
    if Path(program).name != PROGRAM or program not in words:
        return words
    found = shutil.which(PROGRAM)
    shown = PROGRAM if found and Path(found).resolve() == Path(program).resolve() else program
    return [shown, *words[words.index(program) + 1 :]]
