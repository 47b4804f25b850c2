"""Keeps the table of what was translated beside the results, by which a stopped call resumes.

A row is written after its result, and both are replaced whole. So a result whose row agrees with it
is finished, whenever the process was stopped.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclegan_jax import InputError, __version__
from cyclegan_jax.data import limits
from cyclegan_jax.render.text_table import Table, as_text
from cyclegan_jax.system.files import file_digest, write_whole
from cyclegan_jax.translation.ensemble import Ensemble
from cyclegan_jax.translation.translator import Translator

TABLE = "translations.tsv"
DONE, FAILED, THERE = "translated", "FAILED", "there already"
_MADE_BY = ("model", "step", "direction", "weights_sha256", "options")
_COLUMNS: tuple[str, ...] = (
    "source",
    "result",
    "status",
    "seconds",
    "notes",
    *_MADE_BY,
    "version",
    "source_sha256",
    "result_sha256",
)

_Rows = dict[str, dict[str, str]]  # by result


@dataclasses.dataclass(frozen=True)
class Record:
    """The table in a folder of results.

    Its methods raise InputError for a table that cannot be read or written.

    Attributes:
      out: the folder.
      made_by: what decides a result besides its scan, by the names in `_MADE_BY`.
      root: a folder that sources are named relative to, so that the table can be given away; None
        names them as they were given.
      shown: the rows of this call, for `summary`.
    """

    out: Path
    made_by: Mapping[str, str]
    root: Path | None = None
    shown: list[list[str]] = dataclasses.field(default_factory=list)

    def is_made(self, source: Path, target: Path) -> bool:
        """Returns whether the translation of a scan is there, as this call would make it.

        It is if it was made by the same generators with the same options, and neither the scan nor
        the result has changed since.
        """
        row = self._rows().get(self._name(target))
        if row is None:
            return False
        try:
            digests = {"source_sha256": file_digest(source), "result_sha256": file_digest(target)}
        except OSError:  # no result, or a scan of which translating says what is wrong
            return False
        expected = {**self.made_by, **digests}
        return all(row[column] == value for column, value in expected.items())

    def holds(self, target: Path) -> bool:
        """Returns whether the table has a result, however it was made."""
        return self._rows().get(self._name(target), {}).get("status") == DONE

    def add(
        self, source: Path, target: Path, status: str, seconds: float, notes: Sequence[str]
    ) -> None:
        """Writes the row of a scan, in the place of an older one of the same result."""
        row = dict.fromkeys(_COLUMNS, "") | {
            "source": self._source(source),
            "result": self._name(target),
            "status": status,
            "seconds": f"{seconds:.1f}",
            "notes": "; ".join(notes),
            **self.made_by,
            "version": __version__,
        }
        if status == DONE:
            row["source_sha256"] = file_digest(source)
            row["result_sha256"] = file_digest(target)
        self._write({**self._rows(), row["result"]: row})
        said = f"{len(notes)} notes" if notes and status == DONE else ""
        self._show(source, target, row["seconds"] if status == DONE else status, said)

    def add_there(self, source: Path, target: Path) -> None:
        """Shows a result that is there already; its row stays."""
        self._show(source, target, THERE, "")

    def summary(self) -> str:
        """Returns the table of this call, and a line that counts its rows."""
        table = as_text(Table("", "", ("source", "result", "seconds", "notes"), self.shown))
        outcomes = [outcome for _, _, outcome, _ in self.shown]
        there, failed = outcomes.count(THERE), outcomes.count(FAILED)
        counted = (
            f"{len(outcomes) - there - failed} translated, {there} there already, {failed} failed"
        )
        return f"{table}\n{counted}; {self.out / TABLE} has the notes"

    def _show(self, source: Path, target: Path, outcome: str, notes: str) -> None:
        self.shown.append([self._source(source), self._name(target), outcome, notes])

    def _source(self, source: Path) -> str:
        return str(source.relative_to(self.root) if self.root else source)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.out).as_posix()

    def _rows(self) -> _Rows:
        """Returns the rows by their results. They are read anew: another process may add some."""
        path = self.out / TABLE
        if not path.exists():
            return {}
        with limits.reading(path, "table of translations", "remove it, or choose another --out"):
            text = path.read_bytes().decode(errors="surrogateescape")
            reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise ValueError(f"its columns are not those of {TABLE}")
            rows = list(reader)
            if any(None in row or None in row.values() for row in rows):
                raise ValueError("a row is not whole")
        return {row["result"]: row for row in rows}

    def _write(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, _COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))
        path = self.out / TABLE
        try:
            write_whole(path, buffer.getvalue().encode(errors="surrogateescape"))
        except OSError as error:
            raise InputError(
                f"{path}: cannot write ({error}); check folder and free space"
            ) from error


def record_of(
    out: Path, translator: Translator | Ensemble, options: str, root: Path | None
) -> Record:
    """Returns the table in a folder of results, for calls with these generators and options."""
    made_by = (
        translator.model,
        str(translator.step),
        translator.direction.value,
        translator.weights_sha256,
        options,
    )
    return Record(out, dict(zip(_MADE_BY, made_by, strict=True)), root)
