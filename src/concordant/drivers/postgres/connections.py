"""Connections with a bound on every reply, and those on which a user must not commit.

Twins by hand: what psycopg waits with differs between its two worlds.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn, Self, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import tuple_row

from concordant.drivers.polling import Poll
from concordant.errors import UsageError

RV = TypeVar("RV")
_INTERVAL_S: Final = 0.1


def is_alive(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether an idle connection still is one, without a round trip.

    A server that has gone makes the socket readable at once, while the library goes on
    believing in it, even after it has read the server's last words. Whatever else a server
    says without being asked is not worth keeping a connection for.
    """
    if connection.closed:
        return False
    return not Poll(connection.pgconn.socket).ready(0)


# What a branch may have set for its session must not meet the next one.
RESET: Final = "RESET ALL; SET SESSION AUTHORIZATION DEFAULT"


_GOOD: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})


def _gather(pgconn: PGconn, results: list[PGresult]) -> bool:
    """Add what of the answer has come already, without the cost of waiting; True if all has."""
    if pgconn.flush():
        return False
    pgconn.consume_input()
    while not pgconn.is_busy():
        result = pgconn.get_result()
        if result is None:
            return True
        results.append(result)
    return False


def _check(results: list[PGresult], encoding: str, needed: int | None) -> None:
    """Raise the first error among those results that count."""
    for result in results[:needed]:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, encoding)


def _close_unused(connecting: asyncio.Task[Any]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().pgconn.finish()


def _refuse(what: str) -> NoReturn:
    raise UsageError(
        f"{what} on a branch's connection: leave the body, and the coordinator ends it"
    )


class BoundConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up when a reply does not come."""

    reply_timeout_s: float | None = None
    lent = True
    # Whether a statement by itself is a transaction at READ COMMITTED.
    read_committed = True

    @classmethod
    def open(cls, conninfo: str) -> Self:
        """Return a new connection, in autocommit mode."""
        return cls.connect(conninfo, autocommit=True)

    def lend(self, reply_timeout_s: float) -> None:
        """Make it as good as new for the next user, whatever the last one has set on it."""
        self.lent = True
        self.reply_timeout_s = reply_timeout_s
        self.row_factory = tuple_row
        self.cursor_factory = psycopg.Cursor

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor; refused once the connection went back, whoever still holds it."""
        if not self.lent:
            raise UsageError("this connection's work is over; begin anew to get one")
        return super().cursor(*args, **kwargs)

    def wait(
        self, gen: PQGen[RV], interval: float = _INTERVAL_S, timeout: float | None = None
    ) -> RV:
        """Wait for a reply, no longer than the bound; the connection is broken then."""
        bound_s = self.reply_timeout_s if timeout is None else timeout
        try:
            return super().wait(gen, interval, bound_s)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no reply within {bound_s:g} s; for slower statements raise reply_timeout_s"
            ) from None

    def simple(self, statements: str, needed: int | None = None) -> list[PGresult]:
        """Run statements without parameters in one message and return all results.

        An error in one of the first `needed` is raised (all, by default); one after them only
        closes the connection. Below psycopg's cursors, whose comforts cost as much as the
        statements themselves.
        """
        self.send(statements)
        return self._checked([], needed)

    def send(self, statements: str) -> None:
        """Send the first half of `simple`, waiting for nothing; `collect` is the other."""
        self.pgconn.send_query(statements.encode())

    def collect(self, needed: int | None = None) -> list[PGresult]:
        """Return the results of what was sent a while ago; see `simple`."""
        results: list[PGresult] = []
        return self._checked(results, needed, _gather(self.pgconn, results))

    def _checked(
        self, results: list[PGresult], needed: int | None, complete: bool = False
    ) -> list[PGresult]:
        if not complete:
            results += self.wait(generators.execute(self.pgconn))
        if not all(result.status in _GOOD for result in results):
            _check(results, self.info.encoding, needed)
            self.close()
        return results


class AsyncBoundConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that gives up when a reply does not come."""

    reply_timeout_s: float | None = None
    lent = True
    # Whether a statement by itself is a transaction at READ COMMITTED.
    read_committed = True

    @classmethod
    async def open(cls, conninfo: str) -> Self:
        """Return a new connection, in autocommit mode.

        A task that is cancelled meanwhile leaves it to be closed as soon as it is there: half
        of one would stay with the server until the collector of cycles comes to it.
        """
        connecting = asyncio.ensure_future(cls.connect(conninfo, autocommit=True))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close_unused)
            raise
        finally:
            del connecting  # which refers to what it raised, and that to this frame

    def lend(self, reply_timeout_s: float) -> None:
        """Make it as good as new for the next user, whatever the last one has set on it."""
        self.lent = True
        self.reply_timeout_s = reply_timeout_s
        self.row_factory = tuple_row
        self.cursor_factory = psycopg.AsyncCursor

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor; refused once the connection went back, whoever still holds it."""
        if not self.lent:
            raise UsageError("this connection's work is over; begin anew to get one")
        return super().cursor(*args, **kwargs)

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = _INTERVAL_S,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's own signature
    ) -> RV:
        """Wait for a reply, no longer than the bound; the connection is broken then."""
        bound_s = self.reply_timeout_s if timeout is None else timeout
        try:
            return await super().wait(gen, interval, bound_s)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no reply within {bound_s:g} s; for slower statements raise reply_timeout_s"
            ) from None

    async def simple(self, statements: str, needed: int | None = None) -> list[PGresult]:
        """Run statements without parameters in one message and return all results.

        An error in one of the first `needed` is raised (all, by default); one after them only
        closes the connection. Below psycopg's cursors, whose comforts cost as much as the
        statements themselves.
        """
        self.send(statements)
        return await self._checked([], needed)

    def send(self, statements: str) -> None:
        """Send the first half of `simple`, waiting for nothing; `collect` is the other."""
        self.pgconn.send_query(statements.encode())

    async def collect(self, needed: int | None = None) -> list[PGresult]:
        """Return the results of what was sent a while ago; see `simple`."""
        results: list[PGresult] = []
        return await self._checked(results, needed, _gather(self.pgconn, results))

    async def _checked(
        self, results: list[PGresult], needed: int | None, complete: bool = False
    ) -> list[PGresult]:
        if not complete:
            results += await self.wait(generators.execute(self.pgconn))
        if not all(result.status in _GOOD for result in results):
            _check(results, self.info.encoding, needed)
            await self.close()
        return results


class BranchConnection(BoundConnection):
    """The connection of a branch: all of psycopg but ending the transaction."""

    evidence_prepared = False

    def commit(self) -> None:
        """Refuse: the coordinator commits."""
        _refuse("commit()")

    def rollback(self) -> None:
        """Refuse: the coordinator rolls back."""
        _refuse("rollback()")

    def tpc_begin(self, xid: Any) -> None:
        """Refuse: the coordinator prepares."""
        _refuse("tpc_begin()")

    def set_autocommit(self, value: bool) -> None:
        """Refuse to change who commits."""
        _refuse("set_autocommit()")


class AsyncBranchConnection(AsyncBoundConnection):
    """The connection of a branch: all of psycopg but ending the transaction."""

    evidence_prepared = False

    async def commit(self) -> None:
        """Refuse: the coordinator commits."""
        _refuse("commit()")

    async def rollback(self) -> None:
        """Refuse: the coordinator rolls back."""
        _refuse("rollback()")

    async def tpc_begin(self, xid: Any) -> None:
        """Refuse: the coordinator prepares."""
        _refuse("tpc_begin()")

    async def set_autocommit(self, value: bool) -> None:
        """Refuse to change who commits."""
        _refuse("set_autocommit()")
