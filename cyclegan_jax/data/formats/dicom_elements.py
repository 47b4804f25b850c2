"""Recognises DICOM, and checks that the elements of a file fit into it, before GDCM reads it.

GDCM allocates whatever length it finds or, in damaged files, guesses, and does not free all of it.
The encoding is that of DICOM PS3.5, section 7, and PS3.10, section 7.
"""

import struct

_UNDEFINED = 0xFFFFFFFF
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN"}
_SHORT |= {b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
_IMPLICIT = (b"1.2.840.10008.1.2", b"1.2.840.113619.5.2")  # the latter is General Electric's
_EXPLICIT = b"1.2.840.10008.1.2.1"
_BIG_ENDIAN, _DEFLATED = b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_PIXELS, _TRANSFER_SYNTAX = (0x7FE0, 0x0010), (0x0002, 0x0010)
_META, _FIRST_GROUP = b"\2\0", b"\x08\0"  # groups, as the first two bytes of an element
BEGINNING = 4096  # bytes that `begins_like_dicom` needs
_UNMARKED = 4  # elements that make DICOM of a file without the mark


def begins_like_dicom(data: bytes) -> bool:
    """Returns whether a file that begins with `data` is DICOM.

    It has the mark "DICM" after 128 bytes. Old scanners' exports have neither: then the file begins
    with four elements of group 2 (the file's meta information) or of group 8, in their order.
    """
    if _has_mark(data):
        return True
    group = data[:2]
    if group not in (_META, _FIRST_GROUP):
        return False
    place, last = 0, (0, 0)
    implicit = group == _FIRST_GROUP and _is_implicit(data, 0)
    try:
        for _ in range(_UNMARKED):
            tag, _, length, begin = _element(data, place, "<", implicit)
            if data[place : place + 2] != group or tag <= last:
                return False
            place, last = begin + length, tag
    except (ValueError, struct.error):
        return False
    return True


def check_elements(data: bytes) -> None:
    """Raises ValueError or struct.error if an element is longer than what is left of `data`.

    It raises them too for a file that does not begin like DICOM, and for a deflated data set, which
    may inflate to anything.
    """
    if not begins_like_dicom(data):
        raise ValueError("no DICOM mark")
    place, syntax = 132 if _has_mark(data) else 0, b""
    if data[place : place + 2] != _META:  # GDCM guesses so too
        syntax = _IMPLICIT[0] if _is_implicit(data, place) else _EXPLICIT
    while data[place : place + 2] == _META:
        tag, _, length, begin = _element(data, place, "<", False)
        place = begin + length
        if tag == _TRANSFER_SYNTAX:
            syntax = data[begin:place].strip(b" \0")
    if syntax in (b"", _DEFLATED):
        raise ValueError(f"transfer syntax {syntax!r}")
    order, implicit = ">" if syntax == _BIG_ENDIAN else "<", syntax in _IMPLICIT
    fragments = False  # compressed pixels stand in items
    while place < len(data):
        tag, kind, length, begin = _element(data, place, order, implicit)
        place = begin
        if tag == _ITEM and fragments:
            place += length
        elif tag == _PIXELS:
            fragments = length == _UNDEFINED
            place += 0 if fragments else length
            if not data[place:].strip(b"\0"):
                return  # what follows is padding
        elif tag == _END_OF_SEQUENCE and fragments:
            fragments = False
            if not data[place:].strip(b"\0"):
                return
        elif kind == b"UN" and length == _UNDEFINED:
            return  # its elements are encoded in another way
        elif tag not in (_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE) and kind != b"SQ":
            place += 0 if length == _UNDEFINED else length


def _has_mark(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def _is_implicit(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 6] not in _LONG | _SHORT


def _element(data: bytes, at: int, order: str, implicit: bool) -> tuple:
    """Returns tag, type, length and begin of the element at `at`."""
    tag = struct.unpack_from(f"{order}HH", data, at)
    kind = data[at + 4 : at + 6]
    if implicit or tag[0] == _ITEM[0]:
        length, begin = struct.unpack_from(f"{order}I", data, at + 4)[0], at + 8
        kind = b""
    elif kind in _LONG:
        length, begin = struct.unpack_from(f"{order}I", data, at + 8)[0], at + 12
    elif kind in _SHORT:
        length, begin = struct.unpack_from(f"{order}H", data, at + 6)[0], at + 8
    else:
        raise ValueError(f"type {kind!r}")
    if length != _UNDEFINED and length > len(data) - begin:
        raise ValueError(f"an element of {length} bytes")
    return tag, kind, length, begin
