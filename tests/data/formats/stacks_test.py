"""Tests of stacks of slices: MATLAB's files and `.npy`."""

import h5py
import numpy as np
import pytest
import scipy.io

from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import stacks

SLICES = np.random.default_rng(0).uniform(0, 1, (3, 4, 5)).astype(np.float32)  # [N, H, W]
IN_MATLAB = SLICES.transpose(1, 2, 0)  # data_fs(row, column, slice)


def save(path, version, **variables):
    """Writes variables given in MATLAB's axes."""
    if version == "5":
        scipy.io.savemat(path, variables)
        return path
    with h5py.File(path, "w") as file:
        for name, value in variables.items():
            item = file.create_dataset(name, data=np.asarray(value).transpose())
            if isinstance(value, np.ndarray) and value.dtype == bool:
                item.attrs["MATLAB_class"] = np.bytes_("logical")
    return path


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_both_versions_give_the_slices_as_matlab_shows_them(tmp_path, version):
    path = save(tmp_path / "a.mat", version, data_fs=IN_MATLAB, other=IN_MATLAB + 1)
    read = stacks.read_stack(path)
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    assert np.array_equal(read, SLICES)


def test_hdf5_is_turned_as_by_syndiff(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["data_fs"] = SLICES.astype(np.float64)  # [N, x, y]
    assert np.array_equal(stacks.read_stack(tmp_path / "a.mat"), SLICES.transpose(0, 2, 1))


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_the_only_stack_is_taken_whatever_its_name(tmp_path, version):
    others = {"ids": np.arange(4.0)[None], "mask": IN_MATLAB > 0.5}
    path = save(tmp_path / "a.mat", version, slices=(IN_MATLAB * 900).astype(np.int16), **others)
    assert np.array_equal(stacks.read_stack(path), (SLICES * 900).astype(np.int16))


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"a": IN_MATLAB, "b": IN_MATLAB}, ["holds a (", "b (", "data_fs"]),
        ({"a": IN_MATLAB[0]}, ["holds a (", "three axes"]),
        ({"data_fs": IN_MATLAB + 1j}, ["complex", "magnitude"]),
        ({"data_fs": np.where(IN_MATLAB > 0.5, np.nan, IN_MATLAB)}, ["NaN or infinite"]),
        ({"data_fs": np.where(IN_MATLAB > 0.5, np.inf, IN_MATLAB)}, ["NaN or infinite"]),
        ({"data_fs": np.ones((2, 3, 4))}, ["every voxel is 1"]),
    ],
    ids=["two", "2d", "complex", "nan", "inf", "constant"],
)
def test_unusable_stacks(tmp_path, fails, version, variables, words):
    path = save(tmp_path / "a.mat", version, **variables)
    with fails(path, *words):
        stacks.read_stack(path)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|u1"])
def test_npy_has_the_axes_of_the_package(tmp_path, dtype):
    wanted = (SLICES * 200).astype(dtype)
    for array in (wanted, np.asfortranarray(wanted)):
        np.save(tmp_path / "a.NPY.npy", array)
        read = stacks.read_stack(tmp_path / "a.NPY.npy")
        assert read.dtype == np.float32
        assert read.flags.c_contiguous
        assert np.array_equal(read, wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (SLICES[0], ["an array (4, 5)", "three axes"]),
        (SLICES + 1j, ["complex64", "magnitude"]),
        (SLICES > 0.5, ["bool"]),
        (np.full((2, 3, 4), 1e300), ["infinite"]),
        (np.zeros((2, 0, 4)), ["declares 2 x 0 x 4"]),
        (np.zeros((2, 3, 4), "f4,f4"), ["not real numbers"]),
    ],
)
def test_unusable_npy(tmp_path, fails, array, words):
    np.save(tmp_path / "a.npy", array)
    with fails(tmp_path / "a.npy", *words):
        stacks.read_stack(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", SLICES)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with fails(tmp_path / "b.npy", "an .npz archive", "numpy.save"):
        stacks.read_stack(tmp_path / "b.npy")


def test_too_large_stacks_are_to_be_split(tmp_path, fails, monkeypatch):
    np.save(tmp_path / "a.npy", SLICES)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MOST_VOXELS", SLICES.size - 1)
        with fails(tmp_path / "a.npy", "declares 3 x 4 x 5", "split it into several stacks"):
            stacks.read_stack(tmp_path / "a.npy")

    def too_much(*_, **__):
        raise MemoryError

    monkeypatch.setattr("numpy.load", too_much)
    with fails(tmp_path / "a.npy", "the stack needs more memory than there is"):
        stacks.read_stack(tmp_path / "a.npy")


def test_chunks_are_listed_once(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("data_fs", data=SLICES, chunks=(1, 2, 5), compression="gzip")
    asked = []

    class Id:
        """Notes what is asked of HDF5; `get_chunk_info` walks past all chunks before its own."""

        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            asked.append(name)
            return getattr(self.real, name)

    real = h5py.Dataset.id
    monkeypatch.setattr(h5py.Dataset, "id", property(lambda self: Id(real.__get__(self))))
    with h5py.File(path) as file:
        stacks._check_chunks(path, file["data_fs"])
    assert asked.count("read_direct_chunk") == 6
    assert "get_chunk_info" not in asked


def test_two_variables_of_one_name_are_refused(tmp_path, fails):
    path = save(tmp_path / "a.mat", "5", data_fs=IN_MATLAB)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[128:])
    with fails(path, "data_fs 2 times", "save it again"):
        stacks.read_stack(path)


def test_hdf5_reads_no_other_file(tmp_path, fails):
    other = save(tmp_path / "other.mat", "7.3", data_fs=IN_MATLAB)
    with h5py.File(tmp_path / "link.mat", "w") as file:
        file["data_fs"] = h5py.ExternalLink(str(other), "/data_fs")
    with fails(tmp_path / "link.mat", "holds nothing"):
        stacks.read_stack(tmp_path / "link.mat")
    with h5py.File(tmp_path / "raw.mat", "w") as file:
        outside = [(str(other), 0, 60)]
        file.create_dataset("data_fs", (3, 4, 5), "u1", external=outside)
    with fails(tmp_path / "raw.mat", "lies in other files"):
        stacks.read_stack(tmp_path / "raw.mat")


def test_other_compressions_are_refused(tmp_path, fails):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_dataset("data_fs", data=SLICES, compression="lzf")
    with fails(tmp_path / "a.mat", "not compressed with gzip"):
        stacks.read_stack(tmp_path / "a.mat")


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_damaged_stacks(tmp_path, fails, version):
    path = save(tmp_path / "a.mat", version, data_fs=IN_MATLAB)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2):
        path.write_bytes(whole[:length])
        with fails(path, "cannot read the stack", "save it again"):
            stacks.read_stack(path)
    with fails(tmp_path / "gone.mat", "cannot read the stack"):
        stacks.read_stack(tmp_path / "gone.mat")
