"""The ring in force, one row in the coordination store, with the epoch it came with."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from concordant.bank.placing import Placing, from_json
from concordant.drivers.urls import file_path, scheme_of
from concordant.errors import UsageError


@dataclass(frozen=True, slots=True)
class RingInForce:
    """The ring, its epoch, and while accounts move the ring before it."""

    epoch: int
    ring: Placing
    before: Placing | None

    def owners(self, account: str) -> tuple[str, ...]:
        """Return where the account may be: its owner, and while moving its former one."""
        owner = self.ring.node(account).id
        former = self.before.node(account).id if self.before is not None else owner
        return (owner,) if former == owner else (owner, former)


class RingRow:
    """Reads and writes that row; each write needs the epoch it replaces."""

    def __init__(self, url: str, bank: str) -> None:
        self._bank = bank
        if scheme_of(url) != "sqlite":
            raise UsageError(f"coordination by {scheme_of(url)}:// is not known to the bank")
        self._connection = sqlite3.connect(
            file_path(url), isolation_level=None, timeout=30, check_same_thread=False
        )
        self._known: tuple[str, RingInForce] | None = None

    def prepare(self) -> None:
        """Make the table unless it is there."""
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bank_ring"
            " (bank TEXT PRIMARY KEY, epoch INTEGER NOT NULL, rings TEXT NOT NULL)"
        )

    def read(self) -> RingInForce | None:
        """Return the ring in force, or None before the first was written."""
        sql = "SELECT epoch, rings FROM bank_ring WHERE bank = ?"
        row = self._connection.execute(sql, (self._bank,)).fetchone()
        if row is None:
            return None
        epoch, text = row
        if self._known is None or self._known[0] != text or self._known[1].epoch != epoch:
            ring, before = json.loads(text)
            in_force = RingInForce(
                epoch,
                from_json(ring),
                None if before is None else from_json(before),
            )
            self._known = (text, in_force)
        return self._known[1]

    def write(self, epoch: int, ring: Placing, before: Placing | None) -> bool:
        """Put a ring in force as `epoch`; False if that is not the next one."""
        text = json.dumps([ring.to_json(), None if before is None else before.to_json()])
        if epoch == 1:
            sql = "INSERT INTO bank_ring VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            done = self._connection.execute(sql, (self._bank, epoch, text))
        else:
            sql = "UPDATE bank_ring SET epoch = ?, rings = ? WHERE bank = ? AND epoch = ?"
            done = self._connection.execute(sql, (epoch, text, self._bank, epoch - 1))
        return done.rowcount == 1

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
