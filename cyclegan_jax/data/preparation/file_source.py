"""Makes a `Source` of scan files: checks them as one set first, reads each when it is needed."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data import limits, slicing
from cyclegan_jax.data.background import with_dark_air
from cyclegan_jax.data.formats import readers, resampling
from cyclegan_jax.data.intensity import MIN_HEAD, IntensityRange, head_ml, images_range, saturated
from cyclegan_jax.data.preparation import scan_labels
from cyclegan_jax.data.preparation.contrast_names import without_trailing_contrast
from cyclegan_jax.data.preparation.label_maps import holds_labels
from cyclegan_jax.data.preparation.reading import in_order
from cyclegan_jax.data.preparation.scan import Scan, ScanImages, Source
from cyclegan_jax.data.preparation.splits import Item, divide, without_hashes
from cyclegan_jax.domains import CONTRASTS, DOMAINS

_EQUAL = 1.01  # voxel sizes of one domain; headers round
_Read = Callable[[Item, str], ScanImages]
_Spacing = tuple[float, float, float]


def scan_source(
    items: Sequence[Item],
    facts: dict[str, Any],
    *,
    holdout: str = "",
    validation: str = "",
    unpaired: str = "disjoint",
    axis: str = "axial",
    min_head: float = MIN_HEAD,
    below_vertex: float | None = None,
    spacing: float | None = None,
    frame: int | None = None,
    brain_only: bool = False,
    label_names: Mapping[str, list[int]] | None = None,
    region_names: Mapping[int, str] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """Returns the scans that `list_folders` or `read_listing` found, divided by subject.

    Images are normalised by the range of their type (8 bits) or of the training scans (16 bits).
    Volumes are brought to RAS+, sliced, and normalised as a whole. Stacks keep all their slices and
    are normalised by their maximum.

    Args:
      items: the scans; all scans of one domain must be of one kind.
      facts: for the manifest: where the items were found.
      holdout: see `divide`.
      validation: see `divide`.
      unpaired: see `divide`.
      axis: along which volumes are sliced: "axial", "coronal" or "sagittal".
      min_head: slices of volumes with a smaller fraction of head are left out.
      below_vertex: axial slices more than so many mm below the highest one are left out, too.
      spacing: voxel size in mm to which volumes are resampled; None leaves them as they are.
      frame: which frame, from 0, is taken of volumes with several.
      brain_only: whether everything outside the label map of each scan is made air, before
        intensities are measured and slices are chosen.
      label_names: the labels of each tissue that has a name.
      region_names: the own name of each label that has one.
      notes: what is already known and must be said, see `list_folders`.

    Raises:
      InputError: a scan does not go with the others, voxel sizes are mixed, a scan has no label map
        though `brain_only` needs it, or `divide` raises.
    """
    if below_vertex is not None and axis != "axial":
        raise InputError(f"--below_vertex is for axial slices, not for --axis={axis}; omit it")
    items = without_hashes(items)
    division = divide(items, holdout=holdout, validation=validation, unpaired=unpaired)
    wanted = {
        split: [i if brain_only or not split.startswith("train") else _unlabelled(i) for i in group]
        for split, group in division.splits.items()
    }
    if brain_only:
        _require_labels(i for group in wanted.values() for i in group)
    flags = {"spacing": spacing, "frame": frame, "below_vertex": below_vertex}
    of_volumes = {flag: value for flag, value in flags.items() if value is not None}
    domains = {
        domain: _domain(
            [i for i in items if i.domain == domain], axis, min_head, of_volumes, brain_only
        )
        for domain in DOMAINS
    }
    pixels = {d: found.pixel for d, found in domains.items() if found.pixel is not None}
    between = {d: found.between for d, found in domains.items() if found.between is not None}
    named = {
        split: _scans(chosen, _several(items, chosen), domains[split[-1]].read)
        for split, chosen in wanted.items()
    }
    options: dict[str, Any] = {"axis": axis, "holdout": holdout, "validation": validation}
    options |= {"unpaired": unpaired, **of_volumes}
    options |= {"brain_only": True} if brain_only else {}
    if between:
        options["slice_mm"] = between
    options["subjects_in_both_training_folders"] = division.in_both
    said = [*notes, *division.notes, *_pixel_note(pixels)]
    dtypes = {d: found.dtype for d, found in domains.items()}
    names = dict(label_names or {}), dict(region_names or {})
    return Source(named, dtypes, facts | options, said, pixels, *names)


class _Domain(NamedTuple):
    """How the scans of a domain are read; of volumes also their sizes in mm."""

    dtype: str
    read: _Read
    pixel: tuple[float, float] | None = None  # height and width
    between: float | None = None  # from one slice to the next


def _domain(
    group: Sequence[Item],
    axis: str,
    min_head: float,
    of_volumes: Mapping[str, Any],
    cut: bool,
) -> _Domain:
    """Checks the scans of a domain as one set. `of_volumes` are the given options of volumes."""
    kind = _one_kind(group)
    if kind != "volume" and of_volumes:
        raise InputError(
            f"--{next(iter(of_volumes))} is for volumes, which {group[0].where} is not; omit it"
        )
    if kind == "image":
        dtype, intensity = _check_images(group, cut)
        return _Domain(dtype, functools.partial(_read_image, intensity=intensity, cut=cut))
    if kind == "stack":
        return _Domain("float32", functools.partial(_read_stack, cut=cut))
    spacing, below = of_volumes.get("spacing"), of_volumes.get("below_vertex")
    voxel = _one_spacing(group) if spacing is None else (spacing, spacing, spacing)
    between = slicing.across(voxel, axis)
    read = functools.partial(
        _read_volume,
        axis=axis,
        min_head=min_head,
        below=None if below is None else int(below / between),
        spacing=spacing,
        frame=of_volumes.get("frame"),
        cut=cut,
    )
    return _Domain("float32", read, slicing.in_plane(voxel, axis), between)


def _unlabelled(item: Item) -> Item:
    return dataclasses.replace(item, labels=None)


def _require_labels(items: Iterable[Item]) -> None:
    lacking = [item for item in items if item.labels is None]
    if lacking:
        raise InputError(
            f"{lacking[0].where}: has no label map, which --brain_only needs of every scan "
            f"({len(lacking)} have none); give the label maps with --labels or --mask_suffix, or "
            "leave these scans out"
        )


def _several(items: Sequence[Item], chosen: Sequence[Item]) -> set[str]:
    """Returns the subjects of `chosen` that have several scans in one domain, or sessions."""
    counts = Counter((i.subject, i.domain) for i in items)
    sessions = Counter(subject for subject, _ in {(i.subject, i.session) for i in items})
    return {
        i.subject
        for i in chosen
        if max(*(counts[i.subject, d] for d in DOMAINS), sessions[i.subject]) > 1
    }


def _scans(chosen: Sequence[Item], several: set[str], read: _Read) -> list[Scan]:
    by_name: dict[str, Item] = {}
    for item in chosen:
        scan = item.scan or without_trailing_contrast(item.path)
        own = f"#{scan}" if item.subject in several else ""
        if not own.isprintable():
            raise InputError(
                f"{item.where}: file {item.path.name!r} has characters that cannot be printed; "
                "rename it"
            )
        twin = by_name.setdefault(item.subject + own, item)
        if twin is not item:
            raise InputError(
                f"{item.where}: {item.path} and {twin.path} are scans of one subject "
                f"{item.subject!r} under one name; rename one, or leave it out"
            )
    return [Scan(n, functools.partial(read, i, n), i.path, i.labels) for n, i in by_name.items()]


def _one_kind(group: Sequence[Item]) -> str:
    """Returns the kind that all scans of a domain have: "image", "volume" or "stack"."""
    kind = readers.format_of(group[0].path).kind
    for item in group:
        if (other := readers.format_of(item.path).kind) != kind:
            raise InputError(
                f"{item.where}: is of kind {other}, {group[0].path.name} of kind {kind}; give all "
                "scans of one contrast in one format"
            )
    return kind


def _check_images(group: Sequence[Item], cut: bool) -> tuple[str, IntensityRange]:
    """Reads every image once, so that a bad one is named before anything is written.

    Returns the type of the images and the range that normalises them.
    """
    firsts: dict[str, tuple[Path, np.ndarray]] = {}
    highest = 0
    read = in_order(lambda item: _pixels(item, cut)[0], group)
    for item, image in zip(group, read, strict=True):
        path, first = firsts.setdefault(item.split, (item.path, image))
        if image.shape != first.shape:
            raise InputError(
                f"{item.path} is {image.shape[1]}x{image.shape[0]} pixels but {path.name} is "
                f"{first.shape[1]}x{first.shape[0]}; make all images of a folder one size"
            )
        path, first = next(iter(firsts.values()))
        if image.dtype != first.dtype:
            raise InputError(
                f"{item.path} is {image.dtype} but {path.name} is {first.dtype}; "
                "make all images of a contrast one bit depth"
            )
        if item.split == "train":  # translating knows the range of the training images only
            highest = max(highest, int(image.max()))
    path, first = firsts["train"]
    if not highest:
        raise InputError(f"{path.parent}: every training image is black; give images with contrast")
    return str(first.dtype), images_range(first.dtype, highest)


def _one_spacing(group: Sequence[Item]) -> _Spacing:
    """Returns the voxel size that all volumes of a domain have, from their headers."""
    first = readers.read_spacing(group[0].path)
    for item in group:
        found = readers.read_spacing(item.path)
        if not slicing.alike(found, first, _EQUAL):
            raise InputError(
                f"{item.path} has voxels of {_mm(found)} but {group[0].path.name} of {_mm(first)}; "
                "resample all with --spacing=MM"
            )
    return first


def _pixel_note(pixels: dict[str, tuple[float, float]]) -> list[str]:
    if len(pixels) < 2 or slicing.alike(pixels["x"], pixels["y"]):
        return []
    x, y = (f"{_mm(pixels[d])} in {d} ({CONTRASTS[d]})" for d in DOMAINS)
    return [
        f"pixels are {x} but {y}, so heads differ in size between the domains; --spacing=MM brings "
        "both to one"
    ]


def _mm(sizes: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in sizes) + " mm"


def _pixels(item: Item, cut: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads an image or a stack, whose air is 0, and its labels; `cut` makes air of the rest."""
    pixels = readers.format_of(item.path).read(item.path)
    if item.labels is None:
        return pixels, None
    labels = scan_labels.read_slices(item.labels, item.path, pixels.shape)
    return (np.where(labels > 0, pixels, pixels.dtype.type(0)) if cut else pixels), labels


