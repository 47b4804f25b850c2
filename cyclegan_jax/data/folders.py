"""Folders of images or volumes as a `Source`: subjects by file name, held-out pairs, no leak."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cyclegan_jax import InputError
from cyclegan_jax.data import images, volumes
from cyclegan_jax.data.intensity import IntensityRange, full_range, normalise
from cyclegan_jax.data.scans import kind, list_scans, read_volume, stem
from cyclegan_jax.data.sources import Scan, ScanImages, Source, volume_images

# "sub-01_T1w", "IXI146-HH-1389-T2", "case3.t1": the trailing contrast is no part of the subject.
# The separator is required: "patient1" and "patient2" are two subjects.
_CONTRAST = re.compile(r"[ _.-]+t[12]w?$", re.IGNORECASE)


def folder_source(
    x: Path,
    y: Path,
    *,
    test_x: Path | None = None,
    test_y: Path | None = None,
    holdout: str = "",
    validation: str = "",
    axis: str = "axial",
    unpaired: str = "disjoint",
    min_head: float = 0.15,
) -> Source:
    """Two folders, one for each contrast, of 2-D images or of NIfTI volumes.

    The subject is the file's name without suffix and without a trailing contrast (`_T1w`, `-t2`);
    equal subjects in both domains are the same anatomy.

    Args:
      x: folder (or file) of T1-weighted training images.
      y: the same for T2-weighted.
      test_x: folder of T1-weighted test images, with `test_y`; pairs go by subject.
      test_y: folder of T2-weighted test images.
      holdout: Python slice `start:stop:step` over the sorted subjects in both domains; those are
        the test pairs and are trained on in neither domain.
      validation: the same over the subjects that are left; those are the validation pairs, by
        which a run is monitored and a sweep is ranked.
      axis: along which volumes are sliced: "axial", "coronal" or "sagittal".
      unpaired: "disjoint" divides training subjects that are in both domains between the domains,
        so that no anatomy trains in both; "shared" trains both domains on them.
      min_head: volumes' slices with a smaller fraction of head are left out.

    Raises:
      InputError: an unusable folder or file, mixed sizes, or splits that leave nothing to train on
        or nothing to test on.
    """
    make = functools.partial(_folder_scans, axis=axis, min_head=min_head)
    train, dtypes, ranges = {}, {}, {}
    for domain, folder in (("x", x), ("y", y)):
        train[domain], dtypes[domain], ranges[domain] = make(folder)
    splits: dict[str, list[Scan]] = {}
    if (test_x is None) != (test_y is None):
        raise InputError("test images come in pairs: give both --test_x and --test_y, or neither")
    if test_x is not None and test_y is not None:
        if holdout:
            raise InputError("give either --holdout or --test_x and --test_y, not both")
        tests = {}
        for domain, folder in (("x", test_x), ("y", test_y)):
            tests[domain], dtype, _ = make(folder, like=ranges[domain])
            if dtype != dtypes[domain]:
                raise InputError(
                    f"{folder} holds {dtype} images but the {domain} training folder "
                    f"{dtypes[domain]}; give both in one format"
                )
        _refuse_leak(train, tests)
        splits = _pairs(tests, test_x, test_y)
    for split, flag, chosen in (
        ("test", "--holdout", holdout),
        ("val", "--validation", validation),
    ):
        if chosen:
            held = _hold_out(sorted(_common(train)), flag, chosen)
            splits |= {f"{split}_{d}": [s for s in train[d] if s.subject in held] for d in "xy"}
            train = {d: [s for s in train[d] if s.subject not in held] for d in "xy"}
    both = sorted(_common(train))
    if unpaired == "disjoint":
        away = {"x": set(both[1::2]), "y": set(both[0::2])}
        train = {d: [s for s in train[d] if s.subject not in away[d]] for d in "xy"}
    for domain, folder in (("x", x), ("y", y)):
        if not train[domain]:
            raise InputError(
                f"{folder}: no training image is left after --holdout={holdout!r}, --validation="
                f"{validation!r} and --unpaired={unpaired}; hold out fewer or add images"
            )
    facts = {"kind": "folders", "x": str(x), "y": str(y), "axis": axis, "holdout": holdout}
    facts |= {
        "validation": validation,
        "unpaired": unpaired,
        "subjects_in_both_training_folders": len(both),
    }
    return Source({f"train_{d}": train[d] for d in "xy"} | splits, dtypes, facts)


def subject_of(path: Path) -> str:
    """The file's name without suffix and trailing contrast; the whole stem if nothing is left."""
    name = stem(path)
    return _CONTRAST.sub("", name) or name


