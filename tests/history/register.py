"""A register that only the newest holder of a lock can use, with a journal of what it took.

It is kept in a SQLite file of its own, apart from any store of locks, and has a guard of its
own: what it accepts stands in one order, whatever the lock store believes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.history.events import Event

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS register"
    "(lock TEXT PRIMARY KEY, fence INTEGER NOT NULL, owner TEXT NOT NULL, value INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS journal"
    "(seq INTEGER PRIMARY KEY AUTOINCREMENT, lock TEXT, op TEXT UNIQUE, what TEXT,"
    " owner TEXT, fence INTEGER, value INTEGER, base INTEGER)",
)
_FIRST = "INSERT OR IGNORE INTO register VALUES (?, -1, '', 0)"
# Newer than all that were seen, or the same holder once more.
_GUARD = (
    "UPDATE register SET fence = ?1, owner = ?2"
    " WHERE lock = ?3 AND (fence < ?1 OR (fence = ?1 AND owner = ?2))"
)
_JOURNAL = (
    "INSERT INTO journal(lock, op, what, owner, fence, value, base) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class Stale(Exception):
    """The register has seen a newer holder."""


class Register:
    """One connection to the register; each thread or process has its own."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            self._db.execute(statement)
        self._db.execute("COMMIT")

    def read(self, lock: str, owner: str, fence: int, op: str) -> int:
        """Return the value, and shut all older holders out; raises Stale."""
        return self._use(lock, owner, fence, op, None, None)

    def write(self, lock: str, owner: str, fence: int, op: str, value: int, base: int) -> int:
        """Set the value, which was made from `base`; raises Stale and changes nothing then."""
        return self._use(lock, owner, fence, op, value, base)

    def journal(self) -> list[Event]:
        """Return all that was accepted, in order."""
        names = ("seq", "lock", "op", "what", "owner", "fence", "value", "base")
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM journal ORDER BY seq")
        return [{"kind": "journal", **dict(zip(names, row, strict=True))} for row in rows]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _use(
        self, lock: str, owner: str, fence: int, op: str, value: int | None, base: int | None
    ) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(_FIRST, (lock,))
            if not self._db.execute(_GUARD, (fence, owner, lock)).rowcount:
                raise Stale(f"{lock}: fence {fence} of {owner} is stale")
            if value is not None:
                self._db.execute("UPDATE register SET value = ? WHERE lock = ?", (value, lock))
            [[now]] = self._db.execute("SELECT value FROM register WHERE lock = ?", (lock,))
            what = "read" if value is None else "write"
            self._db.execute(_JOURNAL, (lock, op, what, owner, fence, now, base))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return int(now)
