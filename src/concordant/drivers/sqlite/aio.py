"""A SQLite participant for tasks: each branch's statements run on a thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from concordant.drivers.sqlite.handle import ENDS, BranchConnection, BranchCursor
from concordant.drivers.threaded import (
    OwnThread,
    ThreadedBarrier,
    ThreadedBranch,
    ThreadedParticipant,
    ThreadedStepWork,
)
from concordant.errors import UsageError
from concordant.transactions.barrier import Op
from concordant.transactions.names import BranchId

P = ParamSpec("P")
T = TypeVar("T")


class AsyncBranchCursor:
    """The result of one statement of a branch."""

    def __init__(self, cursor: BranchCursor, thread: OwnThread) -> None:
        self._cursor = cursor
        self._thread = thread

    @property
    def description(self) -> Any:
        """The names of the columns, as sqlite3 gives them; None if there are no rows."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed; -1 for others."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The row id of the last row inserted."""
        return self._cursor.lastrowid

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return await self._thread.run(self._cursor.fetchone)

    async def fetchmany(self, size: int = 256) -> list[Any]:
        """Return at most so many of the next rows."""
        return await self._thread.run(self._cursor.fetchmany, size)

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return await self._thread.run(self._cursor.fetchall)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany():
            for row in rows:
                yield row


class AsyncBranchConnection:
    """What a branch lets its user do with the database, awaited."""

    def __init__(self, connection: BranchConnection, thread: OwnThread) -> None:
        self._connection = connection
        self._thread = thread

    async def execute(self, sql: str, parameters: Any = ()) -> AsyncBranchCursor:
        """Run one statement; errors as of BranchCursor.execute."""
        cursor = await self._thread.run(self._connection.execute, sql, parameters)
        return AsyncBranchCursor(cursor, self._thread)

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> AsyncBranchCursor:
        """Run one statement for each set of parameters."""
        cursor = await self._thread.run(self._connection.executemany, sql, parameters)
        return AsyncBranchCursor(cursor, self._thread)

    async def run(
        self,
        call: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call `call(connection, ...)` with the blocking connection, on the branch's thread.

        For what is written for sqlite3: ``await connection.run(guard, name, lease)``.
        """
        return await self._thread.run(lambda: call(self._connection, *args, **kwargs))

    async def commit(self) -> NoReturn:
        """Refuse: the transaction ends the branch by itself, at the end of its body."""
        raise UsageError(f"no commit() on a branch's connection: {ENDS}")

    async def rollback(self) -> NoReturn:
        """Refuse: the transaction ends the branch by itself, when its body raises."""
        raise UsageError(f"no rollback() on a branch's connection: {ENDS}")


class AsyncSqliteBranch(ThreadedBranch):
    """A branch whose connection is awaited, too."""

    def __init__(self, blocking: ThreadedBranch) -> None:
        super().__init__(blocking._branch, blocking._thread)
        self._connection = AsyncBranchConnection(blocking.connection, blocking._thread)

    @property
    def connection(self) -> AsyncBranchConnection:
        """The connection for the branch's work."""
        return self._connection


class AsyncSqliteParticipant(ThreadedParticipant):
    """The async form of SqliteParticipant."""

    async def begin(self, branch: BranchId) -> AsyncSqliteBranch:
        """Start a branch; if the task is cancelled meanwhile, the branch is abandoned."""
        return AsyncSqliteBranch(await super().begin(branch))


class AsyncSqliteStepWork(ThreadedStepWork):
    """A step's work whose connection is awaited, too."""

    def __init__(self, blocking: ThreadedStepWork) -> None:
        super().__init__(blocking._work, blocking._thread)
        self._connection = AsyncBranchConnection(blocking.connection, blocking._thread)

    @property
    def connection(self) -> AsyncBranchConnection:
        """The connection for the step's work."""
        return self._connection


class AsyncSqliteBarrier(ThreadedBarrier):
    """The async form of SqliteBarrier."""

    async def enter(self, gid: str, step: str, op: Op) -> AsyncSqliteStepWork:
        """Pass the barrier; if the task is cancelled meanwhile, the work is abandoned."""
        return AsyncSqliteStepWork(await super().enter(gid, step, op))
