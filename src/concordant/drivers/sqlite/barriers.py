"""A SQLite file that saga steps change, each behind its barrier.

A step takes its turn to write (see writers.py), then works in one BEGIN IMMEDIATE … COMMIT
with its barrier's row. It is a plain transaction: whatever SQLite can do in one is allowed,
and the rows that a prepared branch of a two-phase commit keeps are kept from it, too. The
file is in WAL mode with synchronous=FULL, since the log goes on from what a step has done.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from typing import Final, cast

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.sqlite.connections import leak, statement_error
from concordant.drivers.sqlite.database import Database, Schema
from concordant.drivers.sqlite.guard import GUARD_SQL
from concordant.drivers.sqlite.handle import BranchConnection
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.drivers.sqlite.stepwork import INSERT, SqliteStepWork, StepSession
from concordant.drivers.sqlite.turns import Turns
from concordant.drivers.sqlite.writers import WriterQueue
from concordant.drivers.urls import mask
from concordant.errors import UsageError
from concordant.transactions.barrier import Op, Verdict, judge, why_refused

CAPABILITIES: Final = Capabilities(
    backend="sqlite",
    fencing=Fencing.SAME_TRANSACTION,
    survives_restart=True,
    across_processes=True,
    across_hosts=False,
    detects_dead_waiters=True,
    note="a step holds the file's write lock from its barrier to its commit",
)

_SCHEMA: Final = Schema(
    kind="barrier",
    version=1,
    statements=(
        "CREATE TABLE IF NOT EXISTS concordant_barrier(gid TEXT NOT NULL, step TEXT NOT NULL,"
        " op TEXT NOT NULL, verdict TEXT NOT NULL, result TEXT NOT NULL,"
        " created_us INTEGER NOT NULL, PRIMARY KEY (gid, step, op)) WITHOUT ROWID",
        GUARD_SQL,
    ),
    exclusive=False,
)

_ROWS: Final = "SELECT op, verdict, result FROM concordant_barrier WHERE gid = ? AND step = ?"


class SqliteBarrier:
    """One file under saga steps; safe to share among threads, not across fork.

    Steps on one file wait for each other when they enter, at most `wait_s` of the URL; then
    BackendUnavailable.
    """

    def __init__(self, url: str, clock: Clock = SYSTEM_CLOCK) -> None:
        options = SqliteOptions.parse(url)
        self._place = mask(url)
        self._path = options.path
        self._wait_s = options.wait_s
        self._clock = clock
        self._database = Database(options.path, _SCHEMA, "FULL", options.wait_s)
        self._turns = Turns(options.path, options.wait_s)
        self._mutex = threading.Lock()
        self._idle: list[StepSession] = []
        self._open: dict[SqliteStepWork, StepSession] = {}
        self._closed = False
        _live.add(self)

    @property
    def capabilities(self) -> Capabilities:
        """What a SQLite file can promise to saga steps."""
        return CAPABILITIES

    def enter(self, gid: str, step: str, op: Op) -> SqliteStepWork:
        if self._closed:
            raise UsageError(f"{self._place} was closed (or forked); open it anew")
        self._database.read(lambda _: None)  # the table is there
        handle = BranchConnection()  # before the turn, which others wait for
        turn = self._turns.take()
        try:
            session = self._session()
            try:
                session.begin()
                return self._pass(gid, step, op, session, handle, turn)
            except BaseException:
                session.raw.close()
                raise
        except sqlite3.Error as error:
            self._turns.give(turn)
            raise statement_error(self._path, error) from error
        except BaseException:
            self._turns.give(turn)
            raise

    def close(self) -> None:
        """Roll back what is under way, and close the file."""
        with self._mutex:
            self._closed = True
            still_open = list(self._open)
            idle, self._idle = self._idle, []
        for work in still_open:
            work.abandon()
        for session in idle:
            session.raw.close()
        self._turns.close()
        self._database.close()

    def forget(self) -> None:
        """Let go in a forked child without touching the file, which is the parent's."""
        self._turns.forget()
        for session in [*self._idle, *self._open.values()]:
            leak(session.raw)
        for work in self._open:
            work.forget()
        self._idle, self._open = [], {}
        self._closed = True

    def _session(self) -> StepSession:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
        return StepSession(self._path, self._wait_s)

    def _pass(
        self,
        gid: str,
        step: str,
        op: Op,
        session: StepSession,
        handle: BranchConnection,
        turn: WriterQueue,
    ) -> SqliteStepWork:
        rows = {row[0]: row[1:] for row in session.run(_ROWS, (gid, step)).fetchall()}
        verdicts = {each: cast(Verdict, found[0]) for each, found in rows.items()}
        action = verdicts.get("action")
        ruling = judge(op, action, verdicts.get("compensation"))
        now_us = self._clock.wall_us()
        key = (gid, step, op)
        if ruling == "run":
            session.run(INSERT, (*key, "done", "", now_us))
            work = SqliteStepWork(
                key,
                ruling,
                "",
                handle,
                session,
                self._clock.wall_us,
                lambda: self._leave(work, session, turn),
            )
            with self._mutex:
                self._open[work] = session
            return work
        stored = str(rows[op][1]) if op in rows else ""
        if ruling == "note":
            if action is None:
                session.run(INSERT, (gid, step, "action", "void", "", now_us))
            session.run(INSERT, (*key, "done", "", now_us))
            session.commit(f"the compensation of step {step} of {gid}")
        elif ruling == "refuse":
            stored = why_refused(action, stored)
        work = SqliteStepWork(key, ruling, stored, handle)
        self._leave(work, session, turn)
        handle.dispose()
        return work

    def _leave(self, work: SqliteStepWork, session: StepSession, turn: WriterQueue) -> None:
        """Give back what the work held, whatever state it is in."""
        keep = session.end()
        with self._mutex:
            self._open.pop(work, None)
            keep = keep and not self._closed
            if keep:
                self._idle.append(session)
        if not keep:
            session.raw.close()
        self._turns.give(turn)


# Weak: a barrier that nobody uses any more goes with its last reference.
_live: weakref.WeakSet[SqliteBarrier] = weakref.WeakSet()


def _forget_in_child() -> None:
    for barrier in list(_live):
        barrier.forget()


os.register_at_fork(after_in_child=_forget_in_child)
