"""Barriers of saga steps in a PostgreSQL database."""

from __future__ import annotations

from typing import Any, Final, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from concordant.drivers.capabilities import Capabilities
from concordant.drivers.postgres.aio.pool import AsyncPool
from concordant.drivers.postgres.connections import AsyncBranchConnection
from concordant.drivers.postgres.errors import is_lost, translate
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.promises import CAPABILITIES
from concordant.drivers.postgres.schema import BARRIER, DURABLE
from concordant.drivers.postgres.versions import marked
from concordant.errors import BackendUnavailable, ConcordantError, OutcomeUnknown, UsageError
from concordant.transactions.barrier import Op, Ruling, judge, why_refused

# The key makes calls of one step wait for each other: an insert that meets an open
# transaction's row waits until that has ended.
_WRITE: Final[LiteralString] = (
    "INSERT INTO concordant_barrier (gid, step, op, verdict, result) VALUES (%s, %s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)
_READ: Final[LiteralString] = (
    "SELECT op, verdict, result FROM concordant_barrier WHERE gid = %s AND step = %s"
)
_RESULT: Final[LiteralString] = (
    "UPDATE concordant_barrier SET result = %s WHERE gid = %s AND step = %s AND op = %s"
)


class AsyncPostgresStepWork:
    """The work of one direction of one step, on a connection of its own."""

    def __init__(
        self,
        pool: AsyncPool[AsyncBranchConnection],
        connection: AsyncBranchConnection,
        key: tuple[str, str, Op],
        ruling: Ruling,
        stored: str,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._key = key
        self._ruling: Ruling = ruling
        self._stored = stored
        self._over = ruling != "run"

    @property
    def ruling(self) -> Ruling:
        return self._ruling

    @property
    def stored(self) -> str:
        return self._stored

    @property
    def connection(self) -> AsyncBranchConnection:
        return self._connection

    async def commit(self, result: str) -> None:
        self._begin_end()
        if self._connection.info.transaction_status != TransactionStatus.INTRANS:
            await self._roll_back()
            raise BackendUnavailable(
                f"{self}: a statement of the work failed, or ended the transaction; it was rolled "
                "back as far as it was open"
            )
        try:
            await self._connection.execute(_RESULT, (result, *self._key))
            cursor = await self._connection.execute("COMMIT")
        except psycopg.Error as error:
            raise await self._failed(error) from error
        except BaseException:
            await self._pool.drop(self._connection)
            raise
        await self._pool.give(self._connection)
        if cursor.statusmessage != "COMMIT":
            raise BackendUnavailable(f"{self}: it was rolled back; nothing was applied")

    async def refuse(self, reason: str) -> None:
        self._begin_end()
        try:
            await self._connection.simple(f"ROLLBACK; BEGIN; {DURABLE}")
            # Somebody may have come in between; then that verdict stands, and is found next.
            await self._connection.execute(_WRITE, (*self._key, "failed", reason))
            await self._connection.simple("COMMIT")
        except psycopg.Error as error:
            raise await self._failed(error) from error
        except BaseException:
            await self._pool.drop(self._connection)
            raise
        await self._pool.give(self._connection)

    async def abandon(self) -> None:
        if self._over:
            return
        self._over = True
        await self._roll_back()

    def _begin_end(self) -> None:
        if self._over:
            raise UsageError(f"{self} is over already")
        self._over = True

    async def _roll_back(self) -> None:
        try:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                await self._connection.execute("ROLLBACK")
        except psycopg.Error:
            await self._pool.drop(self._connection)
            return
        await self._pool.give(self._connection)

    async def _failed(self, error: psycopg.Error) -> ConcordantError:
        if is_lost(error):
            await self._pool.drop(self._connection)
            return OutcomeUnknown(f"{self}: no reply came; do it again, the barrier knows")
        await self._roll_back()
        return translate(error, str(self), sent=True)

    def __str__(self) -> str:
        gid, step, op = self._key
        return f"the {op} of step {step} of {gid}"


class AsyncPostgresBarrier:
    """A database that saga steps change."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._pool = AsyncPool(options, AsyncBranchConnection)
        self._ready = False

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def enter(self, gid: str, step: str, op: Op) -> AsyncPostgresStepWork:
        await self._prepare()
        connection = await self._pool.take()
        try:
            ruling, stored = await self._pass(connection, gid, step, op)
        except psycopg.Error as error:
            await self._pool.drop(connection)
            raise translate(error, self._options.place, sent=False) from error
        except BaseException:
            await self._pool.drop(connection)
            raise
        if ruling != "run":
            await self._pool.give(connection)
        return AsyncPostgresStepWork(self._pool, connection, (gid, step, op), ruling, stored)

    async def _pass(
        self, connection: AsyncBranchConnection, gid: str, step: str, op: Op
    ) -> tuple[Ruling, str]:
        lock_ms = round(self._options.lock_timeout_s * 1000)
        connection.reply_timeout_s = self._options.branch_reply_s
        await connection.simple(f"BEGIN; SET LOCAL lock_timeout = {lock_ms}; {DURABLE}")
        verdict = "done" if op == "action" else "void"
        cursor = await connection.execute(_WRITE, (gid, step, "action", verdict, ""))
        fresh = cursor.rowcount == 1
        rows: dict[str, Any] = {}
        if not fresh:
            cursor = await connection.execute(_READ, (gid, step))
            rows = {each: (verdict, result) for each, verdict, result in await cursor.fetchall()}
        action, result = rows.get("action", (None, ""))
        compensation, undone = rows.get("compensation", (None, ""))
        ruling = judge(op, action, compensation)
        if op == "compensation" and ruling in ("run", "note"):
            cursor = await connection.execute(_WRITE, (gid, step, op, "done", ""))
            if cursor.rowcount == 0:
                # Another call was faster, and has committed since the rows were read.
                ruling = "skip"
        if ruling == "note":
            await connection.execute("COMMIT")
        elif ruling != "run":
            await connection.execute("ROLLBACK")
        if ruling == "refuse":
            return ruling, why_refused(action, result)
        return ruling, result if op == "action" else undone

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _prepare(self) -> None:
        if self._ready:
            return
        ((there,),) = await self._pool.run("SELECT to_regclass('concordant_barrier') IS NOT NULL")
        if not there:
            await self._pool.create((BARRIER, marked("concordant_barrier")))
        await self._pool.refuse_newer("concordant_barrier")
        self._ready = True
