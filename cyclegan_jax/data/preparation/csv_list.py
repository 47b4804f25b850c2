"""Reads a CSV that declares the file, subject, domain and split of every scan.

It takes the place of folders and file names, for example:

file,subject,domain,split
scans/0001.nii.gz,anna,T1,train
scans/0002.nii.gz,bert,T2,train
"""

import csv
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data import limits
from cyclegan_jax.data.formats.readers import list_scans
from cyclegan_jax.data.preparation.splits import DECLARED, Item
from cyclegan_jax.domains import CONTRASTS, DOMAIN_OF

COLUMNS = ("file", "subject", "domain", "split")
LABELS = "labels"  # a column that may be there or not


def read_listing(path: Path) -> list[Item]:
    """Returns the scans that the CSV `path` declares, in its order.

    Its columns, in any order, are `file` (relative to the folder of the CSV; a DICOM series is
    named by its folder), `subject`, `domain` ("x" or "T1", "y" or "T2") and `split` ("train",
    "val", "test"). A subject may have several files in one domain, for example its exported slices.
    A further column `labels` may name the label map of a scan, or be empty.

    Raises:
      InputError: the CSV cannot be read or has another column or value; a file is missing, named
        twice or of an unknown kind; a domain has no training scan.
    """
    items: list[Item] = []
    lines: dict[Path, int] = {}
    missing: list[Item] = []
    for number, row in _rows(path):
        item = _item(path, number, row)
        items.append(item)
        first = lines.setdefault(item.path.resolve(), number)
        if first != number:
            raise InputError(
                f"{path} lines {first} and {number} name the same file {row['file']!r}; remove one"
            )
        if not item.path.exists():
            missing.append(item)
    if missing:
        if message := limits.unfetched(missing[0].path):
            raise InputError(f"{missing[0].where}: {message}")
        raise InputError(
            f"{path}: {len(missing)} of {len(items)} files do not exist, first "
            f"{str(missing[0].path)!r} (line {lines[missing[0].path.resolve()]}); fix the column "
            "'file', which is relative to the CSV's folder"
        )
    for domain, contrast in CONTRASTS.items():
        if not any((i.split, i.domain) == ("train", domain) for i in items):
            raise InputError(f"{path} has no train row of domain {domain} ({contrast}); add some")
    for item in items:
        _check_scan(item)
    return items


def _check_scan(item: Item) -> None:
    """Checks that an existing file is one scan of a known kind."""
    try:
        alone = list_scans(item.path) == [item.path]
    except InputError as error:
        raise InputError(f"{item.where}: {error}") from error
    if not alone:
        raise InputError(f"{item.where}: {item.path} is a folder; name one scan in each line")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Returns each row with the number of its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # Excel writes the mark
            reader = csv.DictReader(stream, strict=True)
            columns = [c.strip() for c in reader.fieldnames or ()]
            if sorted(columns) not in (sorted(COLUMNS), sorted((*COLUMNS, LABELS))):
                raise InputError(
                    f"{path} line 1: the columns are {','.join(columns)!r}; they must be "
                    f"{','.join(COLUMNS)!r}, and {LABELS!r} if there are label maps"
                )
            reader.fieldnames = columns
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(
                        f"{path} line {reader.line_num}: must have {len(columns)} fields; "
                        "put a name with a comma in quotes"
                    )
                rows.append((reader.line_num, {k: v.strip() for k, v in row.items()}))
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason}); give a CSV in UTF-8") from error


def _item(path: Path, number: int, row: dict[str, str]) -> Item:
    where = f"{path} line {number}"
    domain = DOMAIN_OF.get(row["domain"].lower())
    if domain is None:
        known = ", or ".join(f"{domain} or {contrast}" for domain, contrast in CONTRASTS.items())
        raise InputError(f"{where}: domain {row['domain']!r} must be {known}")
    if row["split"] not in DECLARED:
        raise InputError(f"{where}: split {row['split']!r} must be one of {', '.join(DECLARED)}")
    for column in ("file", "subject"):
        if not row[column]:
            raise InputError(f"{where}: {column} is empty; fill it in")
    file = _file(path, where, row["file"])
    labels = _file(path, where, row[LABELS]) if row.get(LABELS) else None
    if labels is not None and not labels.exists():
        raise InputError(
            f"{where}: the label map {str(labels)!r} does not exist; fix the column {LABELS!r}, "
            "which is relative to the CSV's folder"
        )
    return Item(file, row["subject"], domain, row["split"], where, labels=labels)


def _file(path: Path, where: str, name: str) -> Path:
    file = path.parent / name
    try:
        file.resolve()
        file.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, a loop of links
        raise InputError(f"{where}: no file can be {name!r} ({error}); fix it") from error
    return file
