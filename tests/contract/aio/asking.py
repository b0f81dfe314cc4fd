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
from concordant.transactions.operations import LogOperation, LogResult

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
