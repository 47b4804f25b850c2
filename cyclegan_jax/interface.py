"""The Python interface: loads a model by name, folder or run, and translates with it.

`cyclegan_jax.load_model` and `cyclegan_jax.models` are these; docs/python.md shows them.
"""

import os
import warnings
from pathlib import Path
from typing import Any, overload

import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import nifti, readers
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.intervals import MAIN
from cyclegan_jax.domains import DIRECTIONS, Direction
from cyclegan_jax.inference import TrainedGenerators
from cyclegan_jax.system.workdir import Workdir
from cyclegan_jax.trained.origin import BEST, ModelFolder, Origin, Run
from cyclegan_jax.trained.shipped import find_model
from cyclegan_jax.translation.familiar import unlike_training
from cyclegan_jax.translation.inputs import check_name
from cyclegan_jax.translation.translate_files import translate_scan
from cyclegan_jax.translation.translator import Translator, translator_of

_ARRAY = Path("the array")  # in messages
_IMAGE = Path("the image")
_INTEGERS = (np.uint8, np.uint16)


class Model:
    """A trained model, loaded; `load_model` makes one.

    Attributes:
      name: what it is called.
      step: the training step of its weights.
    """

    def __init__(self, origin: Origin):
        """Reads and places the generators. Each direction is compiled when it is first used."""
        generators = TrainedGenerators(origin.read(), origin.name)
        self.name, self.step = generators.name, generators.step
        self._translators = {d: translator_of(generators, d) for d in DIRECTIONS}

    def __repr__(self) -> str:
        return f"<cyclegan_jax model {self.name!r}, step {self.step}>"

    @overload
    def translate(
        self,
        scan: np.ndarray,
        direction: str,
        *,
        spacing: tuple[float, float, float] | None = None,
        resample: bool = True,
        strict: bool = False,
    ) -> np.ndarray: ...

    @overload
    def translate(
        self,
        scan: SpatialImage,
        direction: str,
        *,
        frame: int | None = None,
        resample: bool = True,
        strict: bool = False,
    ) -> Nifti1Image: ...

    @overload
    def translate(
        self,
        scan: str | os.PathLike[str],
        direction: str,
        *,
        frame: int | None = None,
        resample: bool = True,
        strict: bool = False,
    ) -> Any: ...

    def translate(
        self,
        scan: np.ndarray | SpatialImage | str | os.PathLike[str],
        direction: str,
        *,
        spacing: tuple[float, float, float] | None = None,
        frame: int | None = None,
        resample: bool = True,
        strict: bool = False,
    ) -> Any:
        """Translates one scan and returns what the command `translate` writes, bit for bit.

        What a user must know of the result is given as a warning.

        Args:
          scan: a volume `[X, Y, Z]` in RAS+ orientation (the first axis leads to the right, the
            second to the front, the third to the top), of any real type; an image `[H, W]` of uint8
            or uint16; a nibabel image (NIfTI); or the path of an image, a NIfTI file or the folder
            of a DICOM series.
          direction: "t1_to_t2" or "t2_to_t1".
          spacing: the voxel size in mm along X, Y and Z, for an array of a volume alone.
          frame: of a NIfTI file or image of several frames, from 0.
          resample: whether a volume of other pixels than in training is translated at the voxel
            size of training, and resampled back to its own grid.
          strict: whether a scan that is not like those of training is refused, instead of a
            warning.

        Returns:
          For an array of a volume, float32 of the same shape in the intensity range of training.
          For an array of an image, the same type and shape. For a nibabel image, and for the path
          of a volume, a nibabel image on the grid of the source, with its header. For the path of
          an image, an array of its type and shape.

        Raises:
          InputError: the scan cannot be read or used, it is refused, or its name or header says
            that it already has the contrast to make.
        """
        translator, name, found = self._read(scan, direction, spacing, frame)
        if isinstance(found, np.ndarray):
            made, notes = _image(translator, name, found, strict)
            _warn(notes)
            return made
        volume, made = translate_scan(translator, name, found, resample, strict=strict)
        _warn([*volume.notes, *made.notes])
        return _as_given(scan, made.data, volume, translator)

    def interval(
        self,
        scan: np.ndarray | SpatialImage | str | os.PathLike[str],
        direction: str,
        level: float = MAIN,
        *,
        spacing: tuple[float, float, float] | None = None,
        frame: int | None = None,
        resample: bool = True,
        strict: bool = False,
    ) -> tuple[Any, Any]:
        """Returns the ends of the calibrated interval of each voxel, see docs/trust.md.

        The true intensity lies between them in a share of `level` of the head's voxels, on average
        over people like those that calibrated the model. `translate --interval` writes the same.

        Args:
          scan: a volume, see `translate`.
          direction: see `translate`.
          level: 0.5, 0.8, 0.9 or 0.95.
          spacing: see `translate`.
          frame: see `translate`.
          resample: see `translate`.
          strict: see `translate`.

        Returns:
          The lower and the upper ends, each as `translate` returns a volume.

        Raises:
          InputError: the model has no calibrated intervals, or not of `level`; the scan is an
            image; else as `translate`.
        """
        translator, name, found = self._read(scan, direction, spacing, frame)
        if isinstance(found, np.ndarray):
            raise InputError(f"{name}: only volumes have intervals, and this is an image")
        volume, made = translate_scan(translator, name, found, resample, strict=strict, level=level)
        _warn([*volume.notes, *made.notes])
        lower, upper = (_as_given(scan, end, volume, translator) for end in made.interval or ())
        return lower, upper

    def _read(
        self, scan: Any, direction: str, spacing: Any, frame: int | None
    ) -> tuple[Translator, Path, Volume | np.ndarray]:
        """Returns what translates a scan, the scan's name, and it as a volume or an image."""
        translator = self._translators[_direction(direction)]
        if isinstance(scan, np.ndarray):
            _refuse_options(_ARRAY, frame=frame)
            if scan.ndim != 2:
                return translator, _ARRAY, _volume_of(scan, spacing)
            _refuse_options(_ARRAY, spacing=spacing)
            return translator, _ARRAY, scan
        _refuse_options(_IMAGE, spacing=spacing)
        if isinstance(scan, SpatialImage):
            name = Path(scan.get_filename() or _IMAGE)
            check_name(name, translator.direction)
            return translator, name, nifti.as_volume(name, scan, frame)
        if not isinstance(scan, str | os.PathLike):
            raise InputError(f"a {type(scan).__name__} is no scan; give one path, image or array")
        path = Path(scan)
        row = readers.format_of(path)
        check_name(path, translator.direction)
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        if row.kind == "image":
            _refuse_options(path, frame=frame)
            return translator, path, row.read(path)
        return translator, path, readers.read_volume(path, frame)


