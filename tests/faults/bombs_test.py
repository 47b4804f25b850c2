"""Small files that declare, or inflate to, far more: refused by what they declare, before decoding.

Every bomb is a real one. Reading it may add no more than a quarter of what it inflates to.
"""

import functools
import gzip
import re
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from cyclegan_jax import InputError
from cyclegan_jax.data import dataset as dataset_module
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import dicom, images, nifti, stacks
from cyclegan_jax.data.preparation.file_source import scan_source
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.data.preparation.write import prepare

ZEROS = 2**28  # bytes that a bomb inflates to
MOST = ZEROS // 4
CORPUS = Path(__file__).parent / "corpus"


@functools.cache
def deflated(start: bytes = b"", window: int = zlib.MAX_WBITS) -> bytes:
    """`start` and then zeros, a quarter of a megabyte in all."""
    worker = zlib.compressobj(6, zlib.DEFLATED, window)
    piece = bytes(2**22)
    return (
        worker.compress(start)
        + b"".join(worker.compress(piece) for _ in range(ZEROS // len(piece)))
        + worker.flush()
    )


def gzipped(start: bytes) -> bytes:
    return deflated(start, zlib.MAX_WBITS | 16)


def png(path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**14, 2**14, 8, 0, 0, 0, 0))
    parts = header, chunk(b"IDAT", deflated()), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def tiff(path):
    # 2 x 2 pixels that become 2**14 x 2**14 with the same data: a decoder would fill the rest
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path, compression="tiff_deflate")
    data = path.read_bytes()
    for tag, size in ((256, 2**14), (257, 2**14)):
        data = re.sub(
            struct.pack("<H", tag) + rb"[\x03\x04]\x00\x01\x00\x00\x00....",
            lambda _, t=tag, n=size: struct.pack("<HHII", t, 4, 1, n),
            data,
            count=1,
            flags=re.DOTALL,
        )
    path.write_bytes(data)


