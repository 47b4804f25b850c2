"""Tables of text, which a terminal prints, and a page or a model card shows."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH = 100  # columns of a terminal that a note is wrapped to


class Table(NamedTuple):
    """Rows of cells under a header; `title` and `note` may be empty.

    `note` says what a reader must know to read the numbers correctly: the protocol, n, and what the
    numbers do not mean.
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_text(table: Table) -> str:
    """Returns aligned lines for a terminal: the first column to the left, the others to the right.

    Title and note stand above them, wrapped to 100 columns.
    """
    lines = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    above = textwrap.fill(": ".join(part for part in (table.title, table.note) if part), _WIDTH)
    return "\n".join(
        ([above] if above else [])
        + [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
    )


def as_markdown(table: Table) -> str:
    """Returns a table in Markdown, its title above it and its note below it."""
    lines = [
        [cell.replace("|", "\\|") for cell in line]
        for line in (table.header, ["---"] * len(table.header), *table.rows)
    ]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join(
        part for part in (table.title and f"**{table.title}**", rows, table.note) if part
    )
