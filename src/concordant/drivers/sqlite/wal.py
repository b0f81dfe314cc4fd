"""Syncing a database's write-ahead log while others write on.

With synchronous=FULL a COMMIT waits for the disk while it keeps the file's write lock. With
NORMAL it writes the same frames and waits for nothing; they are durable once the log has been
synced, by whomever. The log is one sequence whose checksums run on from frame to frame, so
what a power cut leaves of it is always a beginning: a sync that comes later covers all that
was committed before, and nothing can outlive what it was built on. A checkpoint syncs the log
before it moves frames into the database, and the database before the log is written anew.

What was committed and not yet synced can be seen by others. Hence this is for commits that
nobody relies on before a sync of his own, and for those that would be done once more.

Source: https://www.sqlite.org/wal.html, and `sqlite3WalFrames` and `walCheckpoint` in SQLite's
wal.c.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from typing import Final

from concordant.drivers.sqlite.connections import connect
from concordant.errors import OutcomeUnknown

# On macOS fsync alone leaves data in the drive's cache.
_FULL: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


class Wal:
    """The log of a database that is open; safe to share among threads.

    To be made and dropped with a connection that has read the database: SQLite removes no log
    that somebody has open, so this is the one that the connection writes. Closing this file
    gives up none of SQLite's locks, which are on others. `wait_s` bounds how long a sync that
    failed waits for readers and writers to set that right.
    """

    def __init__(self, database: str, wait_s: float) -> None:
        self._fd = -1
        self._lost = False
        self._database = database
        self._wait_s = wait_s
        self._fd = os.open(f"{database}-wal", os.O_RDWR | os.O_CLOEXEC)
        # Whoever made the log may not have synced its name.
        folder = os.open(os.path.dirname(database), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def sync(self) -> None:
        """Make all durable that was committed before this call.

        Raises OutcomeUnknown if the disk fails for good, then and ever after.
        """
        try:
            if not self._lost:
                _sync(self._fd)
                return
            reason = "it failed before"
        except OSError as error:
            if self._moved():
                return
            self._lost = True
            reason = error.strerror or str(error)
        raise OutcomeUnknown(
            f"{self._database}-wal: syncing it failed ({reason}), and its last commits may go"
            " with the next power cut; check the disk, and restart this process"
        )

    def _moved(self) -> bool:
        """Move the log into the database durably; tell whether that went well.

        The system forgets what it could not write, so a second sync would succeed without it.
        But it still has it in memory, from where a checkpoint writes it elsewhere.
        """
        try:
            with closing(connect(self._database, "FULL", self._wait_s)) as connection:
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _sync(fd: int) -> None:
    if _FULL is None:
        os.fdatasync(fd)
        return
    try:
        fcntl.fcntl(fd, _FULL)
    except OSError:
        # Not every file system has it.
        os.fsync(fd)