def tiff_of_one_tile(path):
    # an image of 2 x 2 pixels whose tile of 2**14 x 2**14 would be decoded whole
    data = deflated()
    tags = [(256, 2), (257, 2), (258, 8), (259, 8), (262, 1), (277, 1), (322, 2**14), (323, 2**14)]
    tags += [(324, 8 + 2 + 12 * 10 + 4), (325, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + data)


def volume_header(shape, **fields) -> bytearray:
    image = Nifti1Image(np.zeros((1, 1, 1), np.int16), np.diag([1.0, 1, 1, 1]))
    image.set_sform(np.eye(4), 1)
    header = image.header
    header.set_data_shape(shape)
    header["vox_offset"] = fields.get("begin", 352)
    return bytearray(header.binaryblock + bytes(4))


def nifti_file(path):
    path.write_bytes(gzipped(bytes(volume_header((32767, 32767, 32767)))))


def nifti_that_is_shorter(path):
    path.write_bytes(bytes(volume_header((500, 500, 400))) + bytes(100))


def nifti_that_inflates_to_more(path):
    path.write_bytes(gzipped(bytes(volume_header((4, 4, 4)))))


def nifti_that_inflates_to_less(path):
    path.write_bytes(gzip.compress(volume_header((800, 800, 500)) + bytes(100)))


def nifti_with_an_extension(path):
    # nibabel reads an extension of length 0 to the end of the file
    header = volume_header((4, 4, 4), begin=2**20)
    header[348] = 1
    path.write_bytes(gzipped(bytes(header) + struct.pack("<ii", 0, 6)))


def nifti_that_begins_late(path):
    header = volume_header((4, 4, 4), begin=2**29)
    header[348] = 1
    path.write_bytes(gzipped(bytes(header) + struct.pack("<ii", 2**29 - 352, 6)))


def npy(path):
    with path.open("wb") as stream:
        facts = {"descr": "|u1", "fortran_order": False, "shape": (2**10, 2**10, 2**10)}
        np.lib.format.write_array_header_1_0(stream, facts)
        stream.truncate(stream.tell() + 2**30)  # a hole in the file


def mat_old(path):
    shape = (2**10, 2**10, 2**10)
    body = struct.pack("<6I3i4x", 6, 8, 9, 0, 5, 12, *shape) + struct.pack("<HH4s", 1, 1, b"a")
    body += struct.pack("<II", 2, 2**30)
    compressed = deflated(struct.pack("<II", 14, len(body) + 2**30) + body)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    path.write_bytes(header + struct.pack("<II", 15, len(compressed)) + compressed)


def mat_old_that_inflates_to_more(path):
    scipy.io.savemat(path, {"a": np.arange(60.0).reshape(3, 4, 5)})
    whole = path.read_bytes()
    compressed = deflated(whole[128:])
    path.write_bytes(whole[:128] + struct.pack("<II", 15, len(compressed)) + compressed)


def mat_73(path):
    with h5py.File(path, "w") as file:  # nothing is stored: the fill value is 0
        file.create_dataset("data_fs", (2**10, 2**10, 2**10), "u1", chunks=(1, 2**10, 2**10))


def mat_73_whose_chunk_inflates_to_more(path):
    with h5py.File(path, "w") as file:
        item = file.create_dataset("data_fs", (2, 4, 5), "u1", chunks=(2, 4, 5), compression="gzip")
        item.id.write_direct_chunk((0, 0, 0), deflated())


@pytest.fixture
def refused_cheaply():
    """Expects an InputError that names the path and some words, without memory being used."""

    def memory(name: str) -> int:
        text = Path("/proc/self/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024

    def check(read, path, *words):
        assert sum(p.stat().st_blocks * 512 for p in (path, *path.parent.iterdir())) < 2**21
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is now
        before = memory("VmRSS")
        with pytest.raises(InputError, match=".*".join(map(re.escape, (str(path), *words)))) as no:
            read(path)
        assert "\n" not in str(no.value)
        assert memory("VmHWM") - before < MOST

    return check


@pytest.mark.parametrize(
    ("make", "name", "read", "words"),
    [
        (png, "a.png", images.read_image, ["268435456"]),
        (tiff, "a.tif", images.read_image, ["268435456"]),
        (tiff_of_one_tile, "a.tif", images.read_image, ["16384 x 16384 values"]),
        (nifti_that_is_shorter, "a.nii", nifti.read_nifti, ["has 452 bytes", "200000352"]),
        (nifti_file, "a.nii.gz", nifti.read_nifti, ["32767 x 32767 x 32767", "at most 536870912"]),
        (
            nifti_file,
            "a.nii.gz",
            nifti.read_nifti_spacing,
            ["32767 x 32767 x 32767", "at most 536870912"],
        ),
        (nifti_that_inflates_to_more, "a.nii.gz", nifti.read_nifti, ["declares 480"]),
        (nifti_that_inflates_to_less, "a.nii.gz", nifti.read_nifti, ["declares 640000352"]),
        (nifti_with_an_extension, "a.nii.gz", nifti.read_nifti, ["extension of 0 bytes"]),
        (nifti_that_begins_late, "a.nii.gz", nifti.read_nifti, ["begin at byte 5.36871e+08"]),
        (npy, "a.npy", stacks.read_stack, ["1024 x 1024 x 1024", "at most 536870912"]),
        (mat_old_that_inflates_to_more, "a.mat", stacks.read_stack, ["more than 544 bytes"]),
        (mat_old, "a.mat", stacks.read_stack, ["1024 x 1024 x 1024", "at most 536870912"]),
        (mat_73, "a.mat", stacks.read_stack, ["1024 x 1024 x 1024", "at most 536870912"]),
        (mat_73_whose_chunk_inflates_to_more, "a.mat", stacks.read_stack, ["more than 40 bytes"]),
    ],
)
def test_bombs(tmp_path, refused_cheaply, make, name, read, words):
    make(tmp_path / name)
    refused_cheaply(read, tmp_path / name, *words)


def test_voxels_begin_behind_the_header(tmp_path):
    path, voxels = tmp_path / "a.nii", np.arange(64, dtype=np.int16)
    for begin, extended in ((352, 0), (352, 1), (0, 0), (348, 0), (351, 1)):
        header = volume_header((4, 4, 4), begin=begin)
        header[348] = extended
        path.write_bytes(header + voxels.tobytes())
        if begin == 352:  # flagged or not, there is no room for an extension
            read = nifti.read_nifti(path).data
            assert np.array_equal(read, voxels.reshape((4, 4, 4), order="F"))
        else:  # header bytes would be voxels
            with pytest.raises(InputError, match=rf"voxels begin at byte {begin};"):
                nifti.read_nifti(path)


@pytest.mark.parametrize(
    ("found", "change", "words"),
    [
        (b"\x28\0\x10\0\x02\0\0\0\x09\0", b"\x28\0\x10\0\x02\0\0\0\xff\xff", ["has 8x65535"]),
        (b"\x18\0\x88\0\x02\0\0\0", b"\x18\0\x88\0\0\0\0\x60", ["cannot be read"]),
        (b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1.99", ["cannot be read"]),
    ],
    ids=["rows", "length", "deflated"],
)
def test_dicom_bombs(tmp_path, save_series, refused_cheaply, found, change, words):
    paths = save_series(tmp_path, np.arange(216, dtype=np.int16).reshape(3, 9, 8))
    whole = paths[1].read_bytes()
    assert whole.count(found) == 1
    if len(change) > len(found):  # the length before it
        found, change = b"\x12\0" + found, b"\x16\0" + change
    paths[1].write_bytes(whole.replace(found, change))
    refused_cheaply(lambda path: dicom.read_series(path.parent), paths[1], *words)


def test_a_dicom_series_of_too_many_pixels_is_refused(tmp_path, save_series, monkeypatch):
    save_series(tmp_path, np.arange(216, dtype=np.int16).reshape(3, 9, 8))
    for name, most, size in (("MOST_PIXELS", 71, "8 x 9"), ("MOST_VOXELS", 215, "8 x 9 x 3")):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, most)
            with pytest.raises(InputError, match=rf"declares {size}\b.*at most {most} "):
                dicom.read_series(tmp_path)
    assert dicom.read_series(tmp_path).data.size == 216


def test_records_inflate_to_what_the_manifest_declares(tmp_path, two_scans, monkeypatch):
    dataset = prepare(two_scans(), tmp_path / "out")

    class Crafted(dataset_module.ArrayRecordDataSource):
        shape = (4, 6, 1)
        pixels = zlib.compress(bytes(48))

        def __getitem__(self, index):
            example = tf_example_pb2.Example.FromString(super().__getitem__(index))
            feature = example.features.feature
            feature["image/value"].bytes_list.value[0] = self.pixels
            feature["image/shape"].int64_list.value[:] = self.shape
            return example.SerializeToString()

    monkeypatch.setattr(dataset_module, "ArrayRecordDataSource", Crafted)
    assert not dataset.split("train_x")[0]["image"].any()
    Crafted.pixels = deflated()
    for Crafted.shape in ((4, 6, 1), (2**15, 2**13, 1)):
        with pytest.raises(InputError, match=r"out.*cannot read the prepared images"):
            dataset.split("train_x")[0]


def test_resampling_makes_no_bomb_of_a_voxel_size(tmp_path):
    items = []
    for domain in "xy":
        image = Nifti1Image(np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.diag([1e9, 1, 1, 1]))
        image.to_filename(tmp_path / f"{domain}.nii")
        items.append(Item(tmp_path / f"{domain}.nii", domain, domain, "train", "here"))
    source = scan_source(items, {"kind": "test"}, spacing=1.0)
    with pytest.raises(InputError, match=r"x\.nii: declares 4000000000 x 4 x 4 values"):
        source.splits["train_x"][0].read()


def test_whole_heads_at_7_tesla_are_read():
    limits.check_declared(Path("a.nii"), (512, 800, 800), limits.MOST_VOXELS)
