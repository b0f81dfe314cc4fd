"""A SQLite file that several processes write in turn.

Every write waits its turn at a flock beside the file (see writers.py), then runs as one
BEGIN IMMEDIATE … COMMIT. Reads take a snapshot and wait for nobody: the file is in WAL mode.
A live database file is never deleted or renamed here, nor is its `.lock` file: a process that
still had the old one open would go on with files that nobody else sees.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fcntl import LOCK_UN, flock
from typing import TypeVar

from concordant.drivers.sqlite.connections import (
    Synchronous,
    connect,
    leak,
    open_error,
    statement_error,
)
from concordant.drivers.sqlite.wal import Wal
from concordant.drivers.sqlite.writers import Turn, WriterQueue
from concordant.errors import BackendUnavailable, OutcomeUnknown, UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables that one use of a file needs.

    `kind` keeps several uses of one file apart, `version` is refused when the file's is
    newer, `statements` create the tables once, and each of `ids` is made once and kept under
    its key. An `exclusive` schema refuses a file that holds tables of something else.
    """

    kind: str
    version: int
    statements: tuple[str, ...]
    ids: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    exclusive: bool = True


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value kept in the file beside the tables, or None."""
    row = connection.execute("SELECT value FROM concordant_meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep a value in the file beside the tables, as part of the write under way."""
    connection.execute(
        "INSERT INTO concordant_meta VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


class Database:
    """One connection to one file, safe to share among threads, not across fork.

    With `synchronous` LATE others write on while a commit is synced, and see it before it is
    durable; whatever `write` and `read` return is, since both sync before.

    Constructing it does no I/O. Errors: BackendUnavailable when nothing was applied for
    certain, OutcomeUnknown when COMMIT itself failed, UsageError when the file cannot be
    ours at all.
    """

    def __init__(
        self, path: str, schema: Schema, synchronous: Synchronous, wait_s: float = 10.0
    ) -> None:
        self.path = path
        self._schema = schema
        self._synchronous = synchronous
        self._wait_s = wait_s
        self._pid = os.getpid()
        # `_turn` orders the writers of this object; `_mutex` guards the connection. Apart,
        # so that reads go on while a writer waits for other processes.
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._queue: WriterQueue | None = None
        self._connection: sqlite3.Connection | None = None
        self._wal: Wal | None = None
        self._inode = (0, 0)
        self._closed = False
        _live.add(self)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work as one write transaction and return what it returns.

        COMMIT at its end, ROLLBACK if it raises. Waits at most `wait_s` for other writers,
        then raises BackendUnavailable naming who holds them up. Not reentrant. An interrupt
        at any moment leaves nothing taken, but whether it came before COMMIT is unknown.
        """
        # A function and no context manager: an interrupt as a `with` of Python code enters
        # or exits would leave the turn taken. The last steps here are no Python calls.
        give_up = time.monotonic() + self._wait_s
        self._check_process()
        with self._turn:
            queue, turn = self._next_turn()
            try:
                self._wait_turn(queue, turn, give_up)
                result, wal = self.write_in_turn(work)
            finally:
                turn.over = True
                flock(turn.fd, LOCK_UN)
        if wal is not None:
            # Even if nothing was written: what was seen may be what others have not synced.
            wal.sync()
        return result

    def write_in_turn(self, work: Callable[[sqlite3.Connection], T]) -> tuple[T, Wal | None]:
        """Run the work as `write` does, for who has the turn from elsewhere.

        If a log is returned with the result, whoever gave the turn back has to sync it.
        """
        try:
            with self._mutex:
                connection = self._opened() or self._create()
                self._check_same_file()
                return self._transact(connection, work), self._wal
        except sqlite3.Error as error:
            # Only ROLLBACK's own: the connection is of no more use, the next call opens anew.
            self._drop()
            raise OutcomeUnknown(f"{self.path}: {error}; ask again with the same ids") from error

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work on one snapshot of the file; it must not write."""
        self._check_process()
        if self._connection is None:
            with self._mutex:
                absent = self._opened() is None
            if absent:
                self.write(lambda _: None)  # which creates the tables
        with self._mutex:
            connection = self._opened()
            if connection is None:
                raise BackendUnavailable(f"{self.path}: the file went away while it was opened")
            self._check_same_file()
            try:
                connection.execute("BEGIN")
                result, wal = work(connection), self._wal
            except sqlite3.Error as error:
                raise statement_error(self.path, error) from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        if wal is not None:
            wal.sync()
        return result

    def close(self) -> None:
        """Close the connection after whatever is under way; harmless when repeated."""
        if os.getpid() != self._pid:
            return
        with self._turn, self._mutex:
            self._closed = True
            if self._queue is not None:
                self._queue.close()
                self._queue = None
            self._drop()

    def forget(self) -> None:
        """Let go in a forked child without touching the file, which is the parent's."""
        if self._queue is not None:
            self._queue.forget()
        if self._connection is not None:
            leak(self._connection)
            self._connection = self._wal = None

    # --- taking turns ---------------------------------------------------------------------

    def _next_turn(self) -> tuple[WriterQueue, Turn]:
        self._check_open()
        if self._queue is None:
            self._check_place()
            # Two names of one file must lead to one queue.
            self._queue = WriterQueue(os.path.realpath(self.path) + ".lock")
        try:
            return self._queue, self._queue.turn()
        except OSError as error:
            raise BackendUnavailable(f"{self.path}.lock: {error.strerror}") from error

    def _wait_turn(self, queue: WriterQueue, turn: Turn, give_up: float) -> None:
        if queue.wait(turn, max(0.0, give_up - time.monotonic())):
            return
        pid = queue.holder()
        who = f"process {pid} has" if pid else "another process has"
        raise BackendUnavailable(
            f"{self.path}: waited {self._wait_s:g} s for the turn to write; {who} it"
            " (is it stopped?); retry, or continue or kill that process"
        )

    def _transact(
        self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise OutcomeUnknown(
                    f"{self.path}: COMMIT failed ({error}); ask again with the same ids"
                ) from error
            return result
        except sqlite3.Error as error:
            raise statement_error(self.path, error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    # --- opening --------------------------------------------------------------------------

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(f"{self.path} was opened before fork; open it anew in this process")

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self.path} was closed; open it anew")

    def _check_place(self) -> None:
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            raise UsageError(f"{self.path}: the directory {folder} does not exist; create it")
        if os.path.isdir(self.path):
            raise UsageError(f"{self.path} is a directory; name a file")

    def _check_same_file(self) -> None:
        # Whoever deletes or replaces the file splits its users into two groups that do not
        # see each other's locks; the group with the old file must stop.
        if self._file() != self._inode:
            raise BackendUnavailable(
                f"{self.path} was replaced by another file; restart this process"
            )

    def _file(self) -> tuple[int, int]:
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise BackendUnavailable(f"{self.path}: {error.strerror}; was it deleted?") from error
        return status.st_dev, status.st_ino

    def _opened(self) -> sqlite3.Connection | None:
        """Return the connection, opening the file if it has our tables; None if not yet."""
        self._check_open()
        if self._connection is not None:
            return self._connection
        self._check_place()
        if not os.path.exists(self.path) or os.path.getsize(self.path) == 0:
            return None
        connection = self._connect()
        try:
            if not self._has_schema(connection):
                connection.close()
                return None
            wal = self._late_wal(connection)
        except BaseException:
            connection.close()
            raise
        return self._adopt(connection, wal)

    def _create(self) -> sqlite3.Connection:
        """Create the tables; only in one's turn, so one process does it."""
        connection = self._connect()
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise BackendUnavailable(
                    f"{self.path}: this file system has no WAL mode (got {mode}); use a local disk"
                )
            self._transact(connection, self._create_tables)
            wal = self._late_wal(connection)
        except sqlite3.Error as error:
            connection.close()
            raise open_error(self.path, error) from error
        except BaseException:
            connection.close()
            raise
        return self._adopt(connection, wal)

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        schema = self._schema
        connection.execute(
            "CREATE TABLE IF NOT EXISTS concordant_meta"
            "(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        )
        for statement in schema.statements:
            connection.execute(statement)
        for key, make in schema.ids.items():
            set_meta(connection, key, make())
        set_meta(connection, f"{schema.kind}.schema", str(schema.version))

    def _connect(self) -> sqlite3.Connection:
        try:
            return connect(self.path, self._synchronous, self._wait_s)
        except sqlite3.Error as error:
            raise open_error(self.path, error) from error

    def _adopt(self, connection: sqlite3.Connection, wal: Wal | None) -> sqlite3.Connection:
        self._inode = self._file()
        self._wal = wal
        self._connection = connection
        return connection

    def _late_wal(self, connection: sqlite3.Connection) -> Wal | None:
        """Return the log to sync after commits, None if they do that themselves."""
        if self._synchronous != "LATE":
            return None
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            # Somebody has changed it; nobody can while we have the file open.
            connection.execute("PRAGMA synchronous = FULL")
            return None
        try:
            return Wal(self.path, self._wait_s)
        except OSError as error:
            raise BackendUnavailable(f"{self.path}-wal: {error.strerror}") from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._wal = None
        if connection is not None:
            connection.close()

    def _has_schema(self, connection: sqlite3.Connection) -> bool:
        """Tell whether our tables are there; raises UsageError if they cannot be."""
        schema = self._schema
        try:
            tables = {
                row[0]
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            if "concordant_meta" not in tables:
                if tables and schema.exclusive:
                    raise UsageError(
                        f"{self.path} holds tables of something else; name a file of its own"
                    )
                return False
            version = get_meta(connection, f"{schema.kind}.schema")
        except sqlite3.Error as error:
            raise open_error(self.path, error) from error
        if version is None:
            return False
        if int(version) > schema.version:
            raise UsageError(
                f"{self.path} was written by a newer concordant (its {schema.kind} have schema"
                f" {version}, this version knows {schema.version}); upgrade this one"
            )
        return True


# Weak: a database that nobody uses any more is closed with its last reference.
_live: weakref.WeakSet[Database] = weakref.WeakSet()


def _forget_in_child() -> None:
    for database in list(_live):
        database.forget()


os.register_at_fork(after_in_child=_forget_in_child)
