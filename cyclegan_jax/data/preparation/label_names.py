"""Reads the names of labels: a TSV as BIDS has it, with the columns `index` and `name`.

A third column `region` may give each label a name of its own; `name` is then that of its tissue.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from cyclegan_jax import InputError
from cyclegan_jax.data.manifest import MOST_LABEL
from cyclegan_jax.system import shipped

_SUFFIX = ".tsv"
_COLUMNS = ("index", "name")
_REGION = "region"
_LONGEST = 40  # characters; tables show it


class LabelNames(NamedTuple):
    """The names of labels, in the order of the file.

    `tissues` holds the labels that each name stands for, and `regions` the own name of each label
    that has one.
    """

    tissues: dict[str, list[int]]
    regions: dict[int, str]


def read_label_names(file: str | Path) -> LabelNames:
    """Returns the names that a TSV gives to labels.

    Several lines may have one name. With a column `region` a line may leave its name empty: the
    label then belongs to no tissue. Other columns, such as `abbreviation`, are not read.

    Args:
      file: path of the TSV, or the name of a shipped one: `dlmuse`, `freesurfer`.

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
    names = LabelNames({}, {})
    first: dict[int, int] = {}
    for number, row in enumerate(rows, 2):
        index, name, region = ((row.get(c) or "").strip() for c in (*_COLUMNS, _REGION))
        if not (index.isdecimal() and index.isascii() and len(index) <= len(str(MOST_LABEL))):
            raise InputError(f"{path} line {number}: index {index[:20]!r} must be a whole number")
        label = int(index)
        if not 0 < label <= MOST_LABEL:
            raise InputError(f"{path} line {number}: index {label} must be 1 to {MOST_LABEL}")
        for column, text in (("name", name), (_REGION, region)):
            # one of the two is enough
            least = 1 if column == "name" and not region else 0
            if not text.isprintable() or not least <= len(text) <= _LONGEST:
                raise InputError(
                    f"{path} line {number}: {column} {text[:_LONGEST]!r} must have {least} to "
                    f"{_LONGEST} characters that can be printed"
                )
        if label in first:
            raise InputError(
                f"{path} lines {first[label]} and {number} both name index {label}; remove one"
            )
        first[label] = number
        if name:
            names.tissues.setdefault(name, []).append(label)
        if region:
            names.regions[label] = region
    return names
