"""MATLAB files of slices, as SynDiff keeps its training data (`data_train_T1.mat`)."""

from pathlib import Path

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from cyclegan_jax import InputError
from cyclegan_jax.data.intensity import check_values

SUFFIX = ".mat"
_VARIABLE = "data_fs"  # SynDiff's name for it
_NUMERIC = ("double", "single", *(f"{u}int{bits}" for u in ("u", "") for bits in (8, 16, 32, 64)))


def read_stack(path: Path) -> NDArray[np.float32]:
    """Read slices of any units as float32 ``[N, H, W]``, values as they are.

    The variable is ``data_fs``, or else the only numeric one with three axes; MATLAB's axes are
    (row, column, slice). Version 7.3 (HDF5) and older files are read. In HDF5 the axes are reversed
    and each slice transposed, as SynDiff's loader does (github.com/icon-lab/SynDiff, dataset.py).
    Raises InputError for a file that is unreadable, has no such variable or several, or one of
    complex numbers, with NaN or infinity, or constant.
    """
    try:
        data = _read_hdf5(path) if h5py.is_hdf5(path) else _read_old(path)
    except InputError:
        raise
    except Exception as error:  # both libraries raise nearly anything on damaged files
        cause = " ".join(str(error).split())
        raise InputError(f"{path}: cannot read the stack ({cause}); save it again") from error
    if data.dtype.kind not in "uif":
        raise InputError(f"{path}: holds {data.dtype}, not real numbers; save its magnitude")
    data = np.ascontiguousarray(data, np.float32)
    check_values(path, data)
    return data


def _read_hdf5(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        shapes = {name: item.shape for name, item in found.items() if _is_number(item)}
        return found[_choose(path, shapes)][()].transpose(0, 2, 1)


def _is_number(item: h5py.Dataset) -> bool:
    # MATLAB marks text and truth values, stored as integers too; other writers mark nothing
    matlab = item.attrs.get("MATLAB_class", b"double")
    return (matlab.decode() if isinstance(matlab, bytes) else matlab) in _NUMERIC


def _read_old(path: Path) -> np.ndarray:
    shapes = {name: shape for name, shape, kind in scipy.io.whosmat(path) if kind in _NUMERIC}
    name = _choose(path, shapes)
    return scipy.io.loadmat(path, variable_names=[name])[name].transpose(2, 0, 1)


def _choose(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    stacks = [name for name, shape in shapes.items() if len(shape) == 3]
    if _VARIABLE in stacks:
        return _VARIABLE
    if len(stacks) != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "nothing"
        raise InputError(
            f"{path}: holds {listed}; name the stack of slices (three axes) {_VARIABLE}"
        )
    return stacks[0]
