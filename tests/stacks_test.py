"""Tests of MATLAB stacks of slices."""

import h5py
import numpy as np
import pytest
import scipy.io

from cyclegan_jax.data import stacks

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
