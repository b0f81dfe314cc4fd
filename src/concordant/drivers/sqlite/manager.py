"""A SQLite file as a participant in two-phase commit, though SQLite itself has no prepare.

A branch's work is done for real and looked at: the rows it touched are stored as they are to
be, the work is undone, and the rows are reserved, all in one durable commit; that is the
prepare. Phase two writes the rows and forgets the reservations in another. Both hold for
every program that opens the file, see reservations.py; what cannot be done so is refused at
the vote, see tables.py. The file is in WAL mode. Votes and commits are synced before they are
told, but not before others may write on, see wal.py; only a commit in one phase is
(synchronous=FULL), since nothing would bring it back.

Nobody should change the schema of a table that has rows in doubt: its branch then waits
until the table takes the rows again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from functools import partial
from typing import Final

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.base import InDoubt, Resolution
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.sqlite import branches, redo, reservations
from concordant.drivers.sqlite.branch import SqliteBranch
from concordant.drivers.sqlite.connections import leak, statement_error
from concordant.drivers.sqlite.database import Database, get_meta
from concordant.drivers.sqlite.handle import BranchConnection
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.drivers.sqlite.session import Session
from concordant.drivers.sqlite.tables import Catalog, describe, schema_version
from concordant.drivers.sqlite.turns import Turns
from concordant.drivers.sqlite.writers import WriterQueue
from concordant.drivers.urls import mask
from concordant.errors import (
    BackendUnavailable,
    GuaranteeUnavailable,
    OutcomeUnknown,
    TransactionStuck,
    UsageError,
)
from concordant.transactions.names import BranchId

_SQLITE_MIN: Final = (3, 37, 0)

CAPABILITIES: Final = Capabilities(
    backend="sqlite",
    fencing=Fencing.SAME_TRANSACTION,
    survives_restart=True,
    across_processes=True,
    across_hosts=False,
    detects_dead_waiters=True,
    note="a branch holds the file's write lock until it is prepared; what it only reads is not"
    " protected, and tables with foreign keys, triggers or further unique indexes are refused",
)


class SqliteParticipant:
    """One file in two-phase commits; safe to share among threads, not across fork.

    Branches wait for each other when they begin, each of the two waits (for other branches,
    for programs that take no turn) at most `wait_s` of the URL; then BackendUnavailable.
    """

    def __init__(self, url: str, clock: Clock = SYSTEM_CLOCK) -> None:
        if sqlite3.sqlite_version_info < _SQLITE_MIN:
            raise GuaranteeUnavailable(
                f"SQLite {sqlite3.sqlite_version} cannot be a participant; 3.37 or newer can"
            )
        options = SqliteOptions.parse(url)
        self._place = mask(url)
        self._path = options.path
        self._wait_s = options.wait_s
        self._clock = clock
        self._database = Database(options.path, branches.SCHEMA, "LATE", options.wait_s)
        self._turns = Turns(options.path, options.wait_s)
        self._mutex = threading.Lock()
        self._idle: list[Session] = []
        # Weak: a branch that is lost to an interrupt must not live on here.
        self._open: weakref.WeakKeyDictionary[SqliteBranch, Session] = weakref.WeakKeyDictionary()
        self._resource = ""
        self._catalog: Catalog | None = None
        self._sweep = branches.Sweep()
        self._closed = False
        _live.add(self)

    @property
    def place(self) -> str:
        """The file's URL."""
        return self._place

    @property
    def capabilities(self) -> Capabilities:
        """What a SQLite file can promise as a participant."""
        return CAPABILITIES

    def resource(self) -> str:
        if not self._resource:
            found = self._database.read(lambda opened: get_meta(opened, branches.RESOURCE))
            self._resource = found or ""
        return self._resource

    def begin(self, branch: BranchId) -> SqliteBranch:
        self._check_usable()
        self.resource()
        handle = BranchConnection()  # before the turn, which others wait for
        turn = self._turns.take()
        try:
            session = self._session_begun()
            try:
                return self._branch(branch, session, handle, turn)
            except BaseException:
                session.close()
                raise
        except sqlite3.Error as error:
            self._turns.give(turn)
            raise statement_error(self._path, error) from error
        except BaseException:
            self._turns.give(turn)
            raise

    def resolve(self, branch: str, commit: bool) -> Resolution:
        # In one's turn even to find nothing: a branch of this name that is under way in
        # another process is over then, one way or the other.
        return self._database.write(lambda opened: self._resolve(opened, branch, commit))

    def committed(self, branch: str) -> bool:
        found = self._database.read(lambda opened: branches.find(opened, branch))
        if found is None:
            found = self._forbid(branch)
        if found[0] == "prepared":
            raise OutcomeUnknown(f"{branch} is prepared at {self._place}; resolve it")
        return found[0] == "committed"

    def in_doubt(self) -> list[InDoubt]:
        now_us = self._clock.wall_us()
        return self._database.read(lambda opened: branches.prepared(opened, now_us))

    def close(self) -> None:
        """Roll back what is open and not prepared, and close the file."""
        with self._mutex:
            self._closed = True
            still_open = list(self._open)
            idle, self._idle = self._idle, []
        for branch in still_open:
            branch.abandon()
        for session in idle:
            session.close()
        self._turns.close()
        self._database.close()

    def forget(self) -> None:
        """Let go in a forked child without touching the file, which is the parent's."""
        self._turns.forget()
        for session in [*self._idle, *self._open.values()]:
            leak(session.raw)
        for branch in self._open:
            branch.forget()
        self._idle = []
        self._open.clear()
        self._closed = True

    # --- sessions -------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError(f"{self._place} was closed (or forked); open it anew")

    def _session_begun(self) -> Session:
        """Return a session in a transaction, its triggers made for the schema of now."""
        for _ in range(3):
            with self._mutex:
                session = self._idle.pop() if self._idle else None
            session = session or Session(self._path, self._wait_s)
            try:
                session.check_same_file()
                session.run("BEGIN IMMEDIATE")
                if session.is_current():
                    return session
            except BaseException:
                session.close()
                raise
            session.close()
        raise BackendUnavailable(f"{self._path}: its schema keeps changing; retry")

    def _branch(
        self, name: BranchId, session: Session, handle: BranchConnection, turn: WriterQueue
    ) -> SqliteBranch:
        branch = SqliteBranch(
            str(name),
            self._place,
            session,
            self._database,
            handle,
            self._clock,
            self._sweep,
            partial(self._leave, session, turn),
        )
        with self._mutex:
            self._open[branch] = session
        return branch

    def _leave(self, session: Session, turn: WriterQueue, branch: SqliteBranch) -> None:
        """End the transaction, if it has not ended, and give back what the branch held."""
        try:
            keep = session.end()
        finally:
            self._turns.give(turn)
        with self._mutex:
            self._open.pop(branch, None)
            if keep and not self._closed:
                self._idle.append(session)
                return
        session.close()

    # --- phase two ------------------------------------------------------------------------

    def _resolve(self, connection: sqlite3.Connection, branch: str, commit: bool) -> Resolution:
        found = branches.find(connection, branch)
        if found is None or found[0] == "aborted":
            return "missing"
        state, text = found
        if state == "committed":
            return "already"
        changes = redo.decode(text or "[]")
        # First, or the triggers would keep the branch itself from its rows.
        for change in changes:
            connection.executemany(
                reservations.release_sql(change.table, change.key),
                [(*key, branch) for key in change.touched()],
            )
        if not commit:
            branches.remove(connection, branch)
            return "done"
        self._apply(connection, branch, changes)
        now_us = self._clock.wall_us()
        branches.mark_committed(connection, branch, now_us)
        self._sweep.now_and_then(connection, now_us)
        return "done"

    def _apply(
        self, connection: sqlite3.Connection, branch: str, changes: list[redo.Change]
    ) -> None:
        catalog = self._catalog
        if catalog is None or catalog.version != schema_version(connection):
            self._catalog = catalog = describe(connection)
        try:
            redo.apply(connection, changes, catalog.tables)
        except redo.Unfit as error:
            raise TransactionStuck(
                f"{branch} stays prepared at {self._place}: {error}; mend the schema, and resolve"
                " it again"
            ) from error

    def _forbid(self, branch: str) -> tuple[str, str | None]:
        """Return the branch's row; if there is none, make one that keeps it from committing."""

        def make(connection: sqlite3.Connection) -> tuple[str, str | None]:
            found = branches.find(connection, branch)
            if found is None:
                now_us = self._clock.wall_us()
                found = ("aborted", None)
                connection.execute(
                    branches.INSERT, (branch, "aborted", now_us, "asked for, not found", None)
                )
            return found

        return self._database.write(make)


# Weak: a participant that nobody uses any more goes with its last reference.
_live: weakref.WeakSet[SqliteParticipant] = weakref.WeakSet()


def _forget_in_child() -> None:
    for participant in list(_live):
        participant.forget()


os.register_at_fork(after_in_child=_forget_in_child)
