"""Finds the scans to translate, and names the file for each translation."""

import os
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats import readers
from cyclegan_jax.data.formats.orientation import Volume
from cyclegan_jax.data.preparation.contrast_names import (
    contrast_of,
    is_contrast,
    without_contrast,
    without_trailing_contrast,
)
from cyclegan_jax.data.preparation.folders import name_in
from cyclegan_jax.data.preparation.label_maps import is_named_label_map
from cyclegan_jax.data.preparation.notes import left_out
from cyclegan_jax.data.preparation.subject_folders import is_tree, list_tree
from cyclegan_jax.domains import CONTRASTS, Direction


def plan(
    inputs: Sequence[Path],
    out: Path,
    direction: Direction,
    notes: list[str] | None = None,
) -> list[tuple[Path, Path]]:
    """Returns every scan to read with the file to write for it; folders are expanded.

    The result is named after the subject with `_T1` or `_T2`; a JPEG becomes a PNG, a DICOM series
    becomes NIfTI. It lies in `out` as its scan lies in the given folder; folders that only name a
    contrast are left out of its path. If several inputs would give results of one name, all lie in
    `out` as the scans lie in the folder that the inputs have in common.

    Of a folder in which some names say the source contrast, scans that say another one are left
    out, and so are label maps and what lies in `out`.

    Args:
      inputs: images, NIfTI files, DICOM series' folders, folders of these, and folders that have a
        folder for each subject.
      out: folder of the results.
      direction: which contrast is made of which.
      notes: gets lines that a user must know.

    Raises:
      InputError: nothing to do, two results share a name, `out` is the folder of an input, or a
        name says that a scan already has the contrast to make.
    """
    if not inputs:
        raise InputError("name at least one image, volume or folder to translate")
    said = [] if notes is None else notes
    found = [(path, entry) for entry in inputs for path in _scans_of(entry, out, direction, said)]
    targets = [_target(path, entry, out, direction) for path, entry in found]
    if len(inputs) > 1 and len(set(targets)) < len(targets):
        places = [os.path.dirname(os.path.abspath(entry)) for entry in inputs]
        common = Path(os.path.commonpath(places))
        targets = [_target(Path(os.path.abspath(p)), common, out, direction) for p, _ in found]
    pairs = [(path, target) for (path, _), target in zip(found, targets, strict=True)]
    writers: dict[Path, Path] = {}
    of_scans = {place: s for s, _ in pairs for place in (s.resolve(), s.resolve().parent)}
    for source, target in pairs:
        if (inside := of_scans.get(target.parent.resolve())) is not None:
            raise InputError(
                f"--out={out} is the folder of {inside.name}: a translation could replace a scan "
                "there; choose another"
            )
        # what is written beside a volume has one name, whatever the volume's suffix
        written = preview_of(target) if readers.format_of(source).kind == "volume" else target
        if writers.setdefault(written, source) != source:
            raise InputError(
                f"{writers[written]} and {source} would both be written to {written}; "
                "translate them into different folders"
            )
    return pairs


def check_name(path: Path, direction: Direction) -> None:
    """Refuses one scan whose name says that it already has the contrast to make."""
    _of_source(path, [path], direction, [])


def check_header(path: Path, volume: Volume, direction: Direction) -> None:
    """Refuses a volume whose header says that it already has the contrast to make.

    This is the description of a NIfTI file or a DICOM series. A name that says the source contrast
    outweighs it.
    """
    text = volume.source.header["descrip"].tobytes().rstrip(b"\0").decode(errors="replace")
    wanted = CONTRASTS[direction.target]
    if contrast_of(text) != wanted or contrast_of(_name(path)) == CONTRASTS[direction.source]:
        return
    own = CONTRASTS[direction.source]
    raise InputError(
        f"{path}: its header says {wanted} ({text!r}), but --direction={direction} takes {own} "
        f"scans; give --direction={direction.back}, or end its name in _{own} if it is {own}"
    )


