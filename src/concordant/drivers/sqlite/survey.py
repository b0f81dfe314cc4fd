"""Look whether a SQLite file has been used by a port, and leave it as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Final, NamedTuple
from urllib.parse import quote

from concordant.drivers.capabilities import Survey
from concordant.drivers.sqlite import check_platform
from concordant.drivers.sqlite.connections import open_error
from concordant.drivers.sqlite.options import SqliteOptions


class _Use(NamedTuple):
    """What a port keeps in a file: under which kind of schema, and whether alone."""

    kind: str
    exclusive: bool
    tables: tuple[str, ...]


_USES: Final = {
    "lock_store": _Use("locks", True, ("locks",)),
    "transaction_log": _Use("log", True, ("owners", "decisions", "records")),
    "participant": _Use(
        "participant", False, ("concordant_branch", "concordant_reservation", "concordant_guard")
    ),
    "barrier": _Use("barrier", False, ("concordant_barrier", "concordant_guard")),
}
_META: Final = "concordant_meta"


def survey(url: str, port: str) -> Survey:
    """Return what the port would make in the file, and what keeps it from that.

    Raises UsageError if the file is none of SQLite's, BackendUnavailable if it is locked.
    """
    check_platform()
    options, use = SqliteOptions.parse(url), _USES[port]
    folder = os.path.dirname(options.path)
    wanted = (_META, *use.tables)
    if not os.path.isdir(folder):
        return Survey(("the file", *wanted), f"the directory {folder} does not exist; create it")
    if os.path.isdir(options.path):
        return Survey(wanted, f"{options.path} is a directory; name a file")
    if not os.path.exists(options.path):
        return Survey(("the file", *wanted))
    try:
        tables, made = _look(options, use.kind)
    except sqlite3.Error as error:
        raise open_error(options.path, error) from error
    if made:
        return Survey()
    others = use.exclusive and tables and _META not in tables
    # One of that name may be there that is somebody else's.
    return Survey(
        tuple(table for table in wanted if table not in tables) or wanted,
        f"{options.path} holds tables of something else; name a file of its own" if others else "",
    )


def _look(options: SqliteOptions, kind: str) -> tuple[set[str], bool]:
    """Return the file's tables, and whether those of this kind are among them."""
    from concordant.drivers.sqlite.database import get_meta  # here, since it needs a Unix

    # As one that may write, or a file in WAL mode that nobody has open could not be read. It
    # writes nothing, and makes no file.
    name = f"file:{quote(options.path)}?mode=rw"
    with closing(sqlite3.connect(name, uri=True, timeout=options.wait_s)) as connection:
        listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in listed}
        return tables, _META in tables and get_meta(connection, f"{kind}.schema") is not None
