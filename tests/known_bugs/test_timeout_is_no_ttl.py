"""How long one waits says nothing of how long one holds, and the other way round."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import pytest

from concordant import AsyncClient, Client, LockTimeout
from concordant.drivers import registry
from concordant.locking.operations import HolderView, Inspect, View


def holder(url: str, name: str) -> HolderView:
    """Return the one who holds the lock, as the store has it."""
    with closing(registry.lock_store(url)) as store:
        [view] = store.apply([Inspect(name)])
    assert isinstance(view, View)
    [only] = view.holders
    return only


@pytest.mark.parametrize("timeout_s", [0, 0.2, None])
def test_a_short_wait_makes_no_short_lease(lock_url: str, timeout_s: float | None) -> None:
    with Client(lock_url) as client:
        with client.lock("a", ttl_s=60, timeout_s=timeout_s) as lease:
            assert 30_000 < holder(lock_url, "a").remaining_ms <= 60_000
            assert lease.remaining_s > 30
            # Past the time to wait it is held as before.
            time.sleep(0.3)
            lease.check()
            assert holder(lock_url, "a").fence == lease.fence
        with client.locks(["b", "c"], ttl_s=60, timeout_s=timeout_s):
            assert 30_000 < holder(lock_url, "c").remaining_ms <= 60_000


def test_a_long_wait_makes_no_long_lease(lock_url: str) -> None:
    with Client(lock_url) as client, client.lock("a", ttl_s=5, timeout_s=100):
        assert 0 < holder(lock_url, "a").remaining_ms <= 5_000


def test_who_waited_has_a_whole_lease(lock_url: str) -> None:
    with Client(lock_url) as one, Client(lock_url) as other:
        held = one.lock("a").acquire()
        with pytest.raises(LockTimeout):
            other.lock("a", ttl_s=60).acquire(timeout_s=0.3)
        held.release()
        with other.lock("a", ttl_s=60, timeout_s=0.3) as lease:
            assert lease.remaining_s > 30
            assert 30_000 < holder(lock_url, "a").remaining_ms <= 60_000


async def test_the_same_of_tasks(lock_url: str) -> None:
    async with AsyncClient(lock_url) as client:
        async with client.lock("a", ttl_s=60, timeout_s=0.2) as lease:
            await asyncio.sleep(0.3)
            lease.check()
            assert 30_000 < holder(lock_url, "a").remaining_ms <= 60_000
        async with client.lock("a", ttl_s=5, timeout_s=100):
            assert 0 < holder(lock_url, "a").remaining_ms <= 5_000
