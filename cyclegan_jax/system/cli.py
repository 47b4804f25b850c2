"""Runs a command: parses its flags, and turns errors into one line and an exit status."""

import codecs
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from cyclegan_jax import InputError
from cyclegan_jax.system import command_line, config_flag, runtime

_HELP = {"--help", "-help", "-h", "--helpshort", "-helpshort", "-?"}
_PLAIN = {"→": "->", "±": "+-", "λ": "lambda"}  # for terminals that lack these signs


def run_script(main: Callable[[list[str]], int]) -> None:
    """Parses flags, calls `main` with the other arguments, and exits with its status.

    Its errors are printed as in `report_errors`, and an unusable config file becomes one line, too.
    The log lines of libraries are not shown: libraries raise what matters. With `--help` the
    docstring and the flags of the module of `main` are printed instead.
    """

    def work(argv: list[str]) -> int:
        logging.set_verbosity(logging.FATAL)
        status = report_errors(lambda: main(argv[1:]))
        if status:
            # No clean-up: it would wait for threads, and those of a failed save may never end.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status

    def parse_flags(argv: list[str]) -> list[str]:
        if not _HELP.isdisjoint(argv):
            sys.exit(report_errors(lambda: _print_help(main.__module__)))
        try:
            sys.argv = config_flag.resolve(argv)  # which config_flags reads itself
            return app.parse_flags_with_usage(sys.argv)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except (AttributeError, OSError) as error:  # raised while the --config file is read
            print(f"error: --config cannot be used: {error}", file=sys.stderr)
            sys.exit(1)

    runtime.tune_process()
    print_everything()
    app.run(work, flags_parser=parse_flags)


def print_everything() -> None:
    """Lets no sign that a terminal lacks stop the process: it is printed plainly, or as "?"."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        text = error.object[error.start : error.end]
        return "".join(_PLAIN.get(sign, "?") for sign in text), error.end

    codecs.register_error("plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Raises an `InputError` if there are arguments; most commands take flags only."""
    if arguments:
        raise InputError(
            f"unexpected arguments: {' '.join(arguments)}; write --flag=value, and see --help"
        )


def _print_help(module: str) -> int:
    def started(command: re.Match[str]) -> str:
        return shlex.join(command_line.start_of(command[1]))

    text = (sys.modules[module].__doc__ or "").strip()
    text = re.sub(rf"{command_line.PROGRAM} (\w+)", started, text)
    _, _, listed = flags.FLAGS.module_help(module).lstrip().partition("\n")  # the module's name
    listed = listed.replace("\n    (default: 'None')", "")
    print(f"{text}\n\nflags:\n{listed}", flush=True)
    return 0


def report_errors(work: Callable[[], int]) -> int:
    """Calls `work` and returns its status.

    An `InputError`, or a file that cannot be read or written, becomes one line on stderr and
    status 1.
    """
    try:
        return work()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # as in `cyclegan-jax train ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing fails again
        print("error: stopped, because the program that read the output has ended", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; check permissions and free space",
            file=sys.stderr,
        )
    return 1
