"""What goes to stdout: JSON alone, or a table for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click


def print_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    click.echo(json.dumps(value))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head: aligned columns, with rules and colour only on a terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_pretty(head, cells)
        return
    lines = [[title.upper() for title in head], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print one fact a line, the values under each other."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        click.echo(f"{name:<{width}}  {_cell(value)}".rstrip())


def seconds(value_s: float) -> str:
    """Return a time as people read it: 0.4 s, 12 s, 3 min, 2 h, 5 d."""
    if value_s < 9.95:
        return f"{value_s:.1f} s"
    for size_s, unit, limit_s in ((1, "s", 100), (60, "min", 6000), (3600, "h", 360_000)):
        if value_s < limit_s:
            return f"{value_s / size_s:.0f} {unit}"
    return f"{value_s / 86_400:.0f} d"


def _cell(value: object) -> str:
    # Notes and names come from other people: nothing of theirs may move the cursor.
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "�" for char in text)


def _print_pretty(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=box.SIMPLE_HEAD)
    for row in rows:
        # Text, not str: a name such as [red] is no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
