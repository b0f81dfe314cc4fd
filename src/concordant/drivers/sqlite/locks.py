"""Locks in a SQLite file: each lock a row, each batch one write transaction."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers.capabilities import Capabilities, Fencing
from concordant.drivers.sqlite.boot import boot_id
from concordant.drivers.sqlite.database import Database, Schema
from concordant.drivers.sqlite.hints import Sender
from concordant.drivers.sqlite.listening import SocketStream
from concordant.drivers.sqlite.locktable import LOCK_TABLES, LockRows
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.errors import ConcordantError
from concordant.locking.batch import check_size, refusal, run
from concordant.locking.model import Moment
from concordant.locking.names import client_of
from concordant.locking.operations import Cancel, Hint, Inspect, Operation, Result

CAPABILITIES: Final = Capabilities(
    backend="sqlite",
    fencing=Fencing.SAME_TRANSACTION,
    survives_restart=True,
    across_processes=True,
    across_hosts=False,
    detects_dead_waiters=True,
    note="for the processes of one machine, on a local disk; a reboot ends every lease",
)

_SCHEMA: Final = Schema("locks", 1, LOCK_TABLES)

# Waiters of dead processes are passed over in so many rounds at most; what is left after
# that is repaired by the confirm bound.
_PASS_OVER_MAX: Final = 32


class SqliteLockStore:
    """One process's handle on a file of locks.

    Its time is the machine's boot clock. Records of an earlier boot keep their fence alone,
    since their clock has started anew.
    """

    def __init__(
        self,
        options: SqliteOptions,
        clock: Clock = SYSTEM_CLOCK,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._clock = clock
        self._boot = boot
        self._database = Database(options.path, _SCHEMA, "NORMAL", options.wait_s)
        self._sender = Sender(options.path)
        self._streams: weakref.WeakSet[SocketStream] = weakref.WeakSet()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        check_size(batch)
        if all(isinstance(operation, Inspect) for operation in batch):
            return self._database.read(partial(self._run, batch))[0]
        results, hints = self._database.write(partial(self._run, batch, writing=True))
        if hints:
            self._tell(hints)
        return results

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        return self._database.read(lambda opened: self._rows(opened).busy_names(after, limit))

    def hints(self, client: str) -> SocketStream:
        """Listen at the client's socket; a further stream of the client takes its place."""
        # The folder of sockets lies beside a file that is there and ours.
        self._database.read(lambda _: None)
        stream = SocketStream(self._database.path, client)
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        for stream in list(self._streams):
            stream.close()
        self._sender.close()
        self._database.close()

    def _rows(self, connection: sqlite3.Connection) -> LockRows:
        return LockRows(connection, self._boot(), self._clock.local_ns() // 1000)

    def _run(
        self, batch: Sequence[Operation], connection: sqlite3.Connection, writing: bool = False
    ) -> tuple[list[Result], list[Hint]]:
        refusals = [refusal(operation) for operation in batch]
        rows = self._rows(connection)
        names = {
            operation.name
            for operation, refused in zip(batch, refusals, strict=True)
            if refused is None
        }
        records = rows.load(names)
        before = dict(records)
        wall_us = self._clock.wall_us()
        # A name without a row may have had one, whose fence lives on in the floor.
        floor = wall_us if len(records) == len(names) else max(wall_us, rows.fence_floor())
        results, hints = run(records, batch, refusals, Moment(rows.now_us, floor))
        if writing:
            for name, record in records.items():
                if record is not before.get(name):
                    rows.store(name, record, new=name not in before)
            rows.sweep_now_and_then()
        return results, hints

    # --- hints ----------------------------------------------------------------------------

    def _tell(self, hints: list[Hint]) -> None:
        """Send hints; whoever turns out to be gone is passed over, and the next one told."""
        try:
            for _ in range(_PASS_OVER_MAX):
                gone = self._sender.send(hints)
                if not gone:
                    return
                hints = self._database.write(partial(self._pass_over, gone))
        except ConcordantError:
            # The batch itself is done. What was not told is found out by asking again.
            pass

    def _pass_over(self, gone: list[Hint], connection: sqlite3.Connection) -> list[Hint]:
        """Cancel grants that nobody confirmed, and the dead clients' places behind them."""
        dead = {client_of(hint.owner) for hint in gone}
        names = {hint.name for hint in gone}
        cancels: list[Operation] = []
        for name, record in self._rows(connection).load(names).items():
            # Only what is unconfirmed: a grant that was confirmed meanwhile has a living owner.
            owners = [holder.owner for holder in record.holders if not holder.confirmed]
            owners += [waiter.owner for waiter in record.waiters]
            cancels += [Cancel(name, owner) for owner in owners if client_of(owner) in dead]
        return self._run(cancels, connection, writing=True)[1]
