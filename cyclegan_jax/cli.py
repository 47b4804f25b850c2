"""What every script does around its one call."""

import sys
from collections.abc import Callable

from absl import app, logging

from cyclegan_jax import InputError


def run(main: Callable[[list[str]], int]) -> None:
    """Parses flags, calls `main` with the other arguments, and exits with its status.

    An `InputError` becomes one line on stderr and status 1. Libraries' chatter below a warning is
    silenced.
    """

    def guarded(argv: list[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        try:
            return main(argv[1:])
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    app.run(guarded)
