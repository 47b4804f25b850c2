"""What every script does around its one call."""

import sys
from collections.abc import Callable

from absl import app, logging

from cyclegan_jax import InputError, runtime


def run(main: Callable[[list[str]], int]) -> None:
    """Parses flags, calls `main` with the other arguments, and exits with its status.

    An `InputError`, a file that cannot be read or written and an unusable config file become one
    line on stderr and status 1. Libraries' own log lines below an error are silenced.
    """

    def guarded(argv: list[str]) -> int:
        logging.set_verbosity(logging.ERROR)
        try:
            return main(argv[1:])
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            print(
                f"error: {where}{error.strerror or error}; check permissions and free space",
                file=sys.stderr,
            )
        return 1

    def parse_flags(argv: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage(argv)
        except (AttributeError, OSError) as error:  # raised while the --config file is read
            print(f"error: --config cannot be used: {error}", file=sys.stderr)
            sys.exit(1)

    runtime.prepare()
    app.run(guarded, flags_parser=parse_flags)
