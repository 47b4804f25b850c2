"""Limits what a file may do to this process: it bounds memory and turns crashes into errors.

A few kilobytes can declare, and inflate to, more than any machine holds, so what a file declares is
checked before any of it is decoded. Memory is bounded by the number of voxels: a float64 voxel
takes 12 bytes while it is read, with the float32 made of it, so the largest volume takes 6 GiB.
"""

import contextlib
import math
import shlex
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cyclegan_jax import InputError

MOST_VOXELS = 2**29  # of a volume or stack; a whole head at 0.3 mm has 512 x 800 x 800, 2**28.3
MOST_PIXELS = 2**26  # of an image or slice: 8192 x 8192
MOST_HEADER = 2**26  # bytes before a volume's voxels; scanners' extensions take some kilobytes
PIECE = 2**24  # bytes that are inflated at once
_LONGEST_POINTER = 2**15  # bytes, by git-annex's rule; git-LFS writes less
_LFS, _ANNEX, _ANNEX_LINK = "version https://git-lfs", "/annex/objects/", ".git/annex/objects/"


def check_declared(
    path: Path, shape: Sequence[int], most: int, what_to_do: str = "crop it, or fix its header"
) -> None:
    """Raises InputError if a file declares a ``shape`` of more than ``most`` values, or of none."""
    declared = f"{path}: declares {' x '.join(map(str, shape)) or 'no'} values"
    if not shape or min(shape) < 1:
        raise InputError(f"{declared}; its header is damaged, export it again")
    if math.prod(map(int, shape)) > most:
        raise InputError(f"{declared}, but at most {most} are read; {what_to_do}")


def inflate(compressed: bytes, size: int) -> bytes:
    """Returns the first ``size`` bytes of zlib data, or all if it has fewer.

    Raises zlib.error for damaged data.
    """
    return zlib.decompressobj().decompress(compressed, size)


def inflate_whole(compressed: bytes, most: int) -> bytes:
    """Returns all of zlib data, up to its checksum.

    Raises zlib.error for data that are damaged, cut off, or longer than ``most`` bytes.
    """
    worker = zlib.decompressobj()
    inflated = worker.decompress(compressed, most + 1)  # zlib checks where there is room for more
    if not worker.eof or len(inflated) > most:
        raise zlib.error(f"inflates to more than {most} bytes, or is cut off")
    return inflated


def inflated_length(compressed: bytes, most: int) -> int:
    """Returns how many bytes zlib data inflates to; stops counting once it is above ``most``.

    The bytes are not kept. Raises zlib.error for damaged data.
    """
    worker, length = zlib.decompressobj(), 0
    while compressed and length <= most:
        length += len(worker.decompress(compressed, PIECE))
        compressed = worker.unconsumed_tail
    return length


@contextlib.contextmanager
def reading(path: Path, what: str, what_to_do: str) -> Iterator[None]:
    """Makes an InputError of whatever a library raises, which can be nearly anything.

    ``what`` names the thing that is read, for example "image"; ``what_to_do`` ends the message.
    """
    try:
        yield
    except MemoryError as error:
        raise InputError(
            f"{path}: reading the {what} needs more memory than there is; use a machine with more"
        ) from error
    except Exception as error:
        if message := unfetched(path):
            raise InputError(message) from error
        if isinstance(error, InputError):
            raise
        cause = " ".join(str(error).split())[:300] or type(error).__name__  # on one line
        raise InputError(f"{path}: cannot read the {what} ({cause}); {what_to_do}") from error


def unfetched(path: Path) -> str:
    """Returns a message if a file's content is still on another machine, else "".

    The file is then a pointer of git-annex (DataLad, OpenNeuro) or git-LFS, or a link to nothing.
    """
    pointed, link = "", path.is_symlink() and not path.exists()
    with contextlib.suppress(OSError):
        if link:
            pointed = str(path.readlink()).replace("\\", "/")
        elif path.is_file() and path.stat().st_size <= _LONGEST_POINTER:  # a pipe would wait
            with path.open("rb") as stream:
                pointed = stream.readline(_LONGEST_POINTER).decode(errors="replace").strip()
    if pointed.startswith(_LFS):
        return f"{path}: is not fetched yet, it is a pointer of git-LFS; run: git lfs pull"
    folder = shlex.quote(str(path.parent))
    get = f"datalad get {folder} (or: git annex get {folder})"
    if pointed.startswith(_ANNEX) or _ANNEX_LINK in pointed:
        return f"{path}: is not fetched yet, it is a pointer of git-annex; run: {get}"
    if link:
        return (
            f"{path}: is not fetched yet, it links to {pointed}, which is not there; copy that "
            f"file, or in a DataLad data set run: {get}"
        )
    return ""
