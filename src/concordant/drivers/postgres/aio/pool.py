"""A few connections to one database, made when needed and kept for the next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from concordant.drivers.postgres.connections import AsyncBoundConnection, is_alive
from concordant.drivers.postgres.errors import connection_error, translate
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.schema import BEGIN, SETUP_LOCK
from concordant.drivers.postgres.versions import FIND, refuse_newer
from concordant.errors import UsageError

_KEPT_MAX: Final = 32
_SESSION: Final = "SELECT current_setting('default_transaction_isolation'), pg_backend_pid()"
_Kind = TypeVar("_Kind", bound=AsyncBoundConnection)


class AsyncPool(Generic[_Kind]):
    """Connections in autocommit mode; each is used by one caller at a time."""

    def __init__(self, options: PostgresOptions, kind: type[_Kind]) -> None:
        self.options = options
        self._kind = kind
        self._idle: list[_Kind] = []
        self._out: set[_Kind] = set()
        self._pid = os.getpid()
        self._closed = False
        # Whether a pooler stands before the database, so that each transaction may find itself
        # in another session. It shows by the session's number, which poolers make up.
        self.pooled = False

    @property
    def forked(self) -> bool:
        """Whether this is a child, whose connections are its parent's."""
        return self._pid != os.getpid()

    async def take(self) -> _Kind:
        """Return a connection that was alive a moment ago."""
        if self._closed or self.forked:
            raise UsageError(f"{self.options.place} was closed here, or opened before a fork")
        spare = await self.spare()
        if spare is not None:
            return spare
        try:
            connection = await self._kind.open(self.options.conninfo)
        except psycopg.Error as error:
            # Without a context: libpq's message may name more than a log should hold.
            raise connection_error(error, self.options.place) from None
        connection.lend(self.options.reply_timeout_s)
        self._out.add(connection)
        try:
            cursor = await connection.execute(_SESSION)
            isolation, pid = await cursor.fetchone() or ("", 0)
            connection.read_committed = isolation == "read committed"
            if pid != connection.pgconn.backend_pid:
                self.pooled = True
                # What psycopg would prepare in one session is not there in the next.
                connection.prepare_threshold = None
        except psycopg.Error as error:
            await self.drop(connection)
            raise translate(error, self.options.place, sent=False) from error
        except BaseException:
            await self.drop(connection)
            raise
        return connection

    async def spare(self) -> _Kind | None:
        """Return a connection that nobody uses and that was alive a moment ago, or None."""
        while (kept := self._pop()) is not None:
            if is_alive(kept):
                kept.lend(self.options.reply_timeout_s)
                self._out.add(kept)
                return kept
            await kept.close()
        return None

    def _pop(self) -> _Kind | None:
        # Asking first whether there is one would leave room for another thread.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    async def give(self, connection: _Kind) -> None:
        """Take a connection back; one in the middle of something is closed."""
        self._out.discard(connection)
        connection.lent = False
        idle = connection.info.transaction_status == TransactionStatus.IDLE
        if idle and not self._closed and len(self._idle) < _KEPT_MAX:
            self._idle.append(connection)
        else:
            await connection.close()

    async def drop(self, connection: _Kind) -> None:
        """Close a connection that is in an unknown state."""
        self._out.discard(connection)
        await connection.close()

    async def run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[Any]:
        """Run one statement by itself at READ COMMITTED and return its rows, if it has any."""
        connection = await self.take()
        try:
            if connection.read_committed:
                cursor = await connection.execute(sql, parameters)
            else:
                # Not by a setting for the session, which behind a pooler is not ours.
                async with connection.pipeline():
                    await connection.execute(BEGIN)
                    cursor = await connection.execute(sql, parameters)
                    await connection.execute("COMMIT")
            rows = await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise translate(error, self.options.place, sent=True) from error
        finally:
            await self.give(connection)
        return rows

    async def create(self, tables: Sequence[str]) -> None:
        """Make tables unless they are there."""
        connection = await self.take()
        try:
            statements = "; ".join([BEGIN, SETUP_LOCK, *tables, "COMMIT"])
            await connection.execute(statements)
        except psycopg.Error as error:
            raise translate(error, self.options.place, sent=False) from error
        finally:
            await self.give(connection)

    async def refuse_newer(self, table: str) -> None:
        """Raise UsageError if a newer concordant has made the table."""
        ((comment,),) = await self.run(FIND, (table,))
        refuse_newer(self.options.place, comment)

    async def aclose(self) -> None:
        """Close every connection; what was open on one is rolled back by the server."""
        self._closed = True
        if self.forked:
            return
        connections = [*self._idle, *self._out]
        self._idle.clear()
        self._out.clear()
        for connection in connections:
            await connection.close()
