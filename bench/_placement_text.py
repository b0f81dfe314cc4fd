"""Tables as aligned text, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """A title, the heads of the columns, the rows, and what to know about them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def as_text(table: Table) -> str:
    """Return the table with its columns below each other, the first to the left."""
    lines = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    rule = "-" * max(map(len, shown))
    return "\n".join([table.title, rule, shown[0], rule, *shown[1:], rule, *table.notes])


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def as_markdown(table: Table) -> str:
    """Return the table for a page of the documentation."""
    rule = ["---", *["---:"] * (len(table.head) - 1)]
    lines = ["| " + " | ".join(line) + " |" for line in (table.head, rule, *table.rows)]
    # A note that begins with a star would become a list.
    notes = ["\\" + note if note.startswith("*") else note for note in table.notes]
    return "\n\n".join([f"### {table.title}", "\n".join(lines), *notes])
