"""SQLite connections as every part of this driver wants them, and what their errors mean."""

from __future__ import annotations

import sqlite3
from typing import Final, Literal

from concordant.errors import BackendUnavailable, ConcordantError, UsageError

# LATE: not synced by COMMIT, but by a Wal when the file's write lock is free again.
Synchronous = Literal["NORMAL", "FULL", "LATE"]

_LEVELS: Final = {"NORMAL": "NORMAL", "FULL": "FULL", "LATE": "NORMAL"}


def connect(path: str, synchronous: Synchronous, busy_s: float) -> sqlite3.Connection:
    """Open the file with no implicit transactions; any thread may use the connection.

    `busy_s` bounds SQLite's own wait for writers that take no turn, such as its shell.
    Raises sqlite3.Error as it comes.
    """
    connection = sqlite3.connect(
        path, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA synchronous = {_LEVELS[synchronous]}")
        if synchronous != "NORMAL":
            # On macOS fsync alone leaves data in the drive's cache; elsewhere a no-op.
            connection.execute("PRAGMA fullfsync = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_error(path: str, error: sqlite3.Error) -> ConcordantError:
    """Return the error of ours that a failed opening means."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return UsageError(f"{path} is not a SQLite file; name another one")
    return statement_error(path, error)


def statement_error(path: str, error: sqlite3.Error) -> ConcordantError:
    """Return the error of ours for a statement that failed and was rolled back."""
    return BackendUnavailable(f"{path}: {error}; nothing was applied, retry")


def leak(connection: sqlite3.Connection) -> None:
    """Keep the connection for ever, so that a forked child never closes it.

    Closing it there would roll back and checkpoint in the name of the parent, whose file
    locks the child does not have.
    """
    import ctypes  # here, since a Python built without it can still do everything else

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
