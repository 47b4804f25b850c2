"""Tests of reading MATLAB's files of version 5 to 7, against scipy's reader and by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from cyclegan_jax.data.formats import matlab

RNG = np.random.default_rng(0)
TYPES = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


@pytest.mark.parametrize("compress", [False, True])
def test_numbers_are_those_that_scipy_reads(tmp_path, compress):
    numbers = {f"of_{t}": RNG.uniform(0, 100, (3, 4, 5)).astype(t) for t in TYPES}
    numbers |= {"flat": np.arange(6.0).reshape(2, 3), "short": np.arange(2.0)[None]}
    numbers |= {"four": np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)}
    others = {"text": "abc", "truth": RNG.uniform(size=(2, 2)) > 0.5, "s": {"a": 1, "b": [1, 2]}}
    others["cell"] = np.array([[1], "a"], object)
    saved = {"text": others.pop("text"), **numbers, **others, "c": np.ones((2, 2)) + 1j}
    scipy.io.savemat(tmp_path / "a.mat", saved, do_compression=compress)
    wanted = scipy.io.loadmat(tmp_path / "a.mat")
    with (tmp_path / "a.mat").open("rb") as stream:
        assert matlab.is_matlab5(stream)
        found = {m.name: m for m in matlab.matrices(stream)}
        assert list(found) == list(saved)
        assert {n for n, m in found.items() if m.is_number} == {*numbers, "c"}
        assert [n for n, m in found.items() if m.is_complex] == ["c"]
        for name in numbers:
            read = found[name].read()
            assert read.shape == found[name].shape == wanted[name].shape
            assert np.array_equal(read, wanted[name])


def test_no_flipped_bit_passes_the_checksum(tmp_path):
    # 63 * 61 * 5 bytes are no multiple of 8, so that padding follows them
    wanted = RNG.integers(0, 256, (63, 61, 5)).astype(np.uint8)
    scipy.io.savemat(tmp_path / "a.mat", {"a": wanted}, do_compression=True)
    whole = (tmp_path / "a.mat").read_bytes()
    for place in [*RNG.integers(140, len(whole), 100), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << RNG.integers(8)
        with pytest.raises((ValueError, KeyError, struct.error, zlib.error)):
            [found.read() for found in matlab.matrices(io.BytesIO(flipped))]


@pytest.mark.parametrize(("order", "mark"), [("<", b"\0\1IM"), (">", b"\1\0MI")])
def test_doubles_that_are_stored_as_bytes_in_either_byte_order(tmp_path, order, mark):
    # as MATLAB stores whole numbers; scipy writes neither
    body = struct.pack(f"{order}4I", 6, 8, 6, 0) + struct.pack(f"{order}2I3i4x", 5, 12, 1, 2, 3)
    name = struct.pack(f"{order}I4s", 2 << 16 | 1, b"ab")  # so short that it stands in its tag
    body += name + struct.pack(f"{order}2I", 2, 6) + bytes(range(6)) + bytes(2)
    whole = b"MATLAB 5.0".ljust(124) + mark + struct.pack(f"{order}2I", 14, len(body)) + body
    (tmp_path / "a.mat").write_bytes(whole)
    with (tmp_path / "a.mat").open("rb") as stream:
        (found,) = matlab.matrices(stream)
        assert (found.name, found.shape, found.is_number) == ("ab", (1, 2, 3), True)
        assert np.array_equal(found.read(), [[[0, 2, 4], [1, 3, 5]]])
        assert np.array_equal(found.read(), scipy.io.loadmat(tmp_path / "a.mat")["ab"])
