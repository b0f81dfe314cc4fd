"""What the tables of a file are like, and to which of them a branch can prepare changes.

A prepared branch is a set of rows by primary key, stored aside and written later. That is
only sound where a row's key is all that others can collide with, so tables with more than
that (further unique indexes, foreign keys, triggers) are described with the reason why not.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

KEY_COLUMNS_MAX: Final = 8
OWN_PREFIX: Final = "concordant_"
GUARD_TABLE: Final = "concordant_guard"
GUARD_TRIGGER: Final = "concordant_keep_"

# Others are defined by a program for its own connections; whoever recovers lacks them.
_COLLATIONS: Final = frozenset({"BINARY", "NOCASE", "RTRIM"})
_GENERATED: Final = (2, 3)
_ROWIDS: Final = ("rowid", "_rowid_", "oid")


class KeyColumn(NamedTuple):
    """One column of a primary key, with the collation that decides what is equal."""

    name: str
    collation: str = "BINARY"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One ordinary table; `refusal` says why changes to it cannot be prepared, if so.

    `columns` leaves generated ones out, and starts with those of the key. `rowid_key`: the
    key is an INTEGER PRIMARY KEY, for which SQLite chooses values by itself. `rowid`: how SQL
    can name the row id of a table that has one besides its key, "" if not at all.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[KeyColumn, ...]
    rowid_key: bool
    rowid: str
    autoincrement: bool
    refusal: str


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All of a file's tables and views at one version of its schema.

    `triggers` are those that keep reservations, by name, as the file has them.
    """

    version: int
    tables: Mapping[str, Table]
    views: frozenset[str]
    triggers: Mapping[str, str]


def quoted(name: str) -> str:
    """Return the name as an SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return the text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the number that changes with every change of the file's schema."""
    return int(connection.execute("PRAGMA main.schema_version").fetchone()[0])


def describe(connection: sqlite3.Connection) -> Catalog:
    """Read the schema; to be called inside a transaction, so that it is one schema."""
    listed = connection.execute(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'"
    ).fetchall()
    names = [
        (name, bool(without_rowid))
        for name, kind, without_rowid in listed
        if kind == "table"
        and not name.lower().startswith("sqlite_")
        and (not name.lower().startswith(OWN_PREFIX) or name == GUARD_TABLE)
    ]
    parents = {
        parent.lower()
        for (parent,) in connection.execute(
            'SELECT DISTINCT f."table" FROM sqlite_schema AS m,'
            " pragma_foreign_key_list(m.name, 'main') AS f WHERE m.type = 'table'"
        )
    }
    users, ours = _triggers(connection)
    tables = [_table(connection, *each, parents, users) for each in names]
    return Catalog(
        schema_version(connection),
        {table.name: table for table in tables},
        frozenset(name for name, kind, _ in listed if kind == "view"),
        ours,
    )


def _triggers(connection: sqlite3.Connection) -> tuple[dict[str, list[str]], dict[str, str]]:
    users: dict[str, list[str]] = defaultdict(list)
    ours: dict[str, str] = {}
    for name, table, sql in connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'"
    ):
        if name.startswith(GUARD_TRIGGER):
            ours[name] = sql
        else:
            users[table.lower()].append(name)
    return users, ours


def _table(
    connection: sqlite3.Connection,
    name: str,
    without_rowid: bool,
    parents: set[str],
    triggers: Mapping[str, list[str]],
) -> Table:
    columns = connection.execute(
        "SELECT name, pk, hidden FROM pragma_table_xinfo(?, 'main')", (name,)
    ).fetchall()
    indexes = connection.execute(
        """SELECT name, "unique", origin FROM pragma_index_list(?, 'main')""", (name,)
    ).fetchall()
    key_index = next((index for index, _, origin in indexes if origin == "pk"), None)
    in_key = [column for column, pk, _ in columns if pk]
    if key_index is None:
        key = tuple(KeyColumn(column) for column in in_key)
    else:
        key = tuple(
            KeyColumn(column, collation.upper())
            for column, collation in connection.execute(
                "SELECT name, coll FROM pragma_index_xinfo(?, 'main') WHERE key ORDER BY seqno",
                (key_index,),
            )
            if column in in_key
        )
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,)
    ).fetchone()
    refusal = _refusal(
        key,
        [index for index, unique, origin in indexes if unique and origin != "pk"],
        bool(_count(connection, "pragma_foreign_key_list", name)),
        name.lower() in parents,
        triggers.get(name.lower(), []),
    )
    rowid_key = key_index is None and bool(key) and not without_rowid
    others = [c for c, pk, hidden in columns if not pk and hidden not in _GENERATED]
    taken = {column.lower() for column, _, _ in columns}
    free = "" if rowid_key or without_rowid else next((n for n in _ROWIDS if n not in taken), "")
    return Table(
        name,
        (*[column.name for column in key], *others),
        key,
        rowid_key,
        free,
        rowid_key and re.search(r"\bAUTOINCREMENT\b", sql, re.IGNORECASE) is not None,
        f"the table {name} {refusal}" if refusal else "",
    )


def _count(connection: sqlite3.Connection, pragma: str, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {pragma}(?, 'main')", (table,)).fetchone()
    return int(row[0])


def _refusal(
    key: tuple[KeyColumn, ...],
    unique: list[str],
    is_child: bool,
    is_parent: bool,
    triggers: list[str],
) -> str:
    if not key:
        return "has no primary key, so its rows cannot be named"
    if len(key) > KEY_COLUMNS_MAX:
        return f"has a primary key of more than {KEY_COLUMNS_MAX} columns"
    for column in key:
        if column.collation not in _COLLATIONS:
            return f"has a primary key with the collation {column.collation}"
    if unique:
        return f"has a unique index besides its primary key ({unique[0]})"
    if is_child or is_parent:
        return "has a foreign key" if is_child else "is referred to by a foreign key"
    if triggers:
        return f"has a trigger ({triggers[0]}), which would fire twice"
    return ""
