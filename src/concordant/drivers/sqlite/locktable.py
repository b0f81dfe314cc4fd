"""The table of locks: load, store, list, and forget what has long been idle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from concordant.drivers.sqlite.database import get_meta, set_meta
from concordant.errors import UsageError
from concordant.locking.batch import horizons_us
from concordant.locking.codec import decode, encode
from concordant.locking.model import LockRecord

# `busy_us`: until when somebody holds or waits; `quiet_us`: from when only the fence is left.
# Both count from the boot that the row names.
LOCK_TABLES: Final = (
    """CREATE TABLE locks(
        name TEXT PRIMARY KEY,
        fence INTEGER NOT NULL,
        boot TEXT NOT NULL,
        busy_us INTEGER NOT NULL,
        quiet_us INTEGER NOT NULL,
        record TEXT NOT NULL
    ) WITHOUT ROWID""",
)

_FLOOR: Final = "locks.fence_floor"
_CURSOR: Final = "locks.sweep_cursor"

# A lock that was idle for this long is forgotten, but for its fence.
IDLE_KEPT_US: Final = 5 * 60 * 1_000_000
# New rows pay for the sweep: one in 16 looks at 64 others, so idle rows never outnumber
# those in use by much, however short-lived the processes are.
_SWEEP_EACH: Final = 16
_SWEEP_ROWS: Final = 64


class LockRows:
    """The rows as one transaction sees them, at one moment of one boot."""

    def __init__(self, connection: sqlite3.Connection, boot: str, now_us: int) -> None:
        self.now_us = now_us
        self._connection = connection
        self._boot = boot
        self._added = 0

    def load(self, names: Iterable[str]) -> dict[str, LockRecord]:
        """Return the records of those names that have a row."""
        found: dict[str, LockRecord] = {}
        for name in names:
            row = self._connection.execute(
                "SELECT boot, record, fence FROM locks WHERE name = ?", (name,)
            ).fetchone()
            if row is not None:
                found[name] = self._decode(*row)
        return found

    def store(self, name: str, record: LockRecord, new: bool) -> None:
        """Write one record."""
        self._added += new
        self._connection.execute(
            "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?)",
            (name, record.fence, self._boot, *horizons_us(record), encode(record)),
        )

    def busy_names(self, after: str, limit: int) -> list[str]:
        """Return names that are held or waited for, in order."""
        rows = self._connection.execute(
            "SELECT name FROM locks WHERE name > ? AND boot = ? AND busy_us > ?"
            " ORDER BY name LIMIT ?",
            (after, self._boot, self.now_us, max(0, limit)),
        )
        return [name for (name,) in rows]

    def fence_floor(self) -> int:
        """Return the lowest fence that no forgotten lock can have given."""
        return int(get_meta(self._connection, _FLOOR) or 0)

    def sweep_now_and_then(self) -> None:
        """Sweep, one time in so many that rows were added."""
        # The last digits of a microsecond clock are as good as dice.
        if self._added and self.now_us % _SWEEP_EACH < self._added:
            self.sweep(max(_SWEEP_ROWS, _SWEEP_ROWS // _SWEEP_EACH * self._added))

    def sweep(self, limit: int) -> int:
        """Look at the next few rows and forget the idle ones; return how many."""
        cursor = get_meta(self._connection, _CURSOR) or ""
        rows = self._connection.execute(
            "SELECT name, fence, boot, quiet_us FROM locks WHERE name > ? ORDER BY name LIMIT ?",
            (cursor, limit),
        ).fetchall()
        horizon_us = self.now_us - IDLE_KEPT_US
        idle = [
            (name, fence)
            for name, fence, boot, quiet_us in rows
            if boot != self._boot or quiet_us <= horizon_us
        ]
        if idle:
            floor = max(fence for _, fence in idle) + 1
            if floor > self.fence_floor():
                set_meta(self._connection, _FLOOR, str(floor))
            self._connection.executemany(
                "DELETE FROM locks WHERE name = ?", [(name,) for name, _ in idle]
            )
        set_meta(self._connection, _CURSOR, rows[-1][0] if len(rows) == limit else "")
        return len(idle)

    def _decode(self, boot: str, text: str, fence: int) -> LockRecord:
        if boot != self._boot:
            # Its times count from another boot, and whoever held it died with that.
            return LockRecord(fence)
        try:
            return decode(text)
        except ValueError as error:
            raise UsageError(f"{error}; upgrade concordant") from error
