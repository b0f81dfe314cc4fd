"""The work of one saga step in a SQLite file, and the connection that it is done on."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import Callable
from typing import Any, Final, Literal

from concordant.drivers.sqlite.connections import connect
from concordant.drivers.sqlite.handle import BranchConnection
from concordant.drivers.sqlite.steppolicy import StepPolicy
from concordant.errors import BackendUnavailable, OutcomeUnknown, UsageError
from concordant.transactions.barrier import Op, Ruling

_log = logging.getLogger("concordant.transactions")

INSERT: Final = "INSERT INTO concordant_barrier VALUES (?, ?, ?, ?, ?, ?)"
_RESULT: Final = "UPDATE concordant_barrier SET result = ? WHERE gid = ? AND step = ? AND op = ?"


class StepSession:
    """One real connection; whoever has it does the work of one step at most.

    Its own statements go through `run`, which marks them with a secret: sqlite3 keeps
    compiled statements by their text and does not ask the authorizer again, so a plain
    COMMIT of ours would let the user's pass later.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self._path = path
        self._mark = f" -- {secrets.token_hex(8)}"
        self.policy = StepPolicy()
        self.raw = connect(path, "FULL", wait_s)
        try:
            self._inode = self._file()
            # As on a branch's connection, so that work means the same on both.
            self.raw.execute("PRAGMA foreign_keys = ON")
            self.raw.set_authorizer(self.policy)
        except BaseException:
            self.raw.close()
            raise

    def _file(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise BackendUnavailable(f"{self._path}: {error.strerror}; was it deleted?") from error
        return status.st_dev, status.st_ino

    def begin(self) -> None:
        """Start a transaction, if the path still leads to the file that was opened."""
        if self._file() != self._inode:
            raise BackendUnavailable(
                f"{self._path} was replaced by another file; restart this process"
            )
        self.run("BEGIN IMMEDIATE")

    def run(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run a statement of this package's own."""
        self.policy.trusted = True
        try:
            return self.raw.execute(statement + self._mark, parameters)
        finally:
            self.policy.trusted = False

    def commit(self, what: str) -> None:
        """Commit; raises OutcomeUnknown, or the constraint that the user's work breaks."""
        try:
            self.run("COMMIT")
        except sqlite3.IntegrityError:
            raise  # a deferred constraint, still to be mended: nothing was committed
        except sqlite3.Error as error:
            raise OutcomeUnknown(
                f"{self._path}: COMMIT of {what} failed ({error}); do it again, the barrier knows"
            ) from error

    def end(self) -> bool:
        """Roll back what is under way; returns whether the connection may serve others."""
        try:
            if self.raw.in_transaction:
                self.run("ROLLBACK")
        except sqlite3.Error:
            return False
        return not self.policy.outside


class SqliteStepWork:
    """The work of one step; `leave` gives the session back, and the turn to write with it.

    `leave` is None for work that the barrier did not let begin.
    """

    def __init__(
        self,
        key: tuple[str, str, Op],
        ruling: Ruling,
        stored: str,
        handle: BranchConnection,
        session: StepSession | None = None,
        now_us: Callable[[], int] = lambda: 0,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self._key = key
        self._ruling: Ruling = ruling
        self._stored = stored
        self._handle = handle
        self._session = session
        self._now_us = now_us
        self._give_back = leave
        self._state: Literal["open", "over"] = "over"
        if session is not None:
            session.policy.refused = ""
            handle.attach(session.raw, session.policy)
            self._state = "open"

    @property
    def ruling(self) -> Ruling:
        return self._ruling

    @property
    def stored(self) -> str:
        return self._stored

    @property
    def connection(self) -> BranchConnection:
        """The connection for the step's work."""
        return self._handle

    def commit(self, result: str) -> None:
        session = self._end()
        try:
            if not session.raw.in_transaction:
                raise BackendUnavailable(
                    f"{self}: SQLite rolled it back after an error in it; nothing was applied"
                )
            try:
                session.run(_RESULT, (result, *self._key))
            except sqlite3.Error as error:
                raise BackendUnavailable(f"{self}: {error}; nothing was applied") from error
            session.commit(str(self))
        finally:
            self._leave()

    def refuse(self, reason: str) -> None:
        session = self._end()
        try:
            if session.raw.in_transaction:
                session.run("ROLLBACK")
            # Still in one's turn, so nobody has come in between.
            session.run("BEGIN IMMEDIATE")
            session.run(INSERT, (*self._key, "failed", reason, self._now_us()))
            session.commit(str(self))
        except sqlite3.Error as error:
            raise BackendUnavailable(f"{self}: its refusal was not stored: {error}") from error
        finally:
            self._leave()

    def abandon(self) -> None:
        if self._state == "over":
            return
        try:
            self._end()
        except Exception as error:
            _log.warning("%s: %s", self, error)
        finally:
            self._leave()

    def forget(self) -> None:
        """Be over in a forked child, without touching the parent's connection."""
        self._state = "over"
        self._handle.forget()

    def _end(self) -> StepSession:
        if self._state == "over" or self._session is None:
            raise UsageError(f"{self} is over already")
        self._state = "over"
        self._handle.detach()
        return self._session

    def _leave(self) -> None:
        self._give_back()
        self._handle.dispose()

    def __str__(self) -> str:
        gid, step, op = self._key
        return f"the {op} of step {step} of {gid}"
