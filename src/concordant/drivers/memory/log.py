"""A transaction log inside this process: dictionaries behind a mutex."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.memory.shared import Shared, name_of
from concordant.errors import UsageError
from concordant.transactions.logcheck import check_size
from concordant.transactions.logmodel import perform
from concordant.transactions.logrows import DecisionRow, LogMoment, OwnerRow, RecordRow
from concordant.transactions.names import new_log_id
from concordant.transactions.operations import LogOperation, LogResult, final

CAPABILITIES: Final = Capabilities(
    backend="memory",
    fencing=Fencing.FENCED,
    survives_restart=False,
    across_processes=False,
    across_hosts=False,
    detects_dead_waiters=False,
    note="decisions are gone with this process: for tests alone",
)


class Rows:
    """The rows of one named log, each table a dictionary; see LogRows for the contracts."""

    def __init__(self) -> None:
        self.log_id = new_log_id()
        self._owners: dict[str, OwnerRow] = {}
        self._decisions: dict[str, DecisionRow] = {}
        self._records: dict[str, RecordRow] = {}

    def owner(self, owner: str) -> OwnerRow | None:
        return self._owners.get(owner)

    def put_owner(self, row: OwnerRow) -> None:
        self._owners[row.owner] = row

    def decision(self, gid: str) -> DecisionRow | None:
        return self._decisions.get(gid)

    def put_decision(self, row: DecisionRow) -> None:
        self._decisions[row.gid] = row

    def record(self, gid: str) -> RecordRow | None:
        return self._records.get(gid)

    def put_record(self, row: RecordRow) -> None:
        self._records[row.gid] = row

    def due_records(self, now_us: int) -> Iterable[RecordRow]:
        return sorted(
            (
                row
                for row in self._records.values()
                if row.state in ("running", "aborting") and row.due_us <= now_us
            ),
            key=lambda row: row.gid,
        )

    def list_decisions(self, after: str, unfinished: bool, limit: int) -> list[DecisionRow]:
        found = (
            row
            for row in self._decisions.values()
            if row.gid > after and not (unfinished and row.state == "finished")
        )
        return sorted(found, key=lambda row: row.gid)[:limit]

    def list_records(self, after: str, unfinished: bool, limit: int) -> list[RecordRow]:
        found = (
            row
            for row in self._records.values()
            if row.gid > after and not (unfinished and final(row.state))
        )
        return sorted(found, key=lambda row: row.gid)[:limit]

    def purge(self, before_us: int, owners_us: int, now_us: int) -> int:
        decisions = {
            gid: row
            for gid, row in self._decisions.items()
            if row.state != "finished" or row.changed_at_us > before_us
        }
        records = {
            gid: row
            for gid, row in self._records.items()
            if not final(row.state) or row.changed_at_us > before_us
        }
        gone = len(self._decisions) - len(decisions) + len(self._records) - len(records)
        self._decisions, self._records = decisions, records
        named = {row.owner for row in decisions.values()}
        named |= {row.owner for row in records.values()}
        self._owners = {
            owner: row
            for owner, row in self._owners.items()
            if row.expires_us > now_us or row.changed_at_us > owners_us or owner in named
        }
        return gone


class LogTable:
    """One named log: its rows, its clock and its mutex."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._rows = Rows()

    def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        """Do the whole batch at one moment."""
        with self._mutex:
            moment = LogMoment(self._clock.local_ns() // 1000, self._clock.wall_us())
            return [perform(self._rows, operation, moment) for operation in batch]


_tables: Final[Shared[LogTable]] = Shared(LogTable)


class MemoryTransactionLog:
    """One user's handle on a named log, which lives as long as anybody holds one."""

    def __init__(self, table: LogTable) -> None:
        self._table: LogTable | None = table
        self._pid = os.getpid()

    @classmethod
    def open(cls, url: str) -> MemoryTransactionLog:
        """Return a handle on the log that the URL names."""
        return cls(_tables.get(name_of(url)))

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        if self._pid != os.getpid():
            raise UsageError("a memory:// log is not shared with a forked child; use sqlite://")
        if self._table is None:
            raise UsageError("this memory:// log was closed; open it anew")
        check_size(batch)
        return self._table.apply(batch)

    def close(self) -> None:
        self._table = None


class AsyncMemoryTransactionLog:
    """The same, for tasks: nothing blocks here, so it calls straight through."""

    def __init__(self, log: MemoryTransactionLog) -> None:
        self._log = log

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        return self._log.apply(batch)

    async def aclose(self) -> None:
        self._log.close()
