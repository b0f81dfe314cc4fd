# Generated from src/concordant/drivers/postgres/aio/barrier.py by tools/unasync.py; do not edit.
"""Barriers of saga steps in a PostgreSQL database."""

from __future__ import annotations

from typing import Any, Final, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from concordant.drivers.capabilities import Capabilities
from concordant.drivers.postgres.connections import BranchConnection
from concordant.drivers.postgres.errors import is_lost, translate
from concordant.drivers.postgres.options import PostgresOptions
from concordant.drivers.postgres.promises import CAPABILITIES
from concordant.drivers.postgres.schema import BARRIER, DURABLE
from concordant.drivers.postgres.sync.pool import Pool
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


class PostgresStepWork:
    """The work of one direction of one step, on a connection of its own."""

    def __init__(
        self,
        pool: Pool[BranchConnection],
        connection: BranchConnection,
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
    def connection(self) -> BranchConnection:
        return self._connection

    def commit(self, result: str) -> None:
        self._begin_end()
        if self._connection.info.transaction_status != TransactionStatus.INTRANS:
            self._roll_back()
            raise BackendUnavailable(
                f"{self}: a statement of the work failed, or ended the transaction; it was rolled "
                "back as far as it was open"
            )
        try:
            self._connection.execute(_RESULT, (result, *self._key))
            cursor = self._connection.execute("COMMIT")
        except psycopg.Error as error:
            raise self._failed(error) from error
        except BaseException:
            self._pool.drop(self._connection)
            raise
        self._pool.give(self._connection)
        if cursor.statusmessage != "COMMIT":
            raise BackendUnavailable(f"{self}: it was rolled back; nothing was applied")

    def refuse(self, reason: str) -> None:
        self._begin_end()
        try:
            self._connection.simple(f"ROLLBACK; BEGIN; {DURABLE}")
            # Somebody may have come in between; then that verdict stands, and is found next.
            self._connection.execute(_WRITE, (*self._key, "failed", reason))
            self._connection.simple("COMMIT")
        except psycopg.Error as error:
            raise self._failed(error) from error
        except BaseException:
            self._pool.drop(self._connection)
            raise
        self._pool.give(self._connection)

    def abandon(self) -> None:
        if self._over:
            return
        self._over = True
        self._roll_back()

    def _begin_end(self) -> None:
        if self._over:
            raise UsageError(f"{self} is over already")
        self._over = True

    def _roll_back(self) -> None:
        try:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._pool.drop(self._connection)
            return
        self._pool.give(self._connection)

    def _failed(self, error: psycopg.Error) -> ConcordantError:
        if is_lost(error):
            self._pool.drop(self._connection)
            return OutcomeUnknown(f"{self}: no reply came; do it again, the barrier knows")
        self._roll_back()
        return translate(error, str(self), sent=True)

    def __str__(self) -> str:
        gid, step, op = self._key
        return f"the {op} of step {step} of {gid}"


class PostgresBarrier:
    """A database that saga steps change."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._pool = Pool(options, BranchConnection)
        self._ready = False

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def enter(self, gid: str, step: str, op: Op) -> PostgresStepWork:
        self._prepare()
        connection = self._pool.take()
        try:
            ruling, stored = self._pass(connection, gid, step, op)
        except psycopg.Error as error:
            self._pool.drop(connection)
            raise translate(error, self._options.place, sent=False) from error
        except BaseException:
            self._pool.drop(connection)
            raise
        if ruling != "run":
            self._pool.give(connection)
        return PostgresStepWork(self._pool, connection, (gid, step, op), ruling, stored)

    def _pass(
        self, connection: BranchConnection, gid: str, step: str, op: Op
    ) -> tuple[Ruling, str]:
        lock_ms = round(self._options.lock_timeout_s * 1000)
        connection.reply_timeout_s = self._options.branch_reply_s
        connection.simple(f"BEGIN; SET LOCAL lock_timeout = {lock_ms}; {DURABLE}")
        verdict = "done" if op == "action" else "void"
        cursor = connection.execute(_WRITE, (gid, step, "action", verdict, ""))
        fresh = cursor.rowcount == 1
        rows: dict[str, Any] = {}
        if not fresh:
            cursor = connection.execute(_READ, (gid, step))
            rows = {each: (verdict, result) for each, verdict, result in cursor.fetchall()}
        action, result = rows.get("action", (None, ""))
        compensation, undone = rows.get("compensation", (None, ""))
        ruling = judge(op, action, compensation)
        if op == "compensation" and ruling in ("run", "note"):
            cursor = connection.execute(_WRITE, (gid, step, op, "done", ""))
            if cursor.rowcount == 0:
                # Another call was faster, and has committed since the rows were read.
                ruling = "skip"
        if ruling == "note":
            connection.execute("COMMIT")
        elif ruling != "run":
            connection.execute("ROLLBACK")
        if ruling == "refuse":
            return ruling, why_refused(action, result)
        return ruling, result if op == "action" else undone

    def close(self) -> None:
        self._pool.close()

    def _prepare(self) -> None:
        if self._ready:
            return
        ((there,),) = self._pool.run("SELECT to_regclass('concordant_barrier') IS NOT NULL")
        if not there:
            self._pool.create((BARRIER, marked("concordant_barrier")))
        self._pool.refuse_newer("concordant_barrier")
        self._ready = True
