"""What every script does around its one call."""

import os
import sys
from collections.abc import Callable

from absl import app, logging

from cyclegan_jax import InputError
from cyclegan_jax.system import runtime


def run(main: Callable[[list[str]], int]) -> None:
    """Parses flags, calls `main` with the other arguments, and exits with its status.

    What `guarded` says holds for `main`; an unusable config file becomes one line, too. Libraries'
    own log lines are silenced: what matters they raise.
    """

    def work(argv: list[str]) -> int:
        logging.set_verbosity(logging.FATAL)
        status = guarded(lambda: main(argv[1:]))
        if status:
            # no clean-up: it waits for threads, and those of a save that has failed may not end
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status

    def parse_flags(argv: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage(argv)
        except (AttributeError, OSError) as error:  # raised while the --config file is read
            print(f"error: --config cannot be used: {error}", file=sys.stderr)
            sys.exit(1)

    runtime.prepare()
    app.run(work, flags_parser=parse_flags)


def guarded(work: Callable[[], int]) -> int:
    """The status of `work`.

    An `InputError` and a file that cannot be read or written become one line on stderr and
    status 1.
    """
    try:
        return work()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # as in `train.py ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing fails again
        print("error: stopped, for what read the output has ended", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; check permissions and free space",
            file=sys.stderr,
        )
    return 1
