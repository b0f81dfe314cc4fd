"""The ring in force, one row in the coordination store, with the epoch it came with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from concordant.bank.placing import Placing, from_json
from concordant.bank.plain import Redis, Sql, connect, is_redis


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


# Sets the next epoch if the one before it stands.
_REDIS_WRITE: Final = """
local row = redis.call('GET', KEYS[1])
local epoch = row and tonumber(string.match(row, '^%d+')) or 0
if epoch + 1 ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
return 1"""


class _SqlRow:
    """The row in a table of its own."""

    def __init__(self, url: str, bank: str) -> None:
        self._url = url
        self._bank = bank
        self._open = Sql(connect(url))

    @property
    def _sql(self) -> Sql:
        """The connection, a new one if it broke: each statement here stands alone."""
        if self._open.broken:
            self._open = Sql(connect(self._url))
        return self._open

    def prepare(self) -> None:
        self._sql.create(
            "CREATE TABLE IF NOT EXISTS bank_ring"
            " (bank {text} PRIMARY KEY, epoch {int} NOT NULL, rings {text} NOT NULL)"
        )

    def read(self) -> tuple[int, str] | None:
        rows = self._sql.rows("SELECT epoch, rings FROM bank_ring WHERE bank = ?", self._bank)
        return (rows[0][0], rows[0][1]) if rows else None

    def write(self, epoch: int, text: str) -> bool:
        if epoch == 1:
            sql = "INSERT INTO bank_ring VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            done = self._sql.execute(sql, self._bank, epoch, text)
        else:
            sql = "UPDATE bank_ring SET epoch = ?, rings = ? WHERE bank = ? AND epoch = ?"
            done = self._sql.execute(sql, epoch, text, self._bank, epoch - 1)
        return bool(done.rowcount == 1)

    def close(self) -> None:
        self._open.connection.close()


class _RedisRow:
    """The row as one value."""

    def __init__(self, url: str, bank: str) -> None:
        self._redis = Redis(url)
        self._key = f"bank_ring:{bank}"

    def prepare(self) -> None:
        """Nothing has to be made."""

    def read(self) -> tuple[int, str] | None:
        row = self._redis.get(self._key)
        if row is None:
            return None
        epoch, _, text = row.partition(" ")
        return int(epoch), text

    def write(self, epoch: int, text: str) -> bool:
        return bool(self._redis.eval(_REDIS_WRITE, self._key, str(epoch), text))

    def close(self) -> None:
        self._redis.close()


class RingRow:
    """Reads and writes that row; each write needs the epoch it replaces."""

    def __init__(self, url: str, bank: str) -> None:
        self._row = _RedisRow(url, bank) if is_redis(url) else _SqlRow(url, bank)
        self._known: tuple[int, str, RingInForce] | None = None

    def prepare(self) -> None:
        """Make what the row needs, unless it is there."""
        self._row.prepare()

    def read(self) -> RingInForce | None:
        """Return the ring in force, or None before the first was written."""
        row = self._row.read()
        if row is None:
            return None
        if self._known is None or self._known[:2] != row:
            epoch, text = row
            ring, before = json.loads(text)
            former = None if before is None else from_json(before)
            self._known = (epoch, text, RingInForce(epoch, from_json(ring), former))
        return self._known[2]

    def write(self, epoch: int, ring: Placing, before: Placing | None) -> bool:
        """Put a ring in force as `epoch`; False if that is not the next one."""
        text = json.dumps([ring.to_json(), None if before is None else before.to_json()])
        return self._row.write(epoch, text)

    def close(self) -> None:
        """Close the connection."""
        self._row.close()
