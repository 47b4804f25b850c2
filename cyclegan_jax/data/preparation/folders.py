"""Lists folders of scans, one for each contrast and split; the file's name is the subject."""

import re
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.readers import list_scans, stem
from cyclegan_jax.data.preparation.splits import Item

# "sub-01_T1w", "IXI146-HH-1389-T2", "case3.t1": the trailing contrast is no part of the subject.
# The separator is required: "patient1" and "patient2" are two subjects. SynDiff's stacks end in
# "_contrast1" and "_contrast2".
_CONTRAST = re.compile(r"([ _.-]+t[12]w?|_contrast[12])$", re.IGNORECASE)


def list_folders(
    x: Path,
    y: Path,
    *,
    val_x: Path | None = None,
    val_y: Path | None = None,
    test_x: Path | None = None,
    test_y: Path | None = None,
) -> list[Item]:
    """Returns the scans directly in the given folders (or single files), by domain and split.

    The subject is the file's name without suffix and without a trailing contrast (`_T1w`, `-t2`,
    `_contrast1`); equal subjects in both domains are the same anatomy.

    Args:
      x: T1-weighted training scans.
      y: T2-weighted training scans.
      val_x: T1-weighted validation scans, with `val_y`.
      val_y: T2-weighted validation scans.
      test_x: T1-weighted test scans, with `test_y`.
      test_y: T2-weighted test scans.

    Raises:
      InputError: a folder cannot be used, two files in a folder have one subject, or only one
        folder of a pair is given.
    """
    items = [*_list(x, "x", "train"), *_list(y, "y", "train")]
    for split, of_x, of_y in (("val", val_x, val_y), ("test", test_x, test_y)):
        if (of_x is None) != (of_y is None):
            raise InputError(
                f"{split} scans come in pairs: give both --{split}_x and --{split}_y, or neither"
            )
        if of_x is not None and of_y is not None:
            items += [*_list(of_x, "x", split), *_list(of_y, "y", split)]
    return items


def subject_of(path: Path) -> str:
    """Returns the file's name without suffix and trailing contrast.

    If nothing is left of it, the result is the name without its suffix.
    """
    name = stem(path)
    return _CONTRAST.sub("", name) or name


def _list(folder: Path, domain: str, split: str) -> list[Item]:
    by_subject: dict[str, Path] = {}
    for path in list_scans(folder):
        twin = by_subject.setdefault(subject_of(path), path)
        if twin != path:
            raise InputError(
                f"{twin} and {path.name} have the same subject {subject_of(path)!r}; rename one"
            )
    return [Item(path, s, domain, split, str(path)) for s, path in by_subject.items()]
