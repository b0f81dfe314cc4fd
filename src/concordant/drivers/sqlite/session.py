"""A connection that serves one branch after another, with its capture triggers in place."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable
from itertools import count
from typing import Any

from concordant.drivers.sqlite import capture
from concordant.drivers.sqlite.connections import connect
from concordant.drivers.sqlite.policy import Policy
from concordant.drivers.sqlite.tables import describe
from concordant.errors import BackendUnavailable


class Trust:
    """A stretch of this package's own statements on a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> sqlite3.Connection:
        self._session.policy.trusted = True
        return self._session.raw

    def __exit__(self, *_: object) -> None:
        self._session.policy.trusted = False


class Session:
    """One real connection; whoever has it has one branch under way at most.

    Its own statements go through `run`, which marks them with a secret: sqlite3 keeps
    compiled statements by their text and does not ask the authorizer again, so a plain
    COMMIT of ours would let the user's pass later.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self._path = path
        self._mark = f" -- {secrets.token_hex(8)}"
        self._ticks = count()
        self.raw = connect(path, "FULL", wait_s)
        try:
            status = os.stat(path)
            self._inode = (status.st_dev, status.st_ino)
            for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "temp_store = MEMORY"):
                self.raw.execute(f"PRAGMA {pragma}")
            self.raw.create_function(capture.TICK, 0, self._ticks.__next__)
            self.raw.execute("BEGIN")
            self.catalog = describe(self.raw)
            capture.install(self.raw, self.catalog)
            self.raw.execute("COMMIT")
            self.policy = Policy(self.catalog)
            self.raw.set_authorizer(self.policy)
        except BaseException:
            self.raw.close()
            raise

    def run(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run a statement of this package's own."""
        self.policy.trusted = True
        try:
            return self.raw.execute(statement + self._mark, parameters)
        finally:
            self.policy.trusted = False

    def run_many(self, statement: str, parameters: Iterable[Any]) -> None:
        """Run a statement of this package's own for each set of parameters."""
        self.policy.trusted = True
        try:
            self.raw.executemany(statement + self._mark, parameters)
        finally:
            self.policy.trusted = False

    def trust(self) -> Trust:
        """Give the connection with nothing forbidden, for the body of a `with`."""
        return Trust(self)

    def ticks(self) -> int:
        """Return how often the capture triggers have run; each call counts as one more."""
        return next(self._ticks)

    def check_same_file(self) -> None:
        """Raise BackendUnavailable if the path leads to another file by now."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise BackendUnavailable(f"{self._path}: {error.strerror}; was it deleted?") from error
        if (status.st_dev, status.st_ino) != self._inode:
            raise BackendUnavailable(
                f"{self._path} was replaced by another file; restart this process"
            )

    def is_current(self) -> bool:
        """Tell whether the schema is still the one that the triggers were made for."""
        version = self.run("PRAGMA main.schema_version").fetchone()[0]
        return bool(version == self.catalog.version)

    def data_version(self) -> int:
        """Return the number that changes when another connection has changed the file."""
        return int(self.run("PRAGMA main.data_version").fetchone()[0])

    def end(self) -> bool:
        """Roll back what is under way; tell whether another branch may have this session."""
        try:
            if self.raw.in_transaction:
                self.run("ROLLBACK")
        except sqlite3.Error:
            self.raw.close()
            return False
        return not self.policy.outside

    def close(self) -> None:
        """Close the connection, which rolls back whatever is under way; harmless twice."""
        self.raw.close()
