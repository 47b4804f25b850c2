"""Does one job of the check, in a process of its own.

    python -m cyclegan_jax.device_check JOB JSON

A process of its own starts with empty memory, so that its peak is the job's, and leaves the device
to the next one. The last line that it prints is a JSON object: the result, or what went wrong: a
`mistake` of the user, or an `error`.
"""

import json
import os
import sys

from cyclegan_jax import InputError
from cyclegan_jax.compilation import targets
from cyclegan_jax.system import runtime


def main() -> None:
    """Does the job that the first argument names with the values of the second, and prints it."""
    name, values = sys.argv[1], json.loads(sys.argv[2])
    runtime.tune_process()
    if target := values.get("target"):
        os.environ.update(targets.environment(targets.parse(target), os.environ))
    from cyclegan_jax.device_check import jobs  # imports JAX, which reads the environment

    try:
        result = jobs.JOBS[name](**values)
    except InputError as error:
        result = {"mistake": str(error)}
    except Exception as error:  # whatever the device's software raises belongs in the report
        first = (str(error).strip() or "no message").split("\n")[0]
        result = {"error": f"{type(error).__name__}: {first}"}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
