"""Writing files so that a reader sees the old or the new content, never a part; their digests."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclegan_jax import InputError


def write_whole(path: Path, data: str | bytes) -> None:
    """Replaces the content of `path` at once, also when several processes write it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def hidden_folder_beside(path: Path) -> Path:
    """Makes an empty hidden folder beside `path`, and the folders above it; `publish` renames it.

    Raises OSError if it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))


def publish(folder: Path, path: Path) -> None:
    """Renames a folder of `hidden_folder_beside` to `path`, with the mode of an ordinary folder.

    Raises OSError if it cannot be renamed.
    """
    umask = os.umask(0)  # it can only be read by setting it
    os.umask(umask)
    folder.chmod(0o777 & ~umask)  # a temporary folder is its owner's alone
    os.replace(folder, path)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty hidden folder, which becomes `out` only if the block succeeds.

    Raises:
      InputError: it cannot be made, written or renamed; the message names the flag --out.
    """
    try:
        work = hidden_folder_beside(out)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({error.strerror})") from error
    try:
        yield work
        publish(work, out)
    except OSError as error:
        raise InputError(
            f"--out={out}: cannot be written ({error.strerror}); make room or name another"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def written_beside(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yields a hidden path beside `path`, which is renamed to `path` only if the block succeeds.

    It is for libraries that write by path and choose the format by the suffix.

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


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file or a folder.

    That of a folder is of the digests of its visible files, sorted, one in a line.
    """
    if path.is_dir():
        visible = (p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        digests = "\n".join(sorted(map(file_digest, visible)))
        return hashlib.sha256(digests.encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """Returns the SHA-256 of a JSON-serialisable value; the order of its keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
