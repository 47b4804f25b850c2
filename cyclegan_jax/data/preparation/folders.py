"""Lists folders of scans, one for each contrast and split; names tell the subjects."""

from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.readers import format_of, list_folder, stem
from cyclegan_jax.data.preparation import notes as say
from cyclegan_jax.data.preparation.contrast_names import contrast_of, is_contrast
from cyclegan_jax.data.preparation.label_maps import is_named_label_map
from cyclegan_jax.data.preparation.splits import Item
from cyclegan_jax.data.preparation.subject_folders import is_tree, list_tree
from cyclegan_jax.data.preparation.subjects import File, read_names
from cyclegan_jax.domains import CONTRASTS


def list_folders(
    x: Path,
    y: Path,
    *,
    val_x: Path | None = None,
    val_y: Path | None = None,
    test_x: Path | None = None,
    test_y: Path | None = None,
    mask_suffix: str = "",
    notes: list[str] | None = None,
) -> list[Item]:
    """Returns the scans in the given folders (or single files), by domain and split.

    A folder holds scans, or a folder for each subject (BIDS, or `subj000/T1.nii.gz`); only a folder
    of subjects may be given for both domains. `subjects.read_names` finds the subject in the names;
    equal subjects in both domains are the same anatomy. Label maps beside scans, and scans whose
    names say another contrast than the others', are left out.

    Args:
      x: T1-weighted training scans.
      y: T2-weighted training scans.
      val_x: T1-weighted validation scans, with `val_y`.
      val_y: T2-weighted validation scans.
      test_x: T1-weighted test scans, with `test_y`.
      test_y: T2-weighted test scans.
      mask_suffix: an ending of names that says that a file is a label map; "" is none.
      notes: gets lines that a user must know and that are no errors.

    Raises:
      InputError: a folder cannot be used, holds the other domain's contrast by all its names, or is
        given for both domains; or only one folder of a pair is given.
    """
    said = [] if notes is None else notes
    files: list[File] = []
    for split, of_x, of_y in (("train", x, y), ("val", val_x, val_y), ("test", test_x, test_y)):
        if (of_x is None) != (of_y is None):
            raise InputError(
                f"{split} scans come in pairs: give both --{split}_x and --{split}_y, or neither"
            )
        if of_x is not None and of_y is not None:
            both = of_x.exists() and of_y.exists() and of_x.samefile(of_y)
            if both and not is_tree(of_x):
                raise InputError(
                    f"{of_x}: is given for {CONTRASTS['x']} and for {CONTRASTS['y']}; give a "
                    "folder of each contrast, or name the scans with --csv"
                )
            for folder, domain in ((of_x, "x"), (of_y, "y")):
                files += _list(folder, domain, split, both, mask_suffix, said)
    readings, doubts = read_names(files)
    said += doubts
    items = [
        Item(f.path, r.subject, f.domain, f.split, str(f.path), r.scan, r.session)
        for f, r in zip(files, readings, strict=True)
    ]
    first: dict[tuple[str, ...], Item] = {}
    for item in items:
        twin = first.setdefault((item.domain, item.split, item.subject, item.scan), item)
        if twin is not item:
            raise InputError(
                f"{twin.path} and {item.path.name} are both read as the scan {item.scan!r} of the "
                f"same subject {item.subject!r}; rename one, or leave it out"
            )
    return items


def _list(
    folder: Path, domain: str, split: str, both: bool, mask_suffix: str, said: list[str]
) -> list[File]:
    """Lists one folder; `both` says that the other domain's scans lie in it as well."""
    listing = list_tree(folder) if is_tree(folder) else list_folder(folder)
    files = [
        File(p, n, domain, split, format_of(p).kind == "image", f)
        for p in listing.scans
        for n, f in [name_in(folder, p)]
    ]
    # a folder given for both domains has one note, from the first
    if not (both and domain == "y"):
        names = [str(p.relative_to(folder)) for p in listing.left_out]
        said.append(say.left_out(str(folder), "no scan that can be read", names))
    labels = [f for f in files if is_named_label_map(stem(f.path), mask_suffix)]
    if len(labels) < len(files):  # if all are named so, their content decides
        files = [f for f in files if f not in labels]
        if not (both and domain == "y"):
            rest = [f for f in labels if not (mask_suffix and stem(f.path).endswith(mask_suffix))]
            said.append(say.left_out(str(folder), "label maps by their names", _shown(rest)))
    files = _of_contrast(folder, files, both, said)
    said[:] = [line for line in said if line]
    return files


def name_in(folder: Path, path: Path) -> tuple[str, str]:
    """Returns the name to read of a scan in `folder`, and the folder of its subject or ""."""
    if path == folder or path.parent == folder:
        return stem(path.absolute()), ""
    person, *inside = path.relative_to(folder).with_name(stem(path)).parts
    if is_contrast(person):
        return "_".join(inside), ""
    if inside[-1].startswith(person):
        return inside[-1], person
    return "_".join([person, *inside]), person


def _of_contrast(folder: Path, files: list[File], both: bool, said: list[str]) -> list[File]:
    """Returns the scans whose names do not say another contrast than the domain's."""
    domain = files[0].domain
    own = CONTRASTS[domain]
    other = CONTRASTS["y" if domain == "x" else "x"]
    contrasts = {f.path: _contrast(folder, f, both) for f in files}
    wanted = [f for f in files if contrasts[f.path] == own]
    if not both:
        wanted = [f for f in files if contrasts[f.path] in (own, "")]
    if not wanted:
        if both:
            raise InputError(
                f"{folder}: no name says that a scan is {own}, such as {own}.nii.gz or "
                f"sub-01_{own}w.nii.gz; rename the scans, or name them with --csv"
            )
        if other in contrasts.values():
            first = next(f for f in files if contrasts[f.path] == other)
            raise InputError(
                f"{first.path}: its name says {other}, but --{_flag(first)} takes {own} scans; "
                "interchange the two folders, or name the scans with --csv"
            )
        return files
    rest = [
        f for f in files if f not in wanted and not (both and contrasts[f.path] in (own, other))
    ]
    if not (both and domain == "y"):
        why = f"their names say another contrast than {own}" + (f" and {other}" if both else "")
        said.append(say.left_out(str(folder), why, _shown(rest)))
    return wanted


def _contrast(folder: Path, file: File, both: bool) -> str:
    """Returns the contrast that a file's name says, or else one of the folders around it."""
    names = [stem(file.path)]
    if file.path != folder:
        inside = [p.name for p in file.path.parents if folder in p.parents]
        own = folder.absolute().name
        names += inside + ([own] if is_contrast(own) and not both else [])
    return next((found for name in names if (found := contrast_of(name))), "")


def _flag(file: File) -> str:
    return file.domain if file.split == "train" else f"{file.split}_{file.domain}"


def _shown(files: Sequence[File]) -> list[str]:
    return [f.path.name for f in files]
