"""The rows that prepared branches keep for themselves, and the triggers that make all obey.

Each row of `concordant_reservation` names one row of a user's table by its key. Persistent
triggers on the table look there before every change, so they bind whoever writes the file:
the sqlite3 shell, and programs that have never heard of this one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from concordant.drivers.sqlite.tables import (
    GUARD_TRIGGER,
    KEY_COLUMNS_MAX,
    Catalog,
    KeyColumn,
    Table,
    literal,
    quoted,
)

# RAISE takes a literal only, so the trigger names the table and the reader finds the branch.
RESERVED: Final = "concordant: reserved by a prepared branch, a row of "

_KEYS: Final = [f"k{i}" for i in range(KEY_COLUMNS_MAX)]

# The unused key columns of a row are 0. No declared types: values stay as they are.
STATEMENTS: Final = (
    "CREATE TABLE IF NOT EXISTS concordant_reservation(tbl TEXT NOT NULL, "
    + ", ".join(f"{key} NOT NULL" for key in _KEYS)
    + f", branch TEXT NOT NULL, PRIMARY KEY (tbl, {', '.join(_KEYS)})) WITHOUT ROWID",
)


def _folded(column: KeyColumn, value: str) -> str:
    """Return SQL for the one value that stands for all that are equal under the collation."""
    match column.collation:
        case "NOCASE":
            return f"lower({value})"
        case "RTRIM":
            return f"rtrim({value}, ' ')"
        case _:
            # The plus sign takes the column's affinity away, or the index would not be used.
            return f"+{value}"


def _held(table: Table, row: str) -> str:
    terms = [
        f"{name} = {_folded(column, f'{row}.{quoted(column.name)}')}"
        for name, column in zip(_KEYS, table.key, strict=False)
    ]
    return (
        "EXISTS (SELECT 1 FROM concordant_reservation"
        f" WHERE tbl = {literal(table.name)} AND {' AND '.join(terms)})"
    )


@lru_cache(maxsize=512)
def triggers(table: Table) -> dict[str, str]:
    """Return the triggers that make reservations of the table's rows binding, by name.

    They look at the new key of an INSERT too, since REPLACE deletes without firing triggers
    on most connections, and at the row whose row id it would take. They look once more after
    it where SQLite itself may have chosen the key.
    """
    old, new = _held(table, "OLD"), _held(table, "NEW")
    if table.rowid:
        mine = quoted(table.name)
        new += (
            f" OR EXISTS (SELECT 1 FROM {mine} WHERE {mine}.{table.rowid} = NEW.{table.rowid}"
            f" AND {_held(table, mine)})"
        )
    events = [
        ("insert", "BEFORE INSERT", new),
        ("update", "BEFORE UPDATE", f"{old} OR {new}"),
        ("delete", "BEFORE DELETE", old),
    ]
    if table.rowid_key:
        events.append(("chosen", "AFTER INSERT", new))
    made = {}
    for event, when, condition in events:
        name = f"{GUARD_TRIGGER}{event}_{table.name}"
        made[name] = (
            f"CREATE TRIGGER {quoted(name)} {when} ON {quoted(table.name)} WHEN {condition}"
            f" BEGIN SELECT RAISE(ABORT, {literal(RESERVED + table.name)}); END"
        )
    return made


@lru_cache(maxsize=512)
def missing_triggers(table: Table, catalog: Catalog) -> tuple[str, ...]:
    """Return the statements that give the table its triggers, none if it has them."""
    statements: list[str] = []
    for name, sql in triggers(table).items():
        if catalog.triggers.get(name) != sql:
            statements += [f"DROP TRIGGER IF EXISTS {quoted(name)}", sql]
    return tuple(statements)


@lru_cache(maxsize=512)
def reserve_sql(table: Table) -> str:
    """Return the statement that reserves a row: parameters are the key, then the branch.

    Two keys of one branch may fold to one; a key of another branch is an IntegrityError.
    """
    values = [_folded(column, "?") for column in table.key]
    values += ["0"] * (KEY_COLUMNS_MAX - len(values))
    return (
        f"INSERT INTO concordant_reservation VALUES ({literal(table.name)}, {', '.join(values)}, ?)"
        f" ON CONFLICT (tbl, {', '.join(_KEYS)})"
        " DO UPDATE SET branch = CASE branch WHEN excluded.branch THEN branch END"
    )


@lru_cache(maxsize=512)
def release_sql(table: str, key: tuple[KeyColumn, ...]) -> str:
    """Return the statement that gives a row free: parameters are the key, then the branch."""
    terms = [f"{name} = {_folded(column, '?')}" for name, column in zip(_KEYS, key, strict=False)]
    return (
        f"DELETE FROM concordant_reservation WHERE tbl = {literal(table)}"
        f" AND {' AND '.join(terms)} AND branch = ?"
    )


def holders(connection: sqlite3.Connection, table: str, key: Sequence[Any] = ()) -> list[str]:
    """Return the branches that keep rows of the table (the one row, if a key is given)."""
    terms = "".join(f" AND {name} = ?" for name, _ in zip(_KEYS, key, strict=False))
    cursor = connection.cursor()
    # Whatever the connection's user has chosen for rows and texts.
    cursor.row_factory = None
    cursor.execute(
        f"SELECT DISTINCT CAST(branch AS BLOB) FROM concordant_reservation WHERE tbl = ?{terms}",
        (table, *key),
    )
    return sorted(branch.decode() for (branch,) in cursor.fetchall())
