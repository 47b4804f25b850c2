"""Reads a folder of DICOM files, one series, as a volume, with SimpleITK (GDCM)."""

import collections
import contextlib
import dataclasses
import itertools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nibabel.affines import from_matvec
from nibabel.nifti1 import Nifti1Image

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats.dicom_elements import (
    BEGINNING,
    begins_like_dicom,
    check_elements,
)
from cyclegan_jax.data.formats.orientation import Volume, affine_spacing, to_canonical
from cyclegan_jax.data.intensity import check_values

SUFFIX = ".dcm"
_SERIES, _DESCRIPTION, _IMAGE_TYPE = "0020|000e", "0008|103e", "0008|0008"
_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_FRAMES, _CHANNELS = "0028|0008", "0028|0002"
_PADDING, _INTERCEPT, _SLOPE = "0028|0120", "0028|1052", "0028|1053"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class _Slice:
    """The header of one file; lengths in mm, directions in DICOM's LPS+ space."""

    path: Path
    tags: dict[str, str]
    size: tuple[int, ...]  # columns, rows
    spacing: np.ndarray  # from one column to the next, from one row to the next
    origin: np.ndarray
    axes: np.ndarray  # [3, 2], unit vectors along a row and along a column

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.axes.T)

    @property
    def padding(self) -> float | None:
        """The rescaled value of pixels outside of the scan, if the header has one."""
        if _PADDING not in self.tags:
            return None
        try:
            slope, intercept = float(self.tags.get(_SLOPE, 1)), float(self.tags.get(_INTERCEPT, 0))
            padding = float(np.float32(float(self.tags[_PADDING]) * slope + intercept))
        except ValueError:  # it is not needed
            return None
        return padding if np.isfinite(padding) else None


def is_dicom(path: Path) -> bool:
    """Returns whether a file is named like DICOM or begins like it, and can be opened."""
    if path.is_dir() or path.name.upper() == "DICOMDIR":  # the index of a medium, no image
        return False
    if path.name.lower().endswith(SUFFIX):
        return True
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as stream:
            return begins_like_dicom(stream.read(BEGINNING))
    except OSError:
        return False


def is_series(folder: Path) -> bool:
    """Returns whether ``folder`` itself holds DICOM files."""
    return folder.is_dir() and next(_files(folder), None) is not None


def read_series(folder: Path, frame: int | None = None) -> Volume:
    """Reads the one series in ``folder``: slices in order of position, rescaled by their headers.

    The volume's source is a NIfTI image in the series' own voxel order (columns, rows, slices),
    whose sform and qform are the scanner's space (code 1). ``frame`` may be 0 or None.
    Raises InputError for a file that is unreadable, has colour or several frames or no position, or
    is a localiser; for several series; for slices that are missing, at one place, shifted sideways
    or of mixed size or orientation; for a single slice; and for values as ``check_values`` does.
    """
    if frame:
        raise InputError(f"{folder}: has no frame {frame}; a DICOM series is read as frame 0")
    with _reading(folder):
        slices, affine = _stack(folder)
        limits.check_declared(folder, (*slices[0].size, len(slices)), limits.MOST_VOXELS)
        data = np.empty((*slices[0].size, len(slices)), np.float32)
        padding = slices[0].padding
        for k, one in enumerate(slices):
            try:
                pixels = sitk.GetArrayFromImage(_reader(one.path).Execute())
            except RuntimeError:
                raise _unreadable(one.path) from None
            data[:, :, k] = pixels[0].T
            if padding is not None and one.padding is not None:  # slices may differ in scaling
                data[:, :, k][data[:, :, k] == np.float32(one.padding)] = padding
        check_values(folder, data)
        image = Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        return Volume(to_canonical(data, affine), image, padding=padding)


def read_series_spacing(folder: Path) -> tuple[float, float, float]:
    """Returns the voxel size in mm along X, Y and Z of RAS+, from the headers alone.

    Raises InputError as ``read_series`` does about headers.
    """
    with _reading(folder):
        return affine_spacing(_stack(folder)[1])


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and is_dicom(p))


def _reader(path: Path) -> sitk.ImageFileReader:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what matters is raised, with the file
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _reading(folder: Path) -> contextlib.AbstractContextManager[None]:
    return limits.reading(folder, "DICOM series", "export it again")


def _unreadable(path: Path) -> InputError:
    return InputError(
        limits.unfetched(path) or f"{path}: cannot be read as DICOM; export it again, or remove it"
    )


def _header(path: Path) -> _Slice:
    reader = _reader(path)
    try:
        check_elements(path.read_bytes())
        reader.ReadImageInformation()
    except (OSError, ValueError, struct.error, RuntimeError):
        raise _unreadable(path) from None
    limits.check_declared(path, reader.GetSize(), limits.MOST_PIXELS)
    keys = (_SERIES, _DESCRIPTION, _IMAGE_TYPE, _POSITION, _ORIENTATION, _PIXEL_SPACING, _FRAMES)
    keys += (_PADDING, _INTERCEPT, _SLOPE)
    tags = {
        key: reader.GetMetaData(key).strip(" \0").encode(errors="replace").decode()
        for key in (*keys, _CHANNELS)
        if reader.HasMetaDataKey(key)
    }
    return _Slice(
        path,
        tags,
        reader.GetSize()[:2],
        np.array(reader.GetSpacing()[:2]),
        np.array(reader.GetOrigin()),
        np.array(reader.GetDirection()).reshape(3, 3)[:, :2],
    )


