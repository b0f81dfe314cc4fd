"""Fences checked by the file itself, in the transaction that they protect.

`guard` comes first in the transaction, then the reads, then the writes: it takes the file's
write lock, so what is read after it is what the writes will meet.
"""

from __future__ import annotations

import sqlite3
from typing import Final, Protocol

from concordant.drivers.sqlite.reservations import RESERVED, holders
from concordant.drivers.sqlite.tables import GUARD_TABLE
from concordant.errors import BackendUnavailable, StaleFence, UsageError

GUARD_SQL: Final = (
    f"CREATE TABLE IF NOT EXISTS {GUARD_TABLE}"
    "(name TEXT PRIMARY KEY, fence INTEGER NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID"
)

# A newer fence passes, and so does the same holder once more. The row is written in either
# case, so that a branch that passes keeps it reserved while it is in doubt.
_PASS: Final = (
    f"INSERT INTO {GUARD_TABLE}(name, fence, owner) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET fence = excluded.fence, owner = excluded.owner"
    " WHERE excluded.fence > fence OR (excluded.fence = fence AND excluded.owner = owner)"
)
_RESERVED: Final = RESERVED.partition(" by ")[0] + " by "


class Fenced(Protocol):
    """What a lease shows of itself to a guard."""

    @property
    def fence(self) -> int:
        """The fence, which rises with every grant."""
        ...

    @property
    def owner(self) -> str:
        """The id of the acquisition that the fence was granted to."""
        ...


def ensure_guard(connection: sqlite3.Connection) -> None:
    """Create the guard's table if it is not there, for users of plain connections.

    Not inside a branch; a participant's file has the table already. On a connection that
    opens transactions by itself, commit afterwards.
    """
    connection.execute(GUARD_SQL)


def guard(connection: sqlite3.Connection, name: str, lease: Fenced) -> None:
    """Let the transaction go on only if no newer holder of `name` has been here.

    Call it first in the transaction whose writes the lease protects, on a plain connection
    or on a branch's. It commits and rolls back with them. Raises StaleFence when a newer
    fence has passed; BackendUnavailable, at once, when a branch that passed before is in
    doubt (roll back, so that it can be resolved, and retry) or the file stays locked;
    UsageError without a transaction or without the guard's table (see `ensure_guard`).
    """
    if not connection.in_transaction and _commits_by_itself(connection):
        raise UsageError(f"guard({name!r}) needs a transaction: BEGIN IMMEDIATE first")
    try:
        passed = connection.execute(_PASS, (name, lease.fence, lease.owner)).rowcount
    except sqlite3.IntegrityError as error:
        if not str(error).startswith(_RESERVED):
            raise
        branches = " or ".join(holders(connection, GUARD_TABLE, (name,)))
        raise BackendUnavailable(
            f"guard {name!r} is reserved by in-doubt branch {branches}; roll back and retry"
        ) from error
    except sqlite3.OperationalError as error:
        raise _unavailable(name, error) from error
    if passed != 1:
        raise StaleFence(
            f"guard {name!r} refuses fence {lease.fence}: a newer holder has been here; roll back"
        )


def _commits_by_itself(connection: sqlite3.Connection) -> bool:
    # From Python 3.12 on a connection can be told to commit after every statement.
    if getattr(connection, "autocommit", None) is True:
        return True
    return connection.isolation_level is None


def _unavailable(name: str, error: sqlite3.OperationalError) -> Exception:
    if "no such table" in str(error):
        return UsageError(f"guard({name!r}): this file has no guards; call ensure_guard() once")
    if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BackendUnavailable(f"guard({name!r}): {error}; roll back and retry")
    return error
