"""What a prepared branch will write: the touched rows as they are to be, as one JSON text.

A row is stored whole, by its key, or as gone. Applying that is idempotent and needs nothing
of the process that prepared it. JSON keeps every SQLite value exactly: integers and floats in
Python's shortest exact form, and blobs as {"blob": hex}.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from concordant.drivers.sqlite.capture import Key
from concordant.drivers.sqlite.tables import KeyColumn, Table, quoted

REDO_CHARS_MAX: Final = 256 * 1024 * 1024

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one table: rows to be as given, and keys to be gone.

    A row starts with its key. `last_id` is how far an AUTOINCREMENT table had counted, None
    for others.
    """

    table: str
    key: tuple[KeyColumn, ...]
    columns: tuple[str, ...]
    rows: list[Row]
    gone: list[Key]
    last_id: int | None = None

    def touched(self) -> list[Key]:
        """Return the keys of all rows that change."""
        width = len(self.key)
        return self.gone + [row[:width] for row in self.rows]


class Unfit(Exception):
    """The file's schema no longer takes the changes; the message says why."""


def _where(key: Iterable[KeyColumn]) -> str:
    return " AND ".join(f'{quoted(k.name)} = ? COLLATE "{k.collation}"' for k in key)


@lru_cache(maxsize=512)
def _select(table: Table) -> str:
    columns = ", ".join(map(quoted, table.columns))
    return f"SELECT {columns} FROM main.{quoted(table.name)} WHERE {_where(table.key)}"


@lru_cache(maxsize=512)
def _delete(table: Table) -> str:
    return f"DELETE FROM main.{quoted(table.name)} WHERE {_where(table.key)}"


@lru_cache(maxsize=512)
def _put(table: Table, columns: tuple[str, ...]) -> str:
    names = [quoted(column) for column in columns]
    target = ", ".join(
        quoted(k.name) if table.rowid_key else f'{quoted(k.name)} COLLATE "{k.collation}"'
        for k in table.key
    )
    updates = ", ".join(f"{name} = excluded.{name}" for name in names)
    # An upsert, not REPLACE: a row that only changes must not be deleted on the way.
    return (
        f"INSERT INTO main.{quoted(table.name)}({', '.join(names)})"
        f" VALUES ({', '.join('?' * len(names))}) ON CONFLICT ({target}) DO UPDATE SET {updates}"
    )


def collect(
    connection: sqlite3.Connection, keys: Mapping[str, Iterable[Key]], tables: Mapping[str, Table]
) -> list[Change]:
    """Return the touched rows as they are now, while the branch's work still stands."""
    changes = []
    for name, touched in keys.items():
        table, rows, gone = tables[name], [], []
        for key in touched:
            row = connection.execute(_select(table), key).fetchone()
            if row is None:
                gone.append(key)
            else:
                rows.append(row)
        last_id = _last_id(connection, name) if table.autoincrement else None
        changes.append(Change(name, table.key, table.columns, rows, gone, last_id))
    return changes


def encode(changes: Iterable[Change]) -> str:
    """Return the changes as text; raises Unfit when they are too large for one row."""
    text = _ENCODER.encode(
        [[change.table, change.key, change.columns, change.rows, change.gone] for change in changes]
    )
    if len(text) > REDO_CHARS_MAX:
        raise Unfit(f"its changes take {len(text)} characters, more than {REDO_CHARS_MAX}")
    return text


def decode(text: str) -> list[Change]:
    """Return the changes that `encode` made the text of."""
    return [
        Change(
            table,
            tuple([KeyColumn(*column) for column in key]),
            tuple(columns),
            [_values(row) for row in rows],
            [_values(key) for key in gone],
        )
        for table, key, columns, rows, gone in json.loads(text)
    ]


def _encode_blob(value: bytes) -> dict[str, str]:
    return {"blob": value.hex()}


def _values(row: list[Any]) -> Row:
    return tuple([bytes.fromhex(v["blob"]) if type(v) is dict else v for v in row])


_ENCODER: Final = json.JSONEncoder(
    default=_encode_blob, ensure_ascii=False, check_circular=False, separators=(",", ":")
)


def apply(
    connection: sqlite3.Connection, changes: Iterable[Change], tables: Mapping[str, Table]
) -> None:
    """Write the changes, as part of the transaction under way.

    Raises Unfit when the schema has changed since so that this would fail or do more than
    was voted for; the transaction must be rolled back then.
    """
    for change in changes:
        table = tables.get(change.table)
        if table is None:
            raise Unfit(f"the table {change.table} is gone")
        if table.refusal or table.key != change.key:
            raise Unfit(table.refusal or f"the table {change.table} has another primary key")
        try:
            if change.gone:
                connection.executemany(_delete(table), change.gone)
            if change.rows:
                connection.executemany(_put(table, change.columns), change.rows)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
            raise Unfit(f"the table {change.table} does not take its rows: {error}") from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise Unfit(f"the table {change.table} does not take its rows: {error}") from error


# --- ids that SQLite hands out ------------------------------------------------------------


def _last_id(connection: sqlite3.Connection, table: str) -> int | None:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return None if row is None else int(row[0])


def keep_ids(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Count AUTOINCREMENT tables on past the ids that the branch was given.

    Done at prepare, so that nobody is given the same ids while the branch is in doubt, nor
    ever after, whichever way it goes.
    """
    for change in changes:
        if change.last_id is None:
            continue
        now = _last_id(connection, change.table)
        if now is None:
            connection.execute(
                "INSERT INTO sqlite_sequence(name, seq) VALUES (?, ?)",
                (change.table, change.last_id),
            )
        elif now < change.last_id:
            connection.execute(
                "UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (change.last_id, change.table)
            )