def _stack(folder: Path) -> tuple[list[_Slice], np.ndarray]:
    """Returns the series' slices by increasing position along their normal, and the RAS+ affine."""
    slices = [_header(path) for path in _files(folder)]
    if not slices:
        raise InputError(f"{folder}: holds no DICOM file; give the folder of one series")
    _check_one_series(folder, slices)
    for one in slices:
        _check_slice(one, slices[0])
    if len(slices) == 1:
        raise InputError(
            f"{folder}: holds a single slice, {slices[0].path.name}; a series needs at least two"
        )
    normal = slices[0].normal
    slices.sort(key=lambda one: float(one.origin @ normal))
    step = _check_positions(folder, slices)
    first = slices[0]
    matrix = np.column_stack([first.axes * first.spacing, normal * step])
    return slices, _LPS_TO_RAS @ from_matvec(matrix, first.origin)


def _check_one_series(folder: Path, slices: Sequence[_Slice]) -> None:
    counts = collections.Counter(one.tags.get(_SERIES, "") for one in slices)
    if len(counts) == 1:
        return
    named = {one.tags.get(_SERIES, ""): one.tags.get(_DESCRIPTION, "") for one in slices}
    listed = "; ".join(f"{named[uid]!r}, {n} files, UID {uid}" for uid, n in counts.items())
    raise InputError(
        f"{folder}: holds {len(counts)} series ({listed}); put each series into a folder of its own"
    )


def _check_slice(one: _Slice, first: _Slice) -> None:
    frames = one.tags.get(_FRAMES, "1")
    if frames != "1":
        raise InputError(
            f"{one.path}: is a multi-frame file ({frames} frames); convert it to NIfTI, "
            "for example with dcm2niix"
        )
    if one.tags.get(_CHANNELS, "1") != "1":
        raise InputError(f"{one.path}: is in colour; give the grey series it was made from")
    if "LOCALIZER" in one.tags.get(_IMAGE_TYPE, "").upper():
        raise InputError(f"{one.path}: is a localiser; remove it, or give another series")
    for name, tag in (
        ("ImagePositionPatient", _POSITION),
        ("ImageOrientationPatient", _ORIENTATION),
        ("PixelSpacing", _PIXEL_SPACING),
    ):
        if not one.tags.get(tag):
            raise InputError(f"{one.path}: has no {name}; export the scanner's original series")
    if one.size != first.size or not np.allclose(one.spacing, first.spacing, rtol=1e-3):
        raise InputError(
            f"{one.path}: has {_grid(one)} but {first.path.name} has {_grid(first)}; put slices of "
            "different grids into separate folders"
        )
    if not np.allclose(one.axes, first.axes, atol=1e-3):
        raise InputError(
            f"{one.path}: lies in another plane than {first.path.name} (a localiser?); put slices "
            "of different planes into separate folders"
        )


def _grid(one: _Slice) -> str:
    (columns, rows), (x, y) = one.size, one.spacing
    return f"{columns}x{rows} pixels of {x:.4g}x{y:.4g} mm"


def _check_positions(folder: Path, slices: Sequence[_Slice]) -> float:
    """Returns the distance in mm between sorted slices, which must be even and straight."""
    normal = slices[0].normal
    origins = np.array([one.origin for one in slices])
    along = origins @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps[gaps > 1e-3])) if (gaps > 1e-3).any() else 0.0
    for (one, two), gap, place in zip(itertools.pairwise(slices), gaps, along, strict=False):
        names = f"{one.path.name} and {two.path.name}"
        where = f"{place:.2f} mm along the normal"
        if gap < 1e-3:
            raise InputError(
                f"{folder}: {names} lie at one position ({where}); keep one copy, or one echo or "
                "time point, in a folder"
            )
        if abs(gap - usual) > 0.05 * usual:
            missing = f"about {gap / usual - 1:.0f} missing" if gap > 1.5 * usual else "uneven"
            raise InputError(
                f"{folder}: slices {names} are {gap:.4g} mm apart, others {usual:.4g} mm "
                f"({missing}, {where}); export the whole series"
            )
    sideways = origins - origins[0] - np.outer(along - along[0], normal)
    if (shift := np.linalg.norm(sideways, axis=1).max()) > 0.5 * slices[0].spacing.min():
        raise InputError(
            f"{folder}: slices are shifted sideways by up to {shift:.3g} mm (a tilted gantry?); "
            "resample them to a straight stack first"
        )
    return float(along[-1] - along[0]) / (len(slices) - 1)
