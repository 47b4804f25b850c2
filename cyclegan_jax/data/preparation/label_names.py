"""Reads the names of labels: a TSV as BIDS has it, with the columns `index` and `name`."""

import csv
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.manifest import MOST_LABEL
from cyclegan_jax.system import shipped

_SUFFIX = ".tsv"
_COLUMNS = ("index", "name")
_LONGEST = 40  # characters; tables show it


def read_label_names(file: str | Path) -> dict[str, list[int]]:
    """Returns the labels that each name of a TSV stands for, in the order of the file.

    Several lines may have one name. Other columns, such as `abbreviation`, are not read.

    Args:
      file: path of the TSV, or the name of a shipped one, `dlmuse`.

    Raises:
      InputError: the TSV cannot be read, lacks a column, or has a wrong or a repeated index.
    """
    path = Path(file)
    if not path.exists():
        path = shipped.find(str(file), _SUFFIX) or path
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [*csv.DictReader(stream, delimiter="\t", strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        known = ", ".join(shipped.names(_SUFFIX))
        raise InputError(
            f"{path}: cannot be read ({reason}); give a TSV in UTF-8 or a shipped name: {known}"
        ) from error
    if not rows or not set(_COLUMNS) <= rows[0].keys():
        raise InputError(
            f"{path}: must have lines, and the columns {' and '.join(_COLUMNS)} divided by tabs"
        )
    names: dict[str, list[int]] = {}
    first: dict[int, int] = {}
    for number, row in enumerate(rows, 2):
        index, name = ((row[column] or "").strip() for column in _COLUMNS)
        if not (index.isdecimal() and index.isascii() and len(index) <= len(str(MOST_LABEL))):
            raise InputError(f"{path} line {number}: index {index[:20]!r} must be a whole number")
        label = int(index)
        if not 0 < label <= MOST_LABEL:
            raise InputError(f"{path} line {number}: index {label} must be 1 to {MOST_LABEL}")
        if not name.isprintable() or not 0 < len(name) <= _LONGEST:
            raise InputError(
                f"{path} line {number}: name {name[:_LONGEST]!r} must have 1 to {_LONGEST} "
                "characters that can be printed"
            )
        if label in first:
            raise InputError(
                f"{path} lines {first[label]} and {number} both name index {label}; remove one"
            )
        first[label] = number
        names.setdefault(name, []).append(label)
    return names
