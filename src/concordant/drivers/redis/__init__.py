"""A Redis server as backend: locks, and guards for what is written to Redis."""

from __future__ import annotations

from concordant.drivers.redis.locks import AsyncRedisLockStore, RedisLockStore
from concordant.drivers.redis.options import RedisOptions


def lock_store(url: str) -> RedisLockStore:
    """Return the lock store on the server, not yet connected."""
    return RedisLockStore(RedisOptions.parse(url))


def async_lock_store(url: str) -> AsyncRedisLockStore:
    """Return the lock store on the server, not yet connected, for tasks."""
    return AsyncRedisLockStore(RedisOptions.parse(url))
