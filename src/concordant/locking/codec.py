"""A lock record as compact JSON text, for stores that keep it as one value."""

from __future__ import annotations

import json
from typing import Any

from concordant.locking.model import Holder, LockRecord, Tombstone, Waiter

_FORMAT = 1


def encode(record: LockRecord) -> str:
    """Return the record as JSON; `decode` gives the same record back."""
    rows: list[Any] = [
        _FORMAT,
        record.fence,
        record.capacity,
        [
            (h.owner, h.fence, h.permits, h.ttl_ms, h.expires_us, int(h.confirmed), h.note)
            for h in record.holders
        ],
        [(w.owner, w.permits, w.ttl_ms, w.expires_us, w.note) for w in record.waiters],
        [(t.owner, t.expires_us) for t in record.tombstones],
    ]
    return json.dumps(rows, separators=(",", ":"))


def decode(text: str) -> LockRecord:
    """Return the record that `encode` wrote; raises ValueError for another format."""
    rows = json.loads(text)
    if rows[0] != _FORMAT:
        raise ValueError(f"lock record of format {rows[0]}, this version reads {_FORMAT}")
    _, fence, capacity, holders, waiters, tombstones = rows
    return LockRecord(
        fence,
        capacity,
        tuple(Holder(o, f, p, t, e, bool(c), n) for o, f, p, t, e, c, n in holders),
        tuple(Waiter(*waiter) for waiter in waiters),
        tuple(Tombstone(*stone) for stone in tombstones),
    )
