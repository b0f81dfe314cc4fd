"""A transaction log's rows as plain values, and what keeps them.

Two clocks: `*_at_us` is wall time and gives ages, `expires_us` and `due_us` are the store's
own clock, which never runs backwards while the machine is up. A store that outlives the
machine gives back 0 for the latter two when they were written before the last boot: leases
of then are over, and what waited is due.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from concordant.transactions.operations import BranchRef, Outcome, SagaState


@dataclass(frozen=True, slots=True)
class LogMoment:
    """When a batch happens, by the store's own clock and by the wall clock."""

    now_us: int
    wall_us: int


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """One coordinator process: its epoch and the lease of it."""

    owner: str
    epoch: int
    expires_us: int
    note: str
    changed_at_us: int


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One decision of a two-phase commit."""

    gid: str
    outcome: Outcome
    owner: str
    epoch: int
    branches: tuple[BranchRef, ...]
    state: Literal["deciding", "finished", "heuristic"]
    evidence: str
    created_at_us: int
    changed_at_us: int


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One saga or message."""

    gid: str
    kind: str
    definition: str
    payload: str
    state: SagaState
    data: str
    version: int
    owner: str
    epoch: int
    due_us: int
    evidence: str
    created_at_us: int
    changed_at_us: int


class LogRows(Protocol):
    """Where the rows are, inside one transaction; what a driver has to supply."""

    @property
    def log_id(self) -> str:
        """The log's own random id, made with it."""
        ...

    def owner(self, owner: str) -> OwnerRow | None:
        """Return an owner's row."""
        ...

    def put_owner(self, row: OwnerRow) -> None:
        """Insert or replace an owner's row."""
        ...

    def decision(self, gid: str) -> DecisionRow | None:
        """Return a decision."""
        ...

    def put_decision(self, row: DecisionRow) -> None:
        """Insert or replace a decision."""
        ...

    def record(self, gid: str) -> RecordRow | None:
        """Return a saga or message."""
        ...

    def put_record(self, row: RecordRow) -> None:
        """Insert or replace a saga or message."""
        ...

    def due_records(self, now_us: int) -> Iterable[RecordRow]:
        """Return the running and aborting records that are due, in order of gid."""
        ...

    def list_decisions(self, after: str, unfinished: bool, limit: int) -> list[DecisionRow]:
        """Return decisions past a gid, in order; `unfinished`: all but the finished."""
        ...

    def list_records(self, after: str, unfinished: bool, limit: int) -> list[RecordRow]:
        """Return records past a gid, in order; `unfinished`: all but the final."""
        ...

    def purge(self, before_us: int, owners_us: int, now_us: int) -> int:
        """Delete finished decisions and final records not changed after `before_us`.

        Also owners whose lease is over, not changed after `owners_us`, and named by no row
        that is left. Returns how many decisions and records were deleted.
        """
        ...
