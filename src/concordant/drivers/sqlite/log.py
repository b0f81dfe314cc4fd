"""A transaction log in a SQLite file of its own, every commit synced to the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.sqlite.boot import boot_id
from concordant.drivers.sqlite.database import Database, Schema
from concordant.drivers.sqlite.logtables import LOG_TABLES, SqliteRows
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.transactions.logcheck import check_size
from concordant.transactions.logmodel import decided_fresh, only_decides, only_reads, perform
from concordant.transactions.logrows import LogMoment
from concordant.transactions.names import new_log_id
from concordant.transactions.operations import (
    Decide,
    Finish,
    Finished,
    LogOperation,
    LogResult,
)

CAPABILITIES: Final = Capabilities(
    backend="sqlite",
    fencing=Fencing.SAME_TRANSACTION,
    survives_restart=True,
    across_processes=True,
    across_hosts=False,
    detects_dead_waiters=True,
    note="for the processes of one machine, on a local disk; every decision is synced",
)

_SCHEMA: Final = Schema("log", 1, LOG_TABLES, ids={"log.id": new_log_id})


class SqliteTransactionLog:
    """One process's handle on a log file; a batch is one transaction and one sync."""

    def __init__(
        self,
        options: SqliteOptions,
        clock: Clock = SYSTEM_CLOCK,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._clock = clock
        self._boot = boot
        self._database = Database(options.path, _SCHEMA, "LATE", options.wait_s)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        check_size(batch)
        if batch and only_decides(batch):
            return self._database.write(partial(self._decide, batch))
        access = self._database.read if only_reads(batch) else self._database.write
        return access(partial(self._perform, batch))

    def close(self) -> None:
        self._database.close()

    def _perform(
        self, batch: Sequence[LogOperation], connection: sqlite3.Connection
    ) -> list[LogResult]:
        moment = LogMoment(self._clock.local_ns() // 1000, self._clock.wall_us())
        rows = SqliteRows(connection, self._boot())
        return [perform(rows, operation, moment) for operation in batch]

    def _decide(
        self, batch: Sequence[LogOperation], connection: sqlite3.Connection
    ) -> list[LogResult]:
        """Do a batch of decisions in two statements: each one lets other threads in between."""
        moment = LogMoment(self._clock.local_ns() // 1000, self._clock.wall_us())
        decides = [each for each in batch if isinstance(each, Decide)]
        ends = [each.gid for each in batch if isinstance(each, Finish)]
        rows = SqliteRows(connection, self._boot())
        fresh = rows.insert_decisions(decides, moment)
        rows.finish_decisions(ends, moment.wall_us)
        return [
            decided_fresh(each)
            if isinstance(each, Decide) and each.gid in fresh
            else perform(rows, each, moment)
            if isinstance(each, Decide)
            else Finished()
            for each in batch
        ]
