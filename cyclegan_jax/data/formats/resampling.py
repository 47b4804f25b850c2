"""Resamples volumes to a wanted voxel size, with SimpleITK."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from cyclegan_jax import InputError

_VARIANCE_OF_FWHM = 1 / (8 * np.log(2))  # of a Gaussian whose full width at half maximum is 1


def resample(
    data: np.ndarray,
    spacing: tuple[float, float, float],
    wanted: float | tuple[float, float, float],
    shape: tuple[int, ...] | None = None,
    *,
    labels: bool = False,
) -> NDArray[np.float32]:
    """Resamples ``[X, Y, Z]`` of voxel size ``spacing`` (mm) to ``wanted`` (mm; one for all axes).

    The centre of the volume stays where it is, and its extent changes by at most half a new voxel,
    unless a ``shape`` is given: with that of the volume that was resampled, the result is on the
    grid of that volume. Voxels beyond the old extent get its nearest values then.
    An axis that becomes coarser is smoothed first, by the Gaussian that widens the old voxel's
    point spread to the new one's (FWHM² = wanted² - spacing²; Cardoso et al., MICCAI 2015). The
    interpolation uses cubic B-splines, since linear interpolation loses more detail. They overshoot
    at sharp edges, so the result is clipped to the volume's own range.
    With ``labels`` the values are numbers of regions, and each voxel takes that of the nearest one.
    Equal spacing returns the same values. Raises InputError unless the sizes are positive.
    """
    old, new = np.array(spacing, float), np.broadcast_to(np.array(wanted, float), 3)
    if not ((new > 0) & np.isfinite(new)).all():
        raise InputError(f"spacing {wanted}: must be above 0 mm; give one voxel size, or three")
    data = np.ascontiguousarray(data, np.float32)
    if np.allclose(old, new, rtol=1e-4, atol=0) and shape in (None, data.shape):
        return data.copy()
    count = np.array(data.shape)
    wanted_count = np.array(shape or resampled_shape(data.shape, spacing, wanted))
    # SimpleITK counts axes from the last to the first; nothing here depends on which is which
    image = sitk.GetImageFromArray(data)
    image.SetSpacing(old[::-1].tolist())
    variance = np.maximum(new**2 - old**2, 0) * _VARIANCE_OF_FWHM
    if variance.any() and not labels:
        image = sitk.DiscreteGaussian(image, variance[::-1].tolist())
    origin = ((count - 1) * old - (wanted_count - 1) * new) / 2
    resampled = sitk.Resample(
        image,
        wanted_count[::-1].tolist(),
        sitk.Transform(),
        sitk.sitkNearestNeighbor if labels else sitk.sitkBSpline,
        origin[::-1].tolist(),
        new[::-1].tolist(),
        useNearestNeighborExtrapolator=shape is not None,
    )
    return np.clip(sitk.GetArrayFromImage(resampled), data.min(), data.max())


def resampled_shape(
    shape: tuple[int, ...],
    spacing: tuple[float, float, float],
    wanted: float | tuple[float, float, float],
) -> tuple[int, ...]:
    """Returns the shape that `resample` gives to a volume of `shape`."""
    sizes = np.array(shape) * np.array(spacing, float) / np.broadcast_to(wanted, 3)
    return tuple(int(n) for n in np.maximum(1, np.round(sizes)))
