"""The lock, as one pure function: `decide(record, operation, moment)`.

A lock has `capacity` permits. A mutex is one permit, a semaphore n; a reader takes one and a
writer all, so this one model serves all three. Its record holds

* the last fence given, which only rises;
* the holders, each with permits, a fence and an expiry; a grant that was handed over while
  its owner was not asking is *unconfirmed* and expires soon unless confirmed;
* the waiters in FIFO order, each with an expiry that asking again moves on;
* tombstones of cancelled owners whose request may still arrive.

Every operation runs four steps: drop what has expired, grant to the head of the queue what
is free, do the operation, grant again. So whatever anybody asks repairs the lock first, and
nothing ever waits for a process that is gone longer than its own expiry says.

Invariants: permits held never exceed the capacity; a fence is given once; nobody is granted
past an earlier waiter; an owner is at most one of holder, waiter, tombstone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from concordant.errors import UsageError
from concordant.locking import limits
from concordant.locking.names import client_of
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Handed,
    Held,
    Hint,
    HolderView,
    Inspect,
    Lost,
    Operation,
    Queued,
    Refused,
    Release,
    Released,
    Renew,
    Result,
    View,
    WaiterView,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When an operation happens, by the store's own clocks.

    `now_us` measures expiry and never runs backwards within a store's life. `fence_floor`
    is the wall clock in microseconds: a fence is at least that, so that a lost counter does
    no harm while clocks are sane.
    """

    now_us: int
    fence_floor: int


