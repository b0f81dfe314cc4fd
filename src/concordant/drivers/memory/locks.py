"""Locks inside this process: the pure lock model behind a mutex."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from typing import Final

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.memory.hints import Stream, Streams
from concordant.drivers.memory.shared import Shared, name_of
from concordant.errors import UsageError
from concordant.locking.batch import check_size, horizons_us, refusal, run
from concordant.locking.model import LockRecord, Moment
from concordant.locking.operations import Operation, Result

CAPABILITIES: Final = Capabilities(
    backend="memory",
    fencing=Fencing.FENCED,
    survives_restart=False,
    across_processes=False,
    across_hosts=False,
    detects_dead_waiters=False,
    note="seen by this one process alone and gone with it; for tests and single processes",
)

# Idle locks are forgotten in bulk, when so many new names came that it pays.
_SWEEP_MIN: Final = 1024


class LockTable:
    """The records of one named store, and who listens."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.streams = Streams()
        self._clock = clock
        self._mutex = threading.Lock()
        self._records: dict[str, LockRecord] = {}
        # The lowest fence that no forgotten lock can have given.
        self._fence_floor = 0
        self._sweep_at = _SWEEP_MIN

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply a batch, then hand out its hints."""
        refusals = [refusal(operation) for operation in batch]
        with self._mutex:
            if len(self._records) >= self._sweep_at:
                self._sweep()
            results, hints = run(self._records, batch, refusals, self._moment())
        self.streams.send(hints)
        return results

    def names(self, after: str, limit: int) -> list[str]:
        """Return what is held or waited for, in order."""
        with self._mutex:
            now_us = self._moment().now_us
            busy = [
                name
                for name, record in self._records.items()
                if name > after and horizons_us(record)[0] > now_us
            ]
        return sorted(busy)[: max(0, limit)]

    def _moment(self) -> Moment:
        return Moment(self._clock.local_ns() // 1000, max(self._clock.wall_us(), self._fence_floor))

    def _sweep(self) -> None:
        now_us = self._moment().now_us
        idle = [name for name, record in self._records.items() if horizons_us(record)[1] <= now_us]
        for name in idle:
            self._fence_floor = max(self._fence_floor, self._records[name].fence + 1)
            del self._records[name]
        self._sweep_at = max(_SWEEP_MIN, 2 * len(self._records))


_tables: Final[Shared[LockTable]] = Shared(LockTable)


class MemoryLockStore:
    """One user's handle on a named table, which lives as long as anybody holds one."""

    def __init__(self, table: LockTable) -> None:
        self._table: LockTable | None = table
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._pid = os.getpid()

    @classmethod
    def open(cls, url: str) -> MemoryLockStore:
        """Return a handle on the table that the URL names."""
        return cls(_tables.get(name_of(url)))

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        table = self._usable()
        check_size(batch)
        return table.apply(batch)

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        return self._usable().names(after, limit)

    def hints(self, client: str) -> Stream:
        """Start to listen; every stream of a client receives all of its hints."""
        stream = self._usable().streams.open(client)
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        self._table = None
        for stream in list(self._streams):
            stream.close()

    def _usable(self) -> LockTable:
        if self._pid != os.getpid():
            raise UsageError("a memory:// store is not shared with a forked child; use sqlite://")
        if self._table is None:
            raise UsageError("this memory:// store was closed; open it anew")
        return self._table


class AsyncMemoryLockStore:
    """The same, for tasks: nothing blocks here, so it calls straight through."""

    def __init__(self, store: MemoryLockStore) -> None:
        self._store = store

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        return self._store.apply(batch)

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        return self._store.names(after, limit)

    async def aclose(self) -> None:
        self._store.close()