def load_model(name: str | os.PathLike[str], checkpoint: str | int = BEST) -> Model:
    """Loads a model.

    Args:
      name: the folder of an exported model, the workdir of a run, or the name of a shipped model,
        see `cyclegan_jax.models`.
      checkpoint: of a run: "best", "latest" or a step.

    Raises:
      InputError: there is no such model, or it is damaged.
    """
    path = Path(name)
    if Workdir(path).checkpoints.is_dir():
        return Model(Run(path, str(checkpoint)))
    if checkpoint != BEST:
        raise InputError(f"checkpoint={checkpoint!r}: {path} is no run; omit it")
    return Model(ModelFolder(find_model(os.fspath(name))))


def _direction(name: str) -> Direction:
    if name not in list(DIRECTIONS):
        raise InputError(f"direction={name!r}: give {' or '.join(map(repr, map(str, DIRECTIONS)))}")
    return Direction(name)


def _refuse_options(name: Path, **given: Any) -> None:
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option}={value!r} does not fit {name}; omit it")


def _image(
    translator: Translator, name: Path, pixels: np.ndarray, strict: bool
) -> tuple[np.ndarray, list[str]]:
    if pixels.dtype not in _INTEGERS or 0 in pixels.shape:
        raise InputError(
            f"the array: has type {pixels.dtype} and shape {pixels.shape}; give an image as uint8 "
            "or uint16 [H, W], or a volume as [X, Y, Z]"
        )
    unlike = unlike_training(translator, pixels, name, strict=strict)
    made, notes = translator.image(pixels)
    return made, [*unlike, *notes]


def _as_given(scan: Any, data: np.ndarray, volume: Volume, translator: Translator) -> Any:
    """Returns a result in RAS+ as an array for an array, and else as an image on its grid."""
    if isinstance(scan, np.ndarray):
        return data
    return nifti.to_image(data, volume, translator.descrip)


def _volume_of(array: np.ndarray, spacing: tuple[float, float, float] | None) -> Volume:
    if array.ndim != 3 or array.dtype.kind not in "biuf" or 0 in array.shape:
        raise InputError(
            f"the array: has type {array.dtype} and shape {array.shape}; give a volume of real "
            "numbers [X, Y, Z], or an image [H, W]"
        )
    if spacing is None:
        raise InputError("the array: give spacing=(x, y, z), its voxel size in mm")
    sizes = np.array(spacing, np.float32)  # as a file's header would hold it
    if sizes.shape != (3,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InputError(f"spacing={spacing!r}: give three sizes in mm, above 0")
    with np.errstate(over="ignore"):  # too large becomes inf, which is refused
        data = array.astype(np.float32)
    affine = np.diag([*sizes.astype(float), 1.0])
    return nifti.as_volume(_ARRAY, Nifti1Image(data, affine))


def _warn(notes: list[str]) -> None:
    """Warns at the line of the user's code that called the public method which calls this."""
    for note in notes:
        warnings.warn(note, stacklevel=3)
