"""Reads stacks of slices: MATLAB files such as SynDiff's `data_train_T1.mat`, and `.npy`."""

import math
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats import matlab
from cyclegan_jax.data.intensity import check_values

SUFFIXES = (".mat", ".npy")
_VARIABLE = "data_fs"  # SynDiff's name for it
_NUMERIC = ("double", "single", *(f"{u}int{bits}" for u in ("u", "") for bits in (8, 16, 32, 64)))
_SPLIT = "split it into several stacks"
_CHECKSUM = 8  # bytes that may follow a chunk's
_HDF5_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def read_stack(path: Path) -> NDArray[np.float32]:
    """Reads slices of any units as float32 ``[N, H, W]`` and leaves their values as they are.

    A ``.npy`` has these axes. In MATLAB's files, of version 7.3 (HDF5) or older, the variable is
    ``data_fs``, or else the only numeric one with three axes, which are (row, column, slice) in
    MATLAB. In HDF5 the axes are reversed and each slice is transposed, as SynDiff's loader does
    (github.com/icon-lab/SynDiff, dataset.py).
    Raises InputError for a file that is unreadable or has no such variable or several; for a
    variable that is complex or constant, has NaN or infinity, or more than ``limits.MOST_VOXELS``.
    """
    with limits.reading(path, "stack", "save it again"), np.errstate(over="ignore"):
        data = _read(path)
        _check_numbers(path, data.dtype)
        data = np.ascontiguousarray(data, np.float32)  # too large becomes inf, reported below
    check_values(path, data)
    return data


def _read(path: Path) -> np.ndarray:
    if path.name.lower().endswith(".npy"):
        return _read_npy(path)
    return _read_hdf5(path) if h5py.is_hdf5(path) else _read_matlab5(path)


def _check_numbers(path: Path, dtype: np.dtype) -> None:
    if dtype.kind not in "uif":
        raise InputError(f"{path}: holds {dtype}, not real numbers; save its magnitude")


def _read_npy(path: Path) -> np.ndarray:
    # mapped, so that nothing is read before it is checked, and no more than the file holds
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(data, np.ndarray):
        raise InputError(f"{path}: is an .npz archive; save one array with numpy.save")
    _choose(path, {"an array": data.shape})
    limits.check_declared(path, data.shape, limits.MOST_VOXELS, _SPLIT)
    return data


def _read_hdf5(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        # a link could lead to any other file
        inside = [str(n) for n in file if isinstance(file.get(n, getlink=True), h5py.HardLink)]
        found = {n: item for n in inside if isinstance(item := file[n], h5py.Dataset)}
        shapes = {name: item.shape for name, item in found.items() if _is_number(item)}
        item = found[_choose(path, shapes)]
        limits.check_declared(path, item.shape, limits.MOST_VOXELS, _SPLIT)
        _check_numbers(path, item.dtype)
        _check_chunks(path, item)
        return item[()].transpose(0, 2, 1)


def _check_chunks(path: Path, item: h5py.Dataset) -> None:
    """Refuses what HDF5 would read without a limit: it inflates a chunk to whatever comes out."""
    if item.is_virtual or item.external:
        raise InputError(f"{path}: {item.name} lies in other files; save it into this one")
    if item.chunks is None:
        return
    limits.check_declared(path, item.chunks, limits.MOST_VOXELS)
    plist = item.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= _HDF5_FILTERS or len(set(filters)) < len(filters):
        raise InputError(f"{path}: {item.name} is not compressed with gzip; save it so")
    size = math.prod(item.chunks) * item.dtype.itemsize
    places: list[tuple[int, ...]] = []
    item.id.chunk_iter(lambda chunk: places.append(chunk.chunk_offset))
    for place in places:
        mask, stored = item.id.read_direct_chunk(place)
        deflated = any(
            kind == h5py.h5z.FILTER_DEFLATE and not mask >> i & 1 for i, kind in enumerate(filters)
        )
        if deflated and limits.inflated_length(stored, size) > size + _CHECKSUM:
            raise InputError(f"{path}: a chunk inflates to more than {size} bytes; save it again")


def _is_number(item: h5py.Dataset) -> bool:
    # MATLAB marks text and truth values, stored as integers too; other writers mark nothing
    matlab = item.attrs.get("MATLAB_class", b"double")
    return (matlab.decode() if isinstance(matlab, bytes) else matlab) in _NUMERIC


def _read_matlab5(path: Path) -> np.ndarray:
    with path.open("rb") as stream:
        if not matlab.is_matlab5(stream):
            raise ValueError("neither version 5 to 7.3 of MATLAB's files")
        found = matlab.matrices(stream)
        name = _choose(path, {m.name: m.shape for m in found if m.is_number})
        chosen, *others = (m for m in found if m.name == name)
        if others:
            raise InputError(f"{path}: holds {name} {1 + len(others)} times; save it again")
        if chosen.is_complex:
            raise InputError(f"{path}: {name} is complex; save its magnitude")
        limits.check_declared(path, chosen.shape, limits.MOST_VOXELS, _SPLIT)
        return chosen.read().transpose(2, 0, 1)


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
