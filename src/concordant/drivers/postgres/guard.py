"""Fences checked by the database itself, in the transaction that they protect.

`guard` comes first in the transaction, then the reads, then the writes: it locks the guard's
row, so a predecessor that is prepared and in doubt is waited for, and what is read afterwards
is what it left.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from concordant.drivers.postgres.schema import GUARD
from concordant.errors import BackendUnavailable, GuaranteeUnavailable, StaleFence, UsageError

# A newer fence passes, and so does the same holder once more.
_PASS: Final[LiteralString] = (
    "INSERT INTO concordant_guard AS g (name, fence, owner) VALUES (%s, %s, %s)"
    " ON CONFLICT (name) DO UPDATE SET fence = excluded.fence, owner = excluded.owner"
    " WHERE excluded.fence > g.fence OR (excluded.fence = g.fence AND excluded.owner = g.owner)"
)


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


def ensure_guard(connection: psycopg.Connection[Any]) -> None:
    """Create the guard's table if it is not there; a participant's database has it."""
    connection.execute(GUARD)


async def async_ensure_guard(connection: psycopg.AsyncConnection[Any]) -> None:
    """Create the guard's table if it is not there; a participant's database has it."""
    await connection.execute(GUARD)


def guard(connection: psycopg.Connection[Any], name: str, lease: Fenced) -> None:
    """Let the transaction go on only if no newer holder of `name` has been here.

    Call it first in the transaction whose writes the lease protects; it commits and rolls
    back with them. While a predecessor's transaction is open or in doubt it waits, as long as
    the connection's `lock_timeout` says (in a branch 5 s). Raises StaleFence when a newer
    fence has passed, BackendUnavailable when the wait was too long (roll back and retry),
    UsageError outside of a transaction or without the guard's table, GuaranteeUnavailable in one
    that is read-only. At REPEATABLE READ the
    database itself refuses to go on after such a wait.
    """
    _check(connection, name)
    try:
        passed = connection.execute(_PASS, (name, lease.fence, lease.owner)).rowcount
    except psycopg.Error as error:
        raise _meaning(error, name) from error
    _judge(passed, name, lease)


async def async_guard(connection: psycopg.AsyncConnection[Any], name: str, lease: Fenced) -> None:
    """Let the transaction go on only if no newer holder has been here; see `guard`."""
    _check(connection, name)
    try:
        cursor = await connection.execute(_PASS, (name, lease.fence, lease.owner))
    except psycopg.Error as error:
        raise _meaning(error, name) from error
    _judge(cursor.rowcount, name, lease)


def _check(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], name: str) -> None:
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    if connection.autocommit and idle:
        raise UsageError(f"guard({name!r}) needs a transaction: BEGIN first")


def _judge(passed: int, name: str, lease: Fenced) -> None:
    if passed != 1:
        raise StaleFence(
            f"guard {name!r} refuses fence {lease.fence}: a newer holder has been here; roll back"
        )


def _meaning(error: psycopg.Error, name: str) -> Exception:
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.SerializationFailure):
        return BackendUnavailable(
            f"guard {name!r} is held by a transaction that is open or in doubt; roll back and retry"
        )
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return GuaranteeUnavailable(
            f"guard({name!r}) has to write, and this transaction is read-only: begin it READ WRITE,"
            " or set default_transaction_read_only off for the user"
        )
    if isinstance(error, psycopg.errors.UndefinedTable):
        return UsageError(f"guard({name!r}): this database has no guards; call ensure_guard() once")
    return error
