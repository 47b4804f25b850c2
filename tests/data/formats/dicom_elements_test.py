"""Tests that a DICOM file's elements fit into it; whole files that GDCM wrote are in dicom_test."""

import struct

import pytest

from cyclegan_jax.data.formats.dicom_elements import begins_like_dicom, check_elements

UNDEFINED = 2**32 - 1
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")


def explicit(group, number, kind, value=b"", length=None, order="<"):
    length = len(value) if length is None else length
    head = struct.pack(f"{order}HH", group, number) + kind
    if kind in LONG:
        return head + struct.pack(f"{order}2xI", length) + value
    return head + struct.pack(f"{order}H", length) + value


def implicit(group, number, value=b"", length=None, order="<"):
    length = len(value) if length is None else length
    return struct.pack(f"{order}HHI", group, number, length) + value


def file_of(syntax: bytes, *elements: bytes) -> bytes:
    meta = explicit(2, 0, b"UL", b"\0\0\0\0") + explicit(2, 1, b"OB", b"\0\1")
    return bytes(128) + b"DICM" + meta + explicit(2, 16, b"UI", syntax) + b"".join(elements)


ITEM, END_OF_ITEM, END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
NAME = explicit(8, 0x60, b"CS", b"MR")
PIXELS = explicit(0x7FE0, 0x10, b"OW", bytes(8))
WHOLE = {
    "explicit": file_of(b"1.2.840.10008.1.2.1\0", NAME, PIXELS, bytes(7)),
    "implicit": file_of(
        b"1.2.840.10008.1.2\0", implicit(8, 0x60, b"MR"), implicit(0x7FE0, 0x10, bytes(8))
    ),
    "big": file_of(
        b"1.2.840.10008.1.2.2\0",
        explicit(8, 0x60, b"CS", b"MR", order=">"),
        explicit(0x7FE0, 0x10, b"OW", bytes(8), order=">"),
    ),
    "sequences": file_of(
        b"1.2.840.10008.1.2.1\0",
        explicit(8, 0x1140, b"SQ", implicit(*ITEM, NAME)),
        explicit(8, 0x1140, b"SQ", length=UNDEFINED),
        implicit(*ITEM, length=UNDEFINED) + NAME + implicit(*END_OF_ITEM) + implicit(*END),
        PIXELS,
    ),
    "fragments": file_of(
        b"1.2.840.10008.1.2.4.90",
        NAME,
        explicit(0x7FE0, 0x10, b"OB", length=UNDEFINED),
        implicit(*ITEM) + implicit(*ITEM, b"\xff" * 20) + implicit(*END),
    ),
    "unknown": file_of(
        b"1.2.840.10008.1.2.1\0", explicit(9, 1, b"UN", length=UNDEFINED), b"anything"
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_pass(name):
    check_elements(WHOLE[name])


@pytest.mark.parametrize("name", WHOLE)
def test_cut_files_are_refused(name):
    kept = WHOLE[name].removesuffix(bytes(7))
    if name == "unknown":
        kept = kept.removesuffix(b"anything")
    with pytest.raises((ValueError, struct.error)):
        check_elements(kept[:-1])


@pytest.mark.parametrize(
    ("element", "words"),
    [
        (explicit(8, 0x60, b"CS", b"MR", length=2**16 - 1), "an element of 65535 bytes"),
        (explicit(8, 0x60, b"UN", b"MR", length=2**31), "an element of 2147483648 bytes"),
        (explicit(8, 0x1140, b"SQ", implicit(*ITEM, NAME, length=2**30)), "of 1073741824 bytes"),
        (PIXELS + explicit(0xFFFC, 0xFFFC, b"OB", length=2**31), "of 2147483648 bytes"),
        (explicit(8, 0x60, b"\0\0"), "type"),
        (explicit(8, 0x60, b"oE", b"MR"), "type b'oE'"),  # GDCM would guess its length
    ],
)
def test_elements_that_do_not_fit_are_refused(element, words):
    with pytest.raises(ValueError, match=words):
        check_elements(file_of(b"1.2.840.10008.1.2.1\0", element, PIXELS))


HEAD = (
    *((8, 5, b"CS", b"ISO_IR 100"), (8, 8, b"CS", b"ORIGINAL")),
    *((8, 0x16, b"UI", b"1.2.840."), (8, 0x18, b"UI", b"1.2.3.4."), (8, 0x60, b"CS", b"MR")),
)
UNMARKED = {
    "explicit": b"".join(explicit(*e) for e in HEAD) + PIXELS,
    "implicit": b"".join(implicit(g, n, v) for g, n, _, v in HEAD)
    + implicit(0x7FE0, 0x10, bytes(8)),
    "meta": explicit(2, 0, b"UL", bytes(4))
    + explicit(2, 1, b"OB", b"\0\1")
    + explicit(2, 2, b"UI", b"1.2.840.")
    + explicit(2, 16, b"UI", b"1.2.840.10008.1.2.1\0")
    + NAME
    + PIXELS,
}


@pytest.mark.parametrize("name", UNMARKED)
def test_files_without_mark_are_walked_alike(name):
    assert begins_like_dicom(UNMARKED[name])
    check_elements(UNMARKED[name])
    for cut in (UNMARKED[name][:-1], UNMARKED[name][:40]):
        with pytest.raises((ValueError, struct.error)):
            check_elements(cut)


def test_a_mark_without_meta_elements():
    check_elements(bytes(128) + b"DICM" + UNMARKED["implicit"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(200),
        b"\x08\0",
        UNMARKED["explicit"][1:],
        explicit(8, 8, b"CS", b"MR") * 9,  # not in order
        explicit(8, 8, b"CS", b"MR") + PIXELS,  # too few
        b"\x08\0\x05\0 a text that begins so by chance, and that is no DICOM".ljust(300),
        bytes(128) + UNMARKED["implicit"],  # GDCM does not read it
    ],
)
def test_what_does_not_begin_like_dicom(data):
    assert not begins_like_dicom(data)
    with pytest.raises(ValueError, match="no DICOM mark"):
        check_elements(data)


def test_files_without_mark_or_syntax_and_deflated_ones_are_refused():
    with pytest.raises(ValueError, match="no DICOM mark"):
        check_elements(WHOLE["explicit"][1:])
    for syntax in (b"", b"1.2.840.10008.1.2.1.99"):
        with pytest.raises(ValueError, match="transfer syntax"):
            check_elements(file_of(syntax, NAME, PIXELS))
