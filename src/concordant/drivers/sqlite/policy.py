"""What a statement inside a branch may do: SQLite asks when it compiles one.

Reading is free, and so are changes to tables with capture triggers. Whatever would end the
transaction, or could be neither captured nor done twice alike, is refused.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from concordant.drivers.sqlite import capture
from concordant.drivers.sqlite.tables import GUARD_TABLE, OWN_PREFIX, Catalog

_FREE: Final = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_WRITES: Final = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})

# Pragmas that take a table's or index's name and only tell.
_TELLING: Final = frozenset(
    [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    ]
)
# Pragmas that tell when they are given no value, and set something when they are.
_TELLING_BARE: Final = _TELLING | frozenset(
    [
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "journal_mode",
        "max_page_count",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "recursive_triggers",
        "schema_version",
        "secure_delete",
        "synchronous",
        "temp_store",
        "user_version",
    ]
)

_SCHEMA: Final = "sqlite_master"

_NAMES: Final = {
    getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ")
    for name in [
        "CREATE_INDEX",
        "CREATE_TABLE",
        "CREATE_TEMP_INDEX",
        "CREATE_TEMP_TABLE",
        "CREATE_TEMP_TRIGGER",
        "CREATE_TEMP_VIEW",
        "CREATE_TRIGGER",
        "CREATE_VIEW",
        "CREATE_VTABLE",
        "DROP_INDEX",
        "DROP_TABLE",
        "DROP_TEMP_INDEX",
        "DROP_TEMP_TABLE",
        "DROP_TEMP_TRIGGER",
        "DROP_TEMP_VIEW",
        "DROP_TRIGGER",
        "DROP_VIEW",
        "DROP_VTABLE",
        "ALTER_TABLE",
        "ANALYZE",
        "REINDEX",
        "ATTACH",
        "DETACH",
        "PRAGMA",
        "SAVEPOINT",
        "FUNCTION",
    ]
}


class Policy:
    """The authorizer of one connection; `trusted` while this package itself speaks.

    `refused` names what was refused in this branch. `outside` holds the tables that were
    written although no trigger can watch them (virtual tables and their like): that works in
    one phase, but cannot be prepared. A compiled statement is not judged again, so the
    connection must not serve another branch once there is one.
    """

    __slots__ = ("_catalog", "outside", "refused", "trusted")

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.trusted = False
        self.refused = ""
        self.outside: set[str] = set()

    def __call__(
        self, action: int, one: str | None, two: str | None, schema: str | None, by: str | None
    ) -> int:
        if self.trusted or action in _FREE:
            return sqlite3.SQLITE_OK
        if action in _WRITES:
            allowed = self._may_write(one or "", schema, by)
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = two != "load_extension" and (two != capture.TICK or by is not None)
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (one or "").lower() in (_TELLING_BARE if two is None else _TELLING)
        else:
            allowed = False
        if not allowed:
            self.refused = self._describe(action, one, two)
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _may_write(self, table: str, schema: str | None, by: str | None) -> bool:
        if schema != "main":
            # Only our triggers write temporary tables: others would outlive the branch.
            return by is not None and by.startswith(capture.TRIGGER)
        # Asked about the schema's own table when a table-valued function is first used;
        # SQLite lets nobody write it directly.
        if table in self._catalog.tables or table in self._catalog.views or table == _SCHEMA:
            return True
        if table.lower().startswith(OWN_PREFIX) and table != GUARD_TABLE:
            return False
        self.outside.add(table)
        return True

    def _describe(self, action: int, one: str | None, two: str | None) -> str:
        if action == sqlite3.SQLITE_TRANSACTION:
            return str(one)
        if action in _WRITES:
            return f"a change to {one}"
        subject = two if action == sqlite3.SQLITE_FUNCTION else one
        return " ".join(filter(None, (_NAMES.get(action, f"action {action}"), subject)))
