"""Reads names of BIDS (`sub-01_run-2_T1w.nii.gz`), and chooses between scans by their entities.

The names are read here and not by pybids, which brings pandas, SQLAlchemy and formulaic and indexes
the whole data set, while all that is needed is the names of the files in `anat` folders.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from cyclegan_jax import InputError
from cyclegan_jax.data.formats.readers import stem

ABSENT = "none"  # as the label in a filter: the name lacks the entity
_NAME = re.compile(r"((?:[a-z]+-[A-Za-z0-9+]+_)+)([A-Za-z0-9]+)")


@dataclasses.dataclass(frozen=True)
class BidsScan:
    """A file in an `anat` folder.

    Attributes:
      path: of the file.
      entities: labels by entity, in the order of the name: `{"sub": "01", "ses": "1", "run": "2"}`.
      suffix: what ends the name, for example "T1w".
    """

    path: Path
    entities: dict[str, str]
    suffix: str

    @property
    def place(self) -> str:
        """The subject, and the session if there is one: "sub-01_ses-1"."""
        return "_".join(f"{e}-{self.entities[e]}" for e in ("sub", "ses") if e in self.entities)


@dataclasses.dataclass(frozen=True)
class Filter:
    """A choice between scans, as `--filter=acq=highres` or `--filter=T1w:run=none` makes it."""

    entity: str
    label: str
    suffix: str = ""  # the only one that it is for

    def __str__(self) -> str:
        return f"--filter={self.suffix}{':' if self.suffix else ''}{self.entity}={self.label}"

    def keeps(self, scan: BidsScan, rivals: Sequence[BidsScan]) -> bool:
        """Returns whether a scan stays; `rivals` are all of its subject, session and suffix.

        A scan whose name lacks the entity stays if the names of its rivals lack it, too.
        """
        if self.suffix not in ("", scan.suffix):
            return True
        own = scan.entities.get(self.entity)
        if own is None:
            return self.label == ABSENT or not any(self.entity in r.entities for r in rivals)
        return own == self.label or (
            own.isdecimal() and self.label.isdecimal() and int(own) == int(self.label)
        )


def read_filters(texts: Sequence[str]) -> list[Filter]:
    """Returns the filters that the flags `--filter` name.

    Raises:
      InputError: one cannot be understood.
    """
    found = []
    for text in texts:
        match = re.fullmatch(r"(?:([A-Za-z0-9]+):)?([a-z]+)=([A-Za-z0-9+]+)", text)
        if match is None:
            raise InputError(
                f"--filter={text}: must be ENTITY=LABEL or SUFFIX:ENTITY=LABEL, such as "
                f"acq=highres, run=1, T1w:acq=mprage, or rec={ABSENT} for names without it"
            )
        found.append(Filter(match[2], match[3], match[1] or ""))
    return found


def read_name(path: Path) -> BidsScan | None:
    """Returns a scan by its name, or None if the name is not one of BIDS."""
    match = _NAME.fullmatch(stem(path))
    if match is None:
        return None
    entities = dict(part.split("-") for part in match[1].rstrip("_").split("_"))
    return BidsScan(path, entities, match[2]) if "sub" in entities else None


def rivals_of(scans: Sequence[BidsScan]) -> dict[tuple[str, str], list[BidsScan]]:
    """Returns the scans by subject and session, and suffix."""
    found: dict[tuple[str, str], list[BidsScan]] = {}
    for scan in scans:
        found.setdefault((scan.place, scan.suffix), []).append(scan)
    return found


def how_to_choose(rivals: Sequence[BidsScan], scans: Sequence[BidsScan]) -> str:
    """Says which filters choose one of several scans of one subject; `scans` are all there are."""
    suffix = rivals[0].suffix

    def label(scan: BidsScan, entity: str) -> str:
        return scan.entities.get(entity, ABSENT)

    def flag(scan: BidsScan, entity: str) -> str:
        elsewhere = any(entity in s.entities for s in scans if s.suffix != suffix)
        return str(Filter(entity, label(scan, entity), suffix if elsewhere else ""))

    entities = list(dict.fromkeys(entity for scan in rivals for entity in scan.entities))
    differ = [e for e in entities if len({label(scan, e) for scan in rivals}) > 1]
    if len({tuple(label(s, e) for e in differ) for s in rivals}) < len(rivals):
        return "two of them differ by their kind of file only; remove one"
    ways = []
    for scan in rivals:
        alone = [e for e in differ if sum(label(s, e) == label(scan, e) for s in rivals) == 1]
        ways.append(" ".join(flag(scan, e) for e in (alone[:1] or differ)))
    return f"choose with {', or '.join(ways)}"