def result_suffix(direction: Direction) -> str:
    """Returns what ends the name of a translation: "_T1" or "_T2"."""
    return f"_{CONTRASTS[direction.target]}"


def preview_of(target: Path) -> Path:
    """Returns the path of the preview beside a translated volume."""
    return target.with_name(f"{readers.stem(target)}_preview.png")


def _scans_of(entry: Path, out: Path, direction: Direction, said: list[str]) -> list[Path]:
    """Returns the scans to translate in a folder, or a scan itself."""
    tree = is_tree(entry, with_splits=True)
    listing = list_tree(entry) if tree else readers.list_folder(entry)
    if tree and out.resolve() == entry.resolve():
        raise InputError(f"--out={out} is the folder of the scans; choose another")
    scans, rest = (_outside(out, entry, paths) for paths in (listing.scans, listing.left_out))
    if rest and not tree:
        why = "no scan directly in the folder"
        said.append(left_out(str(entry), why, [str(path.relative_to(entry)) for path in rest]))
    chosen = _of_source(entry, scans, direction, said)
    for path in chosen:
        if (row := readers.format_of(path)).translated is None:
            raise InputError(
                f"{path}: {row.kind}s are not translated; save it as NIfTI or as images"
            )
    return chosen


def _target(path: Path, root: Path, out: Path, direction: Direction) -> Path:
    """Returns the file to write for a scan, which lies in `root` or is it."""
    *folders, _ = inside = path.relative_to(root).parts or ("",)
    if folders:
        name, _ = name_in(root, path)
        subject = without_contrast(name) or name
    else:  # a folder may be given as "."
        subject = without_trailing_contrast(Path(os.path.abspath(root), *inside))
    suffix = readers.format_of(path).translated or path.name.removeprefix(readers.stem(path))
    place = out.joinpath(*(folder for folder in folders if not is_contrast(folder)))
    return place / f"{subject}{result_suffix(direction)}{suffix}"


def _outside(out: Path, entry: Path, paths: Sequence[Path]) -> list[Path]:
    """Returns the paths that are no earlier results: not in `out`, if it lies in the folder."""
    place = out.resolve()
    if entry.resolve() not in place.parents:
        return list(paths)
    found = {path: path.parent.resolve() / path.name for path in paths}
    return [path for path in paths if place not in (found[path], *found[path].parents)]


def _of_source(
    entry: Path, scans: Sequence[Path], direction: Direction, said: list[str]
) -> list[Path]:
    """Returns the scans that have the source contrast, as far as names say one."""
    own, wanted = CONTRASTS[direction.source], CONTRASTS[direction.target]
    contrasts = {path: _contrast(entry, path) for path in scans}
    refused = [path for path in scans if contrasts[path] == wanted]
    if refused and own not in contrasts.values():
        raise InputError(
            f"{refused[0]}: its name says {wanted}, but --direction={direction} takes {own} scans; "
            f"give --direction={direction.back}, or rename it"
        )
    chosen = [path for path in scans if not is_named_label_map(_name(path))] or list(scans)
    labels = [path for path in scans if path not in chosen]
    others = []
    if own in contrasts.values():
        others = [path for path in chosen if contrasts[path] not in (own, "")]
        chosen = [path for path in chosen if path not in others]
    for paths, why in (
        (labels, "label maps by their names"),
        (others, f"their names say another contrast than {own}"),
    ):
        if paths:
            said.append(left_out(str(entry), why, [str(p.relative_to(entry)) for p in paths]))
    return chosen


def _contrast(entry: Path, path: Path) -> str:
    """Returns the contrast that the name of a scan says, or else that of a folder around it."""
    inside = [folder.name for folder in path.parents if entry in folder.parents]
    return next((found for name in (_name(path), *inside) if (found := contrast_of(name))), "")


def _name(path: Path) -> str:
    return readers.stem(Path(os.path.abspath(path)))
