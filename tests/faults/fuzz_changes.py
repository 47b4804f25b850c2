"""How crafted files are drawn: bytes of a seed changed anywhere, or fields where a format has them.

Every function draws one change of `old`.
"""

import contextlib
import copy
import functools
import gzip
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_INTEGERS = [0, 1, -1, 2, 127, 255, 2**15 - 1, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
_INTEGERS += [-(2**31), 2**63 - 1, 2**64 - 1]
_FLOATS = [0.0, -0.0, 1e-45, -1.0, 1e30, 3e38, float("nan"), float("inf"), float("-inf")]
_NUMBERS = [n.to_bytes(16, "little", signed=True)[:w] for n in _INTEGERS for w in (1, 2, 4, 8)]
_NUMBERS += [n[::-1] for n in _NUMBERS]
_NUMBERS += [struct.pack(order + kind, f) for f in _FLOATS for order in "<>" for kind in "fd"]
_JSON: list[Any] = [None, True, False, "", "a", "../../a", "/a", "\0", "a\nb", "a" * 5000, "\ud800"]
_JSON += [[], {}, [[]], [None], {"": 1}, {"a.b": {"c": []}}, *_INTEGERS, *_FLOATS, 10**400, "<b>"]
_JSON += [[1e400], [2**40] * 3, [1] * 5000, ["a", "a"], [-1, 0], [0, 0], [10**9, 10**9], [[1, 1]]]
_DEEP = "[" * 200_000
_FIELDS = ["", " ", "../../a", "/etc/passwd", "\0", "a" * 300, "loop", "x.png", "y.png", ".", ".."]
_FIELDS += ["a\nb", '"', "#", "s#1", "T1", "y", "train", "test", "\ufeff", "\x1b[2J", "é", "folder"]


def change_bytes(data: st.DataObject, old: bytes, fields: Sequence[int] = ()) -> bytes:
    """Replaces numbers, at `fields` or anywhere; flips, cuts, inserts, repeats bytes."""
    places = st.integers(0, len(old)) | st.integers(0, min(len(old), 400))
    at = data.draw(st.sampled_from(fields) | places if fields else places)
    number = data.draw(st.sampled_from(_NUMBERS))
    length = data.draw(st.integers(1, 64))
    match data.draw(st.sampled_from("nnnnfcird" if fields else "nnffcird")):
        case "n":
            return old[:at] + number + old[at + len(number) :]
        case "f":
            flipped = data.draw(st.binary(min_size=1, max_size=8))
            return old[:at] + flipped + old[at + len(flipped) :]
        case "c":
            return old[:at]
        case "i":
            return old[:at] + number + old[at:]
        case "r":
            times = data.draw(st.sampled_from([1, 2, 1000]))
            return old[:at] + old[at : at + length] * times + old[at:]
        case _:
            return old[:at] + old[at + length :]


def change_png(data: st.DataObject, old: bytes) -> bytes:
    """Right checksums, so that what is checked by them is reached."""
    new = change_bytes(data, old, (16, 20, 24, 25, 28, 33))
    made, rest = bytearray(new[:8]), new[8:]
    while len(rest) >= 12:
        length = int.from_bytes(rest[:4], "big")
        if length > len(rest) - 12:
            break
        body = rest[4 : 8 + length]
        made += rest[:4] + body + zlib.crc32(body).to_bytes(4, "big")
        rest = rest[12 + length :]
    return bytes(made) + rest


# what is not zero in the seed
change_shard = functools.partial(change_bytes, fields=(*range(0, 1600, 4), *range(65536, 65672, 4)))
_NIFTI_FIELDS = (0, *range(40, 56, 2), 70, 72, *range(76, 124, 4), 252, 254, *range(256, 328, 4))
change_nifti = functools.partial(change_bytes, fields=(*_NIFTI_FIELDS, 344, 348, 352, 356))


def change_nifti_gz(data: st.DataObject, old: bytes) -> bytes:
    if data.draw(st.integers(0, 3)) == 0:
        return change_bytes(data, old)
    with contextlib.suppress(Exception):
        tail = b"\0" * data.draw(st.sampled_from([0] * 50 + [100, 2**25]))
        if len(old) < 2**12:
            return gzip.compress(change_nifti(data, gzip.decompress(old)) + tail, 1)
    return old


def change_mat(data: st.DataObject, old: bytes) -> bytes:
    """Mostly within the first compressed array, with the right checksum."""
    with contextlib.suppress(Exception):
        kind, size = struct.unpack_from("<II", old, 128)
        if kind == 15 and data.draw(st.integers(0, 3)):
            array = change_bytes(data, zlib.decompress(old[136 : 136 + size]), range(0, 80, 4))
            new = zlib.compress(array, 1)
            return old[:128] + struct.pack("<II", kind, len(new)) + new + old[136 + size :]
    return change_bytes(data, old)


def change_npy(data: st.DataObject, old: bytes) -> bytes:
    words = [b"(3, 4, 5)", b"<f4", b"False", b"'shape'"]
    word = data.draw(st.sampled_from(words))
    new = data.draw(
        st.sampled_from(
            b"(3, 4, 50000000000);(-1, 4, 5);(0, 4, 5);(2**62, 4, 5);|O8;<f8;[('a', '<f4')];|V3"
            b";True;(3, 4, True);<c8;<M8[s];((((((((((((((((((((".split(b";")
        )
    )
    if data.draw(st.booleans()) or word not in old:
        return change_bytes(data, old)
    return old.replace(word, new, 1)


def change_json(data: st.DataObject, old: bytes) -> bytes:
    try:
        tree = json.loads(old)
        if data.draw(st.integers(0, 9)) == 0:
            raise ValueError
    except (ValueError, RecursionError):
        return change_bytes(data, old)
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list) and len(places) < 500:
                visit(node[key])

    if isinstance(tree, dict | list):
        visit(tree)
    if not places:
        return old
    node, key = data.draw(st.sampled_from(places))
    match data.draw(st.sampled_from("vvvvssnnnndkx")):
        case "v":
            node[key] = data.draw(st.sampled_from(_JSON))
        case "s":
            other, its = data.draw(st.sampled_from(places))
            node[key] = copy.deepcopy(other[its])
        case "n" if type(node[key]) in (int, float) and abs(node[key]) < 1e300:
            node[key] += data.draw(st.sampled_from([1, -1, 0.5, 1e-3, 16]))
        case "d":
            del node[key]
        case "k" if isinstance(node, dict):
            node[data.draw(st.text(max_size=20) | st.sampled_from(["../a", "/a", "a.b"]))] = 1
        case _:
            node[key] = "MARK"
            value = data.draw(st.sampled_from([_DEEP, "9" * 5000, "NaN", "1,", '1, "a": 2']))
            return json.dumps(tree).replace('"MARK"', value).encode()
    return json.dumps(tree).encode()


def change_csv(data: st.DataObject, old: bytes) -> bytes:
    if data.draw(st.integers(0, 3)) == 0:
        return change_bytes(data, old)
    lines = [line.split(b",") for line in old.split(b"\n")]
    line = data.draw(st.sampled_from(lines))
    field = data.draw(st.integers(0, len(line) - 1))
    others = [word.decode("latin1") for line in lines for word in line]
    new = data.draw(st.sampled_from(_FIELDS) | st.sampled_from(others) | st.text(max_size=20))
    line[field] = new.encode(errors="surrogatepass")
    return b"\n".join(b",".join(line) for line in lines)
