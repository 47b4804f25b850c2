"""Measures what a scan looks like, so that scans of use can be compared with those of training.

No measure depends on the unit of the intensities, and hardly any on how much air is around the
head.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclegan_jax.data.intensity import HEAD, head_range, normalise, part_sizes

BINS = 32  # of the histogram
SIDE = 8  # of the thumbnail
_LEAST_PART = 0.005  # of a slice: a smaller connected part of head is noise
_BRIGHT = 0.2  # of the range: darker voxels are bone and air in the head, which have no shading
_DIGITS = 4
_MAD = 1.4826  # times the median of absolute values is the standard deviation of normal noise
_KERNEL_NORM = 6.0  # root of the summed squares of the Laplacian below

Voxel = tuple[float, float, float]  # mm: from slice to slice, height, width


class Quantity(NamedTuple):
    """One number of a scan, and how it is spoken of.

    Attributes:
      less: what a scan is said to have that has less than any training scan; "" says nothing.
      more: the same of more.
      unit: of the numbers, with a space before it.
    """

    less: str
    more: str
    unit: str = ""


# By the names under which manifests and model folders hold them.
QUANTITIES = {
    "noise": Quantity("", "more noise"),
    "sharpness": Quantity("less fine detail in slices", "more fine detail or noise in slices"),
    "sharpness_across": Quantity(
        "less fine detail from slice to slice", "larger jumps from slice to slice"
    ),
    "coverage": Quantity("a smaller share of slices with head", ""),
    "extent_mm": Quantity(
        "a head that spans less from slice to slice",
        "a head that spans more from slice to slice",
        " mm",
    ),
    "size_ml": Quantity("a smaller head", "a larger head", " ml"),
    "shading_across": Quantity(*2 * ["another shading from slice to slice"]),
    "shading_down": Quantity(*2 * ["another shading from top to bottom of slices"]),
    "shading_sideways": Quantity(*2 * ["another shading from side to side of slices"]),
}


def measure_volume(slices: np.ndarray, voxel: Voxel | None) -> dict[str, Any]:
    """Returns the measures of a volume; see `measure`.

    Args:
      slices: `[N, H, W]` in any unit, the whole volume.
      voxel: its size in mm; None where it is not known.

    Raises:
      ValueError: the volume has no head; see `intensity.volume_range`.
    """
    least = _LEAST_PART * slices.shape[1] * slices.shape[2]
    return measure(normalise(slices, head_range(slices, least)), voxel)


def measure(images: np.ndarray, voxel: Voxel | None = None) -> dict[str, Any]:
    """Returns the measures of a scan, as JSON holds them.

    Args:
      images: `[N, H, W]` in [-1, 1]: a whole volume, or one image.
      voxel: its size in mm; None where it is not known.

    Returns:
      What is defined of `QUANTITIES`, with the standard deviation of noise in parts of the
      intensity range, sharpness as the change from voxel to voxel in parts of that over two voxels
      (1/2 is smooth, 1 is noise), and shading as the change of the logarithm of the intensity from
      the middle to the edge of the head. "histogram" has the shares of `BINS` intensities in the
      head, and "form" a thumbnail of it, see `form_of`. It is empty without a head.
    """
    head = _head(images)
    if not head.any():
        return {}
    bright = (images + 1) / 2
    found = {
        "noise": _noise(bright, head),
        "sharpness": float(np.mean([_sharpness(bright, head, axis) for axis in (1, 2)])),
        "sharpness_across": _sharpness(bright, head, 0) if voxel else float("nan"),
        **_shading(bright, head),
    }
    if len(images) > 1:
        with_head = np.flatnonzero(head.any(axis=(1, 2)))
        found["coverage"] = len(with_head) / len(images)
        if voxel:
            found["extent_mm"] = float((np.ptp(with_head) + 1) * voxel[0])
            found["size_ml"] = float(np.count_nonzero(head) * np.prod(voxel) / 1000)
    counts, _ = np.histogram(bright[head], BINS, (0, 1))
    return {
        **{k: float(f"{v:.{_DIGITS}g}") for k, v in found.items() if np.isfinite(v)},
        "histogram": [round(share, 5) for share in (counts / counts.sum()).tolist()],
        "form": form_text(_form(np.where(head, bright, 0), head, voxel)),
    }


def form_text(thumbnail: np.ndarray) -> str:
    """Returns a thumbnail with values in 0 to 1 as a text of two hexadecimal digits a value."""
    return (np.clip(thumbnail, 0, 1) * 255).round().astype(np.uint8).tobytes().hex()


def form_of(text: str) -> NDArray[np.float64]:
    """Returns the thumbnail of `form_text`, `[SIDE, SIDE, SIDE]`.

    That of an image, and of slices of unknown distance, is `[1, SIDE, SIDE]`. Raises
    ValueError for any other text.
    """
    values = np.frombuffer(bytes.fromhex(text), np.uint8) / 255
    if values.size not in (SIDE**2, SIDE**3):
        raise ValueError(f"no form can have {values.size} values")
    return values.reshape(-1, SIDE, SIDE)


def _head(images: np.ndarray) -> NDArray[np.bool_]:
    """Returns the head with its holes, `[N, H, W]`; parts of the size of noise are left out."""
    from scipy.ndimage import binary_fill_holes  # late: it would delay every start

    mask: NDArray[np.bool_] = np.asarray(images > HEAD)
    large = part_sizes(mask) >= max(1.0, _LEAST_PART * images.shape[1] * images.shape[2])
    return np.stack([np.asarray(binary_fill_holes(part)) for part in large])


def _noise(bright: np.ndarray, head: np.ndarray) -> float:
    """Returns the standard deviation of noise in the head, by a robust Laplacian estimate.

    The kernel is that of Immerkaer (1996), which edges and slopes along rows and columns do not
    change, and the median leaves out what anatomy does.
    """
    height, width = bright.shape[1] - 2, bright.shape[2] - 2
    inside = np.ones((len(head), max(height, 0), max(width, 0)), bool)
    for row in range(3):
        for column in range(3):
            inside &= head[:, row : row + height, column : column + width]
    if not inside.any():
        return float("nan")
    laplacian = np.diff(np.diff(bright, 2, axis=1), 2, axis=2)
    return float(_MAD * np.median(np.abs(laplacian[inside])) / _KERNEL_NORM)


def _sharpness(bright: np.ndarray, head: np.ndarray, axis: int) -> float:
    values, inside = (np.moveaxis(array, axis, 0) for array in (bright, head))
    three = inside[:-2] & inside[1:-1] & inside[2:]
    far = np.abs(values[2:] - values[:-2])[three].sum(dtype=np.float64)
    near = np.abs(values[1:-1] - values[:-2])[three].sum(dtype=np.float64)
    return float(near / far) if far > 0 else float("nan")


def _shading(bright: np.ndarray, head: np.ndarray) -> dict[str, float]:
    """Returns the slopes of the logarithm of the intensity in a smooth fit to the whole head."""
    names = ("shading_across", "shading_down", "shading_sideways")
    places = np.array(np.nonzero(head & (bright > _BRIGHT)))
    places = places[:, :: max(1, places.shape[1] // 50_000)]  # a fit of seven numbers needs no more
    if places.shape[1] < 1000:
        return {}
    low, high = places.min(axis=1, keepdims=True), places.max(axis=1, keepdims=True)
    scaled = 2 * (places - low) / np.maximum(high - low, 1) - 1
    terms = np.stack([np.ones(places.shape[1]), *scaled, *scaled**2], axis=1)
    wanted = np.log(bright[tuple(places)].astype(np.float64))
    slopes = np.linalg.lstsq(terms, wanted, rcond=None)[0][1:4]
    return {
        name: float(slope)
        for name, slope, n in zip(names, slopes, bright.shape, strict=True)
        if n > 1
    }


def _form(bright: np.ndarray, head: np.ndarray, voxel: Voxel | None) -> np.ndarray:
    if voxel is None:  # then the height of the head is not known
        return _thumbnail(
            bright.mean(axis=0)[None], np.asarray(head.any(axis=0))[None], (1.0, 1.0, 1.0)
        )
    return _thumbnail(bright, head, voxel)


def _thumbnail(bright: np.ndarray, head: np.ndarray, voxel: Voxel) -> np.ndarray:
    """Returns the means of the blocks of a cube around the head, `[SIDE, SIDE, SIDE]`.

    The side of the cube is the longest of the head. An image gives `[1, SIDE, SIDE]`.
    """
    from scipy.ndimage import map_coordinates, uniform_filter1d  # late: see above

    axes = []
    sizes = [SIDE if n > 1 else 1 for n in bright.shape]
    ends = [np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {a})))[[0, -1]] for a in range(3)]
    side = max((last - first + 1) * mm for (first, last), mm in zip(ends, voxel, strict=True))
    for (first, last), mm, n in zip(ends, voxel, sizes, strict=True):
        axes.append((first + last) / 2 + ((np.arange(n) + 0.5) / n - 0.5) * side / mm)
    means = bright.astype(np.float32)
    for axis, (mm, n) in enumerate(zip(voxel, sizes, strict=True)):
        block = max(1, int(side / n / mm)) if n > 1 else 1
        means = uniform_filter1d(means, block, axis, mode="constant")
    grid = np.meshgrid(*axes, indexing="ij")
    return map_coordinates(means, grid, order=1, mode="constant")


def check_measures(measures: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError for what `measure` cannot have returned."""
    if not measures:
        return
    numbers: Sequence[Any] = [measures[k] for k in measures if k not in ("histogram", "form")]
    if not set(measures) <= {*QUANTITIES, "histogram", "form"}:
        raise ValueError(f"no measures can be {str(sorted(measures))[:80]!r}")
    for value in (*numbers, *(histogram := measures["histogram"])):
        if type(value) not in (int, float) or not abs(value) < 1e9:
            raise ValueError(f"no measure can be {str(value)[:80]!r}")
    if len(histogram) != BINS:
        raise ValueError(f"no histogram can have {len(histogram)} values")
    form_of(measures["form"])
