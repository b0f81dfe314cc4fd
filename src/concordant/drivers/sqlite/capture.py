"""Which rows a branch has touched, noted by temporary triggers on its connection.

The notes are keys only, in a temporary table: a statement that fails, or a savepoint that is
rolled back, takes its notes with it. What the rows look like is read at the end.

Whether every change was noted is checked against SQLite's own count of changes. That count
includes the notes themselves, those of failed statements too, so the triggers also count how
often they ran (`ticks`, which nothing rolls back). It leaves out the rows that REPLACE
deletes, which are noted, since the connection has recursive_triggers on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from concordant.drivers.sqlite.tables import KEY_COLUMNS_MAX, Catalog, Table, literal, quoted

TABLE: Final = "concordant_touched"
TRIGGER: Final = "concordant_touch_"
TICK: Final = "concordant_tick"

Key = tuple[Any, ...]

_OLD: Final = [f"o{i}" for i in range(KEY_COLUMNS_MAX)]
_NEW: Final = [f"n{i}" for i in range(KEY_COLUMNS_MAX)]

# The first row is written inside the branch, so it goes when SQLite rolls the whole branch
# back by itself (ON CONFLICT ROLLBACK, a full disk). Without it the triggers refuse, or the
# statements that follow would commit one by one.
ARM: Final = f"INSERT INTO {TABLE}(seq, tbl, op, tick) VALUES (0, -1, 'armed', 0)"
DISARM: Final = f"DELETE FROM {TABLE}"
READ: Final = f"SELECT * FROM {TABLE} WHERE seq > 0 ORDER BY seq"
_NOT_ARMED: Final = "concordant: this branch has been rolled back"


@dataclass(frozen=True, slots=True)
class Touched:
    """The keys that a branch has touched, by table, each once."""

    keys: dict[str, dict[Key, None]]
    refusal: str = ""


def install(connection: sqlite3.Connection, catalog: Catalog) -> None:
    """Make the temporary table and triggers; they live as long as the connection."""
    longest = max((len(table.key) for table in catalog.tables.values()), default=1)
    width = max(1, min(longest, KEY_COLUMNS_MAX))
    columns = ", ".join((*_OLD[:width], *_NEW[:width]))
    connection.execute(
        f"CREATE TEMP TABLE {TABLE}(seq INTEGER PRIMARY KEY, tbl, op, tick, {columns})"
    )
    for number, table in enumerate(catalog.tables.values()):
        for statement in _triggers(number, table):
            connection.execute(statement)


def _triggers(number: int, table: Table) -> Iterator[str]:
    key = [quoted(column.name) for column in table.key[:KEY_COLUMNS_MAX]]
    old = dict(zip(_OLD, (f"OLD.{name}" for name in key), strict=False))
    new = dict(zip(_NEW, (f"NEW.{name}" for name in key), strict=False))
    guard = f"WHEN (SELECT 1 FROM {TABLE} WHERE seq = 0) THEN {TICK}()"
    fixed = {
        "tbl": str(number),
        "tick": f"CASE {guard} ELSE RAISE(ABORT, {literal(_NOT_ARMED)}) END",
    }
    for op, noted in (("insert", new), ("update", old | new), ("delete", old)):
        values = fixed | {"op": literal(op)} | noted
        yield (
            f"CREATE TEMP TRIGGER {TRIGGER}{op}_{number} AFTER {op} ON main.{quoted(table.name)}"
            f" BEGIN INSERT INTO {TABLE}({', '.join(values)})"
            f" VALUES ({', '.join(values.values())}); END"
        )


def read(rows: list[tuple[Any, ...]], catalog: Catalog, changes: int) -> Touched:
    """Return the keys in the notes (the rows of READ), or why they cannot be relied on.

    `changes` is SQLite's count for the branch without the notes. REPLACE makes it smaller
    than the number of notes, by at most the deletions that an insert or update follows.
    """
    tables = list(catalog.tables.values())
    keys: dict[str, dict[Key, None]] = {}
    # A row is seq, tbl, op, tick, then the old key and the new one, equally wide.
    start = (4 + len(rows[0])) // 2 if rows else 0
    replaced = 0
    deleted_from = -1
    for row in rows:
        number, op = row[1], row[2]
        table = tables[number]
        noted = keys.get(table.name)
        if noted is None:
            noted = keys[table.name] = {}
        width = len(table.key)
        if op != "insert":
            noted[row[4 : 4 + width]] = None
        if op != "delete":
            noted[row[start : start + width]] = None
            replaced += deleted_from == number
            deleted_from = -1
        else:
            deleted_from = number
    for name, noted in keys.items():
        refusal = catalog.tables[name].refusal or _null_key(name, noted)
        if refusal:
            return Touched(keys, refusal)
    if not len(rows) - replaced <= changes <= len(rows):
        return Touched(keys, f"{changes} changes were made, and {len(rows)} of them were noted")
    return Touched(keys)


def _null_key(name: str, keys: dict[Key, None]) -> str:
    for key in keys:
        if None in key:
            return f"the table {name} has rows with NULL in their primary key"
    return ""
