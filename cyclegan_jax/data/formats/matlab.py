"""Reads arrays of numbers from MATLAB's files of version 5 to 7.

scipy's reader is not used: one changed byte (a type code) still ends the process in scipy 1.17.1.
The format is MathWorks' "MAT-File Format" (Level 5), R2023a.
"""

import dataclasses
import math
import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from cyclegan_jax.data import limits

_HEADER = 128  # bytes of the file's own
_BEFORE_NUMBERS = 4096  # flags, shape and name of an array need at most so many bytes
_COMPRESSED, _MATRIX = 15, 14
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_STORED |= {13: "u8"}
_CLASSES = range(6, 16)  # double, single and the integers
_COMPLEX, _LOGICAL = 0x800, 0x200


@dataclasses.dataclass(frozen=True)
class Matrix:
    """One variable; `read` returns its numbers, real parts only, in MATLAB's axes."""

    name: str
    shape: tuple[int, ...]
    is_number: bool
    is_complex: bool
    read: Callable[[], np.ndarray]


def is_matlab5(stream: BinaryIO) -> bool:
    """Returns whether the file is of version 5 to 7; leaves the stream behind its header."""
    return stream.read(_HEADER)[-4:] in (b"\0\1IM", b"\1\0MI")


def matrices(stream: BinaryIO) -> list[Matrix]:
    """Returns the variables of a file, whose numbers are not read yet.

    Raises ValueError, struct.error or zlib.error for damaged files.
    """
    stream.seek(_HEADER - 2)
    order = "<" if stream.read(2) == b"IM" else ">"
    found = []
    while len(tag := stream.read(8)) == 8:
        kind, size = struct.unpack(f"{order}II", tag)
        found.append(_matrix(stream, kind == _COMPRESSED, tag, size, order))
    return found


def _matrix(stream: BinaryIO, compressed: bool, tag: bytes, size: int, order: str) -> Matrix:
    begin = stream.tell()

    def head(length: int) -> bytes:
        stream.seek(begin)
        if compressed:
            return limits.inflate(stream.read(size), length)
        return tag + stream.read(min(size, length - len(tag)))

    def whole(length: int) -> bytes:
        if not compressed:
            return head(length)
        stream.seek(begin)
        return limits.inflate_whole(stream.read(size), length)

    start = head(_BEFORE_NUMBERS)
    stream.seek(begin + size)
    if struct.unpack_from(f"{order}I", start)[0] != _MATRIX:
        raise ValueError("an element is no array")
    _, place, _, after = _element(start, 8, order)
    (flags,) = struct.unpack_from(f"{order}I", start, place)
    _, place, length, after = _element(start, after, order)
    shape = struct.unpack_from(f"{order}{length // 4}i", start, place)
    _, place, length, numbers = _element(start, after, order)
    name = start[place : place + length].decode("latin1")

    def read() -> np.ndarray:
        kind, place, length, end = _element(start, numbers, order)
        dtype = np.dtype(order + _STORED[kind])
        if length != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} has {length} bytes for {shape} of {dtype}")
        count = length // dtype.itemsize
        values = np.frombuffer(whole(end), dtype, count, offset=place)
        return values.reshape(shape, order="F")

    is_number = flags & 0xFF in _CLASSES and not flags & _LOGICAL
    return Matrix(name, shape, is_number, bool(flags & _COMPLEX), read)


def _element(body: bytes, place: int, order: str) -> tuple[int, int, int, int]:
    """Returns type, begin and length of the element at `place`, and where the next one begins."""
    kind, length = struct.unpack_from(f"{order}II", body, place)
    if kind >> 16:  # up to four bytes stand within the tag
        return kind & 0xFFFF, place + 4, kind >> 16, place + 8
    return kind, place + 8, length, place + 8 + -(-length // 8) * 8
