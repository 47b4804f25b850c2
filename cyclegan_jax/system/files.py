"""Writing files, of which a reader sees the old or the new, never a part; their digests."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
def written_beside(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yields a hidden path beside `path`, renamed to `path` only if the block succeeds.

    For libraries that write by path and choose the format by the suffix.

    Raises:
      InputError: `path` ends in none of `suffixes`, or it cannot be written.
    """
    suffix = next((s for s in suffixes if path.name.lower().endswith(s)), None)
    if suffix is None:
        kinds = " or ".join(suffixes)
        raise InputError(f"{path}: cannot write this kind of file; name it {kinds}")
    # Not tempfile: its 0600 mode would survive the renaming.
    beside = path.with_name(f".{uuid.uuid4().hex[:12]}{suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot write ({error}); check folder and free space") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def checksum(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its visible files' digests, sorted, one per line."""
    if path.is_dir():
        visible = (p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        digests = "\n".join(sorted(map(checksum, visible)))
        return hashlib.sha256(digests.encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_json(value: Any) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
