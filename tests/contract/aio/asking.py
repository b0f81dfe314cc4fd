"""Ask a store for one thing, and read the answer."""

from __future__ import annotations

from concordant.drivers.base import AsyncLockStore, AsyncTransactionLog
from concordant.locking.operations import (
    Acquire,
    Granted,
    Inspect,
    Operation,
    Queued,
    Result,
    View,
)
from concordant.transactions.operations import (
    Advance,
    Create,
    Decision,
    Listing,
    Load,
    LogOperation,
    LogResult,
    OpenOwner,
    OwnerOpened,
    Record,
    SagaState,
)

TTL_MS = 30_000


async def ask(store: AsyncLockStore, operation: Operation) -> Result:
    """Apply one lock operation and return its result."""
    [result] = await store.apply([operation])
    return result


async def tell(log: AsyncTransactionLog, operation: LogOperation) -> LogResult:
    """Apply one log operation and return its result."""
    [result] = await log.apply([operation])
    return result


async def grab(
    store: AsyncLockStore, name: str, owner: str, ttl_ms: int = TTL_MS, permits: int = 1
) -> int:
    """Acquire a free lock and return the fence; the capacity is the permits asked for."""
    result = await ask(store, Acquire(name, owner, ttl_ms, permits=permits, capacity=permits))
    assert isinstance(result, Granted), result
    return result.fence


async def queue(store: AsyncLockStore, name: str, owner: str, ttl_ms: int = TTL_MS) -> int:
    """Wait for a held mutex and return the position in its queue."""
    result = await ask(store, Acquire(name, owner, ttl_ms, wait=True))
    assert isinstance(result, Queued), result
    return result.position


async def look(store: AsyncLockStore, name: str) -> View:
    """Return how the lock stands."""
    result = await ask(store, Inspect(name))
    assert isinstance(result, View), result
    assert result.name == name
    return result


async def holders(store: AsyncLockStore, name: str) -> list[str]:
    """Return the owners that hold the lock, in order of their fences."""
    view = await look(store, name)
    return [h.owner for h in sorted(view.holders, key=lambda h: h.fence)]


async def waiters(store: AsyncLockStore, name: str) -> list[str]:
    """Return the owners in the lock's queue."""
    return [waiter.owner for waiter in (await look(store, name)).waiters]


async def enrol(log: AsyncTransactionLog, owner: str, ttl_ms: int = TTL_MS) -> OwnerOpened:
    """Open an owner and return its epoch in the log."""
    result = await tell(log, OpenOwner(owner, ttl_ms))
    assert isinstance(result, OwnerOpened), result
    return result


async def find(log: AsyncTransactionLog, gid: str) -> tuple[Decision | None, Record | None]:
    """Return the decision and the record of one gid, None for what is not there."""
    result = await tell(log, Load(gid))
    assert isinstance(result, Listing), result
    assert len(result.decisions) <= 1
    assert len(result.records) <= 1
    decision = result.decisions[0] if result.decisions else None
    return decision, result.records[0] if result.records else None


async def start(
    log: AsyncTransactionLog, gid: str, owner: str, epoch: int, payload: str = ""
) -> Record:
    """Create a saga and return its record."""
    result = await tell(log, Create(gid, "saga", "transfer@1", payload, owner, epoch))
    assert isinstance(result, Record), result
    return result


async def move(
    log: AsyncTransactionLog, record: Record, state: SagaState, due_in_ms: int = 0
) -> Record:
    """Advance a record as its owner does, and return it as it is now."""
    result = await tell(
        log,
        Advance(record.gid, record.version, record.owner, record.epoch, state, "", due_in_ms),
    )
    assert isinstance(result, Record), result
    return result
