"""One branch: the user's work, and how it is turned into a prepared state on the disk.

From its begin to its prepare a branch holds the file's write lock, so branches on one file
work one after another, while any number of them may be prepared. A prepared branch holds its
rows and no lock. What it has read is not kept: others may change that before it commits.
"""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
from collections.abc import Callable
from typing import Final

from concordant.clock import Clock
from concordant.drivers.base import Vote
from concordant.drivers.sqlite import branches, capture, redo, reservations
from concordant.drivers.sqlite.database import Database
from concordant.drivers.sqlite.handle import BranchConnection
from concordant.drivers.sqlite.session import Session
from concordant.drivers.sqlite.wal import Wal
from concordant.errors import (
    BackendUnavailable,
    OutcomeUnknown,
    TransactionAborted,
    UsageError,
)

_log = logging.getLogger("concordant.transactions")

_GONE: Final = "SQLite rolled it back after an error in it"
_OVERTAKEN: Final = "another program wrote the file at the moment of the vote; retry"

_HOST: Final = socket.gethostname()


class SqliteBranch:
    """A branch on a session whose transaction has just begun.

    `leave` gives the session back, and with it the turn to write that others wait for. A
    branch that is lost without its end, as by an interrupt, gives both up with its memory.
    """

    def __init__(
        self,
        name: str,
        place: str,
        session: Session,
        database: Database,
        handle: BranchConnection,
        clock: Clock,
        sweep: branches.Sweep,
        leave: Callable[[SqliteBranch], None],
    ) -> None:
        self._name = name
        self._place = place
        self._session = session
        self._database = database
        self._handle = handle
        self._clock = clock
        self._sweep = sweep
        self._give_back = leave
        self._over = False
        self._left = False
        self._voted: Vote | OutcomeUnknown | None = None
        self._wal: Wal | None = None
        session.policy.refused = ""
        self._version = session.data_version()
        session.run(capture.ARM)
        self._changes_before = session.raw.total_changes
        self._ticks_before = session.ticks()
        handle.attach(session.raw, session.policy)

    @property
    def connection(self) -> BranchConnection:
        """The connection for the branch's work."""
        return self._handle

    def ask(self) -> None:
        """Prepare and give the turn to write to others; `prepare` waits for the disk."""
        try:
            self._end()
            self._voted = self._vote()
        except (sqlite3.Error, redo.Unfit, BackendUnavailable) as error:
            # Nothing was committed: COMMIT's own failure is no such error.
            self._voted = Vote("refused", f"{self._place}: {error}")
        except OutcomeUnknown as error:
            self._voted = error
        finally:
            self._leave()

    def tell(self) -> None:
        """Send nothing: who resolves the branch commits it in this very process."""

    def told(self) -> bool:
        return False

    def prepare(self) -> Vote:
        if self._voted is None:
            self.ask()
        vote, self._voted = self._voted, None
        if not isinstance(vote, Vote):
            assert vote is not None
            raise vote
        if self._wal is not None:
            self._wal.sync()
        return vote

    def commit_one_phase(self) -> None:
        try:
            self._end()
            session = self._session
            if not session.raw.in_transaction:
                raise TransactionAborted(f"{self._name} at {self._place}: {_GONE}")
            now_us = self._clock.wall_us()
            try:
                session.run(capture.DISARM)
                session.run(branches.INSERT, (self._name, "committed", now_us, "one phase", None))
                with session.trust() as raw:
                    self._sweep.now_and_then(raw, now_us)
            except sqlite3.Error as error:
                raise TransactionAborted(f"{self._name} at {self._place}: {error}") from error
            self._commit()
        finally:
            self._leave()

    def abandon(self) -> None:
        try:
            if not self._over:
                self._end()
        except Exception as error:
            _log.warning("%s at %s: %s", self._name, self._place, error)
        finally:
            self._leave()

    def forget(self) -> None:
        """Be over in a forked child, without touching the parent's connection."""
        self._over = self._left = True
        self._handle.forget()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._give_back(self)
            self._handle.dispose()

    # --- the vote -------------------------------------------------------------------------

    def _end(self) -> None:
        if self._over:
            raise UsageError(f"the branch {self._name} at {self._place} is over already")
        self._over = True
        self._handle.detach()

    def _vote(self) -> Vote:
        session = self._session
        if not session.raw.in_transaction:
            return Vote("refused", f"{self._place}: {_GONE}")
        touched = self._touched()
        if touched.refusal:
            return Vote("refused", f"{self._place}: {touched.refusal}")
        if not touched.keys:
            return Vote("read-only")
        with session.trust() as raw:
            changes = redo.collect(raw, touched.keys, session.catalog.tables)
        text = redo.encode(changes)
        # Not ROLLBACK TO a savepoint, which would leave every page that the work changed to be
        # written once more as it was.
        session.run("ROLLBACK")
        stored, self._wal = self._database.write_in_turn(
            lambda connection: self._store(connection, touched, changes, text)
        )
        return Vote("prepared") if stored else Vote("refused", f"{self._place}: {_OVERTAKEN}")

    def _touched(self) -> capture.Touched:
        session = self._session
        policy = session.policy
        if policy.refused:
            return capture.Touched({}, f"it attempted {policy.refused}, which no branch can do")
        if policy.outside:
            outside = ", ".join(sorted(policy.outside))
            return capture.Touched({}, f"changes to {outside} cannot be captured")
        # SQLite counts in 32 bits and wraps.
        counted = (session.raw.total_changes - self._changes_before) & 0xFFFFFFFF
        ticks = session.ticks() - self._ticks_before - 1
        notes = session.run(capture.READ).fetchall()
        return capture.read(notes, session.catalog, counted - ticks)

    def _store(
        self,
        connection: sqlite3.Connection,
        touched: capture.Touched,
        changes: list[redo.Change],
        text: str,
    ) -> bool:
        """Store what the branch will write; False if somebody came in between.

        Who takes turns cannot come after the work and before this; other programs can, and
        then the work may stand on what is no longer so.
        """
        if self._session.data_version() != self._version:
            return False
        name, catalog = self._name, self._session.catalog
        for table_name, keys in touched.keys.items():
            table = catalog.tables[table_name]
            for statement in reservations.missing_triggers(table, catalog):
                connection.execute(statement)
            connection.executemany(reservations.reserve_sql(table), [(*key, name) for key in keys])
        redo.keep_ids(connection, changes)
        rows = ", ".join([f"{table} {len(keys)}" for table, keys in touched.keys.items()])
        detail = f"process {os.getpid()} on {_HOST}; rows: {rows}"
        now_us = self._clock.wall_us()
        connection.execute(branches.INSERT, (name, "prepared", now_us, detail, text))
        return True

    def _commit(self) -> None:
        try:
            self._session.run("COMMIT")
        except sqlite3.IntegrityError as error:
            # A deferred constraint: SQLite has kept the transaction open to have it mended.
            raise TransactionAborted(f"{self._name} at {self._place}: {error}") from error
        except sqlite3.Error as error:
            raise OutcomeUnknown(
                f"{self._place}: COMMIT of {self._name} failed ({error}); ask again by its name"
            ) from error
