"""Stores in this process's memory: memory://NAME is one store for all who name it.

Nothing is kept past the last user's `close`. For tests, and for programs of one process that
want to grow out of it later by changing a URL.
"""

from __future__ import annotations

from concordant.drivers.memory.locks import AsyncMemoryLockStore, MemoryLockStore
from concordant.drivers.memory.log import AsyncMemoryTransactionLog, MemoryTransactionLog


def lock_store(url: str) -> MemoryLockStore:
    """Return a handle on the named lock store."""
    return MemoryLockStore.open(url)


def async_lock_store(url: str) -> AsyncMemoryLockStore:
    """Return a handle on the named lock store, for tasks."""
    return AsyncMemoryLockStore(MemoryLockStore.open(url))


def transaction_log(url: str) -> MemoryTransactionLog:
    """Return a handle on the named transaction log."""
    return MemoryTransactionLog.open(url)


def async_transaction_log(url: str) -> AsyncMemoryTransactionLog:
    """Return a handle on the named transaction log, for tasks."""
    return AsyncMemoryTransactionLog(MemoryTransactionLog.open(url))