@dataclass(frozen=True, slots=True)
class Holder:
    """One grant."""

    owner: str
    fence: int
    permits: int
    ttl_ms: int
    expires_us: int
    confirmed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Waiter:
    """One place in the queue."""

    owner: str
    permits: int
    ttl_ms: int
    expires_us: int
    note: str


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A cancelled owner whose Acquire must be refused if it still arrives."""

    owner: str
    expires_us: int


@dataclass(frozen=True, slots=True)
class LockRecord:
    """All that a store keeps of one lock."""

    fence: int = 0
    capacity: int = 1
    holders: tuple[Holder, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether only the fence is left to remember."""
        return not (self.holders or self.waiters or self.tombstones)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operation led to: the new record, the reply, and whom to tell."""

    record: LockRecord
    result: Result
    hints: tuple[Hint, ...] = ()


# A tuple, since a union is made anew each time that it is written down in an expression.
_WITH_TTL = (Acquire, Confirm, Renew)


def validate(operation: Operation) -> None:
    """Raise UsageError if the operation is malformed; called before anything is applied."""
    if isinstance(operation, _WITH_TTL) and not (
        limits.TTL_MIN_MS <= operation.ttl_ms <= limits.TTL_MAX_MS
    ):
        raise UsageError(
            f"a lease's TTL is {limits.TTL_MIN_MS / 1000} s to {limits.TTL_MAX_MS // 1000} s, "
            f"not {operation.ttl_ms / 1000} s"
        )
    if isinstance(operation, Acquire):
        if not 1 <= operation.permits <= operation.capacity <= limits.CAPACITY_MAX:
            raise UsageError(
                f"permits are 1 to the capacity, the capacity at most {limits.CAPACITY_MAX}: "
                f"got {operation.permits} of {operation.capacity}"
            )
        if operation.note and len(operation.note.encode(errors="replace")) > limits.NOTE_BYTES_MAX:
            raise UsageError(f"a note has at most {limits.NOTE_BYTES_MAX} bytes")


def decide(record: LockRecord, operation: Operation, moment: Moment) -> Decision:
    """Apply one operation to one lock's record at one moment.

    Returns the new record, the result for the caller, and hints to send to the clients of
    owners that were granted meanwhile. Pure: the same arguments give the same answer.
    """
    if isinstance(operation, Inspect):
        return Decision(record, view(operation.name, _purge(record, moment), moment))
    record, first = _promote(_purge(record, moment), moment)
    record, result = _act(record, operation, moment)
    record, second = _promote(record, moment)
    granted = first + second
    if isinstance(operation, Acquire) and isinstance(result, Granted):
        # The asker learns of its grant from this reply and needs no hint.
        granted = tuple(holder for holder in granted if holder.owner != operation.owner)
    if isinstance(operation, Release) and isinstance(result, Released):
        record, result, granted = _hand_over_inside(record, operation, second, granted, moment)
    hints = tuple(Hint(operation.name, holder.owner, holder.fence) for holder in granted)
    return Decision(record, result, hints)


def view(name: str, record: LockRecord, moment: Moment) -> View:
    """Return what an onlooker may know of a record that has been purged."""
    return View(
        name,
        record.fence,
        record.capacity,
        tuple(
            HolderView(
                holder.owner,
                holder.fence,
                holder.permits,
                _ms_until(holder.expires_us, moment),
                holder.confirmed,
                holder.note,
            )
            for holder in record.holders
        ),
        tuple(WaiterView(waiter.owner, waiter.permits, waiter.note) for waiter in record.waiters),
    )


def _purge(record: LockRecord, moment: Moment) -> LockRecord:
    now = moment.now_us
    if (
        all(holder.expires_us > now for holder in record.holders)
        and all(waiter.expires_us > now for waiter in record.waiters)
        and all(stone.expires_us > now for stone in record.tombstones)
    ):
        return record
    return replace(
        record,
        holders=tuple(holder for holder in record.holders if holder.expires_us > now),
        waiters=tuple(waiter for waiter in record.waiters if waiter.expires_us > now),
        tombstones=tuple(stone for stone in record.tombstones if stone.expires_us > now),
    )


def _free(record: LockRecord) -> int:
    return record.capacity - sum(holder.permits for holder in record.holders)


def _promote(record: LockRecord, moment: Moment) -> tuple[LockRecord, tuple[Holder, ...]]:
    """Grant to waiters from the head while their permits are free; never past a waiter."""
    granted: list[Holder] = []
    waiters = record.waiters
    free = _free(record)
    fence = record.fence
    while waiters and waiters[0].permits <= free:
        head, waiters = waiters[0], waiters[1:]
        fence = max(fence + 1, moment.fence_floor)
        free -= head.permits
        expires_us = moment.now_us + limits.CONFIRM_MS * 1000
        granted.append(
            Holder(head.owner, fence, head.permits, head.ttl_ms, expires_us, False, head.note)
        )
    if not granted:
        return record, ()
    holders = record.holders + tuple(granted)
    return replace(record, fence=fence, holders=holders, waiters=waiters), tuple(granted)


def _act(record: LockRecord, operation: Operation, moment: Moment) -> tuple[LockRecord, Result]:
    match operation:
        case Acquire():
            return _acquire(record, operation, moment)
        case Confirm() | Renew():
            return _extend(record, operation.owner, operation.fence, operation.ttl_ms, moment)
        case Release():
            kept = tuple(
                holder
                for holder in record.holders
                if (holder.owner, holder.fence) != (operation.owner, operation.fence)
            )
            if len(kept) == len(record.holders):
                return record, Lost()
            return replace(record, holders=kept), Released()
        case Cancel():
            return _cancel(record, operation, moment)
        case Break():
            kept = tuple(
                holder
                for holder in record.holders
                if operation.fence and holder.fence != operation.fence
            )
            return replace(record, holders=kept), Broken(len(record.holders) - len(kept))
        case Inspect():  # pragma: no cover - answered by decide
            return record, view(operation.name, record, moment)


def _acquire(record: LockRecord, operation: Acquire, moment: Moment) -> tuple[LockRecord, Result]:
    owner = operation.owner
    if any(stone.owner == owner for stone in record.tombstones):
        return record, Refused("cancelled")
    for holder in record.holders:
        if holder.owner == owner:
            record, _ = _extend(record, owner, holder.fence, operation.ttl_ms, moment)
            return record, Granted(holder.fence)
    if record.capacity != operation.capacity:
        if record.holders or record.waiters:
            return record, Refused(f"capacity is {record.capacity}")
        record = replace(record, capacity=operation.capacity)
    place = next((i for i, waiter in enumerate(record.waiters) if waiter.owner == owner), None)
    if place is None and not record.waiters and operation.permits <= _free(record):
        return _grant(record, operation, moment)
    if not operation.wait:
        kept = tuple(waiter for waiter in record.waiters if waiter.owner != owner)
        return replace(record, waiters=kept), Busy(_retry_ms(record, 0, moment))
    expires_us = moment.now_us + limits.WAITER_MS * 1000
    asking = Waiter(owner, operation.permits, operation.ttl_ms, expires_us, operation.note)
    if place is None:
        place = len(record.waiters)
    waiters = (*record.waiters[:place], asking, *record.waiters[place + 1 :])
    record = replace(record, waiters=waiters)
    return record, Queued(place, _retry_ms(record, place, moment))


def _grant(record: LockRecord, operation: Acquire, moment: Moment) -> tuple[LockRecord, Result]:
    fence = max(record.fence + 1, moment.fence_floor)
    holder = Holder(
        operation.owner,
        fence,
        operation.permits,
        operation.ttl_ms,
        moment.now_us + operation.ttl_ms * 1000,
        True,
        operation.note,
    )
    return replace(record, fence=fence, holders=(*record.holders, holder)), Granted(fence)


def _extend(
    record: LockRecord, owner: str, fence: int, ttl_ms: int, moment: Moment
) -> tuple[LockRecord, Result]:
    """Give a holder a full TTL from now, which also confirms it."""
    for index, holder in enumerate(record.holders):
        if holder.owner == owner and holder.fence == fence:
            fresh = replace(
                holder,
                ttl_ms=ttl_ms,
                expires_us=moment.now_us + ttl_ms * 1000,
                confirmed=True,
            )
            holders = (*record.holders[:index], fresh, *record.holders[index + 1 :])
            return replace(record, holders=holders), Held()
    return record, Lost()


def _cancel(record: LockRecord, operation: Cancel, moment: Moment) -> tuple[LockRecord, Result]:
    owner = operation.owner
    holders = tuple(holder for holder in record.holders if holder.owner != owner)
    waiters = tuple(waiter for waiter in record.waiters if waiter.owner != owner)
    was = "absent"
    if len(holders) < len(record.holders):
        was = "holder"
    elif len(waiters) < len(record.waiters):
        was = "waiter"
    tombstones = record.tombstones
    if operation.late and all(stone.owner != owner for stone in tombstones):
        expires_us = moment.now_us + limits.TOMBSTONE_MS * 1000
        tombstones = (*tombstones, Tombstone(owner, expires_us))[-limits.TOMBSTONES_MAX :]
    record = replace(record, holders=holders, waiters=waiters, tombstones=tombstones)
    return record, Cancelled(was)


def _hand_over_inside(
    record: LockRecord,
    operation: Release,
    second: tuple[Holder, ...],
    granted: tuple[Holder, ...],
    moment: Moment,
) -> tuple[LockRecord, Released, tuple[Holder, ...]]:
    """Confirm at once what passed to the releaser's own client: its reply carries the news."""
    client = client_of(operation.owner)
    inside = tuple(holder for holder in second if client_of(holder.owner) == client)
    for holder in inside:
        record, _ = _extend(record, holder.owner, holder.fence, holder.ttl_ms, moment)
    handed = tuple(Handed(holder.owner, holder.fence) for holder in inside)
    outside = tuple(holder for holder in granted if holder not in inside)
    return record, Released(handed), outside


def _retry_ms(record: LockRecord, position: int, moment: Moment) -> int:
    """Say when to ask again: at the next expiry or a step that grows with the position."""
    step = min(limits.RETRY_STEP_MS * (position + 1), limits.RETRY_MAX_MS)
    expiries = [_ms_until(holder.expires_us, moment) for holder in record.holders]
    return max(1, min([step, *expiries]))


def _ms_until(expires_us: int, moment: Moment) -> int:
    # Rounded up: whoever waits this long finds it expired.
    return max(0, -((moment.now_us - expires_us) // 1000))
