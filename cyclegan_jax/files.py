"""Writing files: a reader sees the old file or the new one, never a part."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from cyclegan_jax import InputError


def write_whole(path: Path, data: str | bytes) -> None:
    """Replaces `path` at once, also when several processes write it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_workdir(workdir: Path) -> Iterator[None]:
    """Turns an `OSError` into an `InputError` that names the flag and the mend."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--workdir={workdir} cannot be written ({error.strerror}); mend it or name another"
        ) from error