def _read_image(item: Item, name: str, *, intensity: IntensityRange, cut: bool) -> ScanImages:
    pixels, labels = _pixels(item, cut)
    found = ScanImages.of_image(pixels, name, intensity)
    return found.with_labels(None if labels is None else labels[None])


def _read_volume(
    item: Item,
    name: str,
    *,
    axis: str,
    min_head: float,
    below: int | None,
    spacing: float | None,
    frame: int | None,
    cut: bool,
) -> ScanImages:
    path, labels = item.path, None
    volume = with_dark_air(path, readers.read_volume(path, frame))
    data = volume.data
    if holds_labels(data):
        raise InputError(
            f"{path}: seems to be a label map or a mask, since it has few values, all whole, in "
            "even areas; remove it, or give the scan that belongs to it"
        )
    if item.labels is not None:
        labels = scan_labels.read_on_grid(item.labels, path, volume)
    if spacing is not None:
        with limits.reading(path, "volume", "fix the voxel size in its header, or --spacing"):
            wanted = resampling.resampled_shape(data.shape, volume.spacing, spacing)
            limits.check_declared(path, wanted, limits.MOST_VOXELS)
            data = resampling.resample(data, volume.spacing, spacing)
            if labels is not None:
                labels = resampling.resample(labels, volume.spacing, spacing, labels=True)
    if cut and labels is not None:
        data = np.where(labels > 0, data, np.float32(np.percentile(data, 1)))  # as in volume_range
    slices = slicing.to_slices(data, axis)
    voxel = volume.spacing if spacing is None else (spacing, spacing, spacing)
    try:
        found = ScanImages.of_volume(
            slices, name, min_head, below, slicing.slice_voxel(voxel, axis)
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    # of the scan as it is: resampling blurs a clipped maximum
    clipped = found.clipped if spacing is None else saturated(volume.data)
    notes = (*volume.notes, *found.notes)
    found = dataclasses.replace(
        found,
        clipped=clipped,
        corners=volume.corners,
        notes=notes,
        head_ml=head_ml(slices, voxel) if cut else None,
        native_mm=slicing.slice_voxel(volume.spacing, axis),
    )
    return found.with_labels(None if labels is None else slicing.to_slices(labels, axis))


def _read_stack(item: Item, name: str, *, cut: bool) -> ScanImages:
    slices, labels = _pixels(item, cut)
    try:
        return ScanImages.of_stack(slices, name).with_labels(labels)
    except ValueError as error:
        raise InputError(f"{item.path}: {error}") from error