def _folder_scans(
    folder: Path, *, axis: str, min_head: float, like: IntensityRange | None = None
) -> tuple[list[Scan], str, IntensityRange | None]:
    """Scans, their stored type, and the range of images: `like` if given, None for volumes."""
    files = list_scans(folder)
    by_subject: dict[str, Path] = {}
    for path in files:
        twin = by_subject.setdefault(subject_of(path), path)
        if twin != path:
            raise InputError(
                f"{twin} and {path.name} have the same subject {subject_of(path)!r}; rename one"
            )
    dtype, intensity = "float32", None
    if kind(files[0]) == "volume":
        reader = functools.partial(_read_volume, axis=axis, min_head=min_head)
    else:
        dtype, own = _check_images(files)
        intensity = like or own
        reader = functools.partial(_read_image, intensity=intensity)
    scans = [Scan(s, functools.partial(reader, p, s)) for s, p in by_subject.items()]
    return scans, dtype, intensity


def _check_images(files: Sequence[Path]) -> tuple[str, IntensityRange]:
    """Reads every image once, so that a bad one is named before anything is written."""
    first = images.read_image(files[0])
    highest = 0
    for path in files:
        image = images.read_image(path)
        if image.shape != first.shape:
            raise InputError(
                f"{path} is {image.shape[1]}x{image.shape[0]} pixels but {files[0].name} is "
                f"{first.shape[1]}x{first.shape[0]}; make all images of a folder one size"
            )
        if image.dtype != first.dtype:
            raise InputError(
                f"{path} is {image.dtype} but {files[0].name} is {first.dtype}; "
                "make all images of a folder one bit depth"
            )
        highest = max(highest, int(image.max()))
    if not highest:
        raise InputError(f"{files[0].parent}: every image is black")
    if first.dtype == np.uint8:
        return "uint8", full_range(first.dtype)
    return str(first.dtype), IntensityRange(0.0, float(highest))  # scanners use 10 to 15 bits


def _read_image(path: Path, subject: str, *, intensity: IntensityRange) -> ScanImages:
    image = normalise(images.read_image(path), intensity)
    return ScanImages({subject: image}, intensity, (1, *image.shape))


def _read_volume(path: Path, subject: str, *, axis: str, min_head: float) -> ScanImages:
    try:
        return volume_images(volumes.to_slices(read_volume(path).data, axis), subject, min_head)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _common(scans: dict[str, list[Scan]]) -> set[str]:
    return {s.subject for s in scans["x"]} & {s.subject for s in scans["y"]}


def _pairs(tests: dict[str, list[Scan]], test_x: Path, test_y: Path) -> dict[str, list[Scan]]:
    """The test splits: the scans of the subjects that both folders have."""
    common = _common(tests)
    if not common:
        raise InputError(
            f"no file name of {test_x} has a partner in {test_y}: a pair must have equal "
            "names, apart from the suffix and a trailing _T1 or _T2"
        )
    return {f"test_{d}": [s for s in tests[d] if s.subject in common] for d in "xy"}


def _refuse_leak(train: dict[str, list[Scan]], tests: dict[str, list[Scan]]) -> None:
    trained = {s.subject for scans in train.values() for s in scans}
    leaked = sorted({s.subject for scans in tests.values() for s in scans} & trained)
    if leaked:
        raise InputError(
            f"{len(leaked)} test subjects are also in the training folders, first "
            f"{leaked[0]!r}; remove them from one, or use --holdout"
        )


def _hold_out(subjects: list[str], flag: str, chosen: str) -> set[str]:
    parts = chosen.split(":")
    try:
        if len(parts) not in (2, 3):
            raise ValueError
        held = subjects[slice(*(int(p) if p else None for p in parts))]
    except ValueError:
        raise InputError(
            f"{flag}={chosen!r} is no Python slice; 2::5 takes every fifth pair"
        ) from None
    if not held:
        raise InputError(
            f"{flag}={chosen} selects none of the {len(subjects)} names that are in both "
            "folders; pairs must have equal names"
        )
    return set(held)
