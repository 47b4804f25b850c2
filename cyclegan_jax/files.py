"""Writing files whole: a reader sees the old file or the new one, never a part."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, data: str | bytes) -> None:
    """Replaces `path` at once, also when several processes write it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
