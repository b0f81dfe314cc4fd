"""Leases that are lost: whoever holds one learns of it in time, and by every way there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import AsyncClient, LockLost
from concordant.aio.lease import AsyncLease
from concordant.drivers.urls import mask
from concordant.locking.operations import Acquire, Confirm, Release, Renew
from tests.provision.bridge import async_sleep
from tests.surface.aio.standing import holders, until_waiting
from tests.surface.choice import on_memory
from tests.surface.faults import Faults
from tests.surface.together import AsyncBackground, async_eventually

# For leases that are to be lost.
TTL_S = 0.5
# For leases that are to be kept, on a busy machine too.
KEPT_TTL_S = 1.5


class News:
    """What a callback was told, and when."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def __call__(self) -> None:
        """Take the news."""
        self.told.append(time.monotonic())

    async def came(self) -> bool:
        """Tell whether there was any."""
        return bool(self.told)


async def test_a_lease_is_kept_while_its_holder_lives(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    news = News()
    async with client.lock("a", ttl_s=KEPT_TTL_S) as lease:
        lease.on_lost(news)
        for _ in range(6):
            await async_sleep(KEPT_TTL_S / 4)
            lease.check()
            assert lease.remaining_s > 0
        [holder] = (await open_client().inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    await async_sleep(0.1)
    assert news.told == []


async def test_a_lease_that_was_broken_is_lost(
    client: AsyncClient, open_client: Callable[[], AsyncClient], lock_url: str
) -> None:
    news = News()
    lease = await client.lock("a", ttl_s=TTL_S).acquire()
    lease.on_lost(news)
    assert await open_client().break_lock("a") == 1
    await async_eventually(news.came)
    assert lease.lost
    assert lease.remaining_s == 0
    assert "lost" in repr(lease)
    with pytest.raises(LockLost, match="'a'"):
        lease.check()
    with pytest.raises(LockLost, match="broken") as raised:
        await lease.release()
    said = str(raised.value)
    assert said.startswith(f"the lease on 'a' at {mask(lock_url)} (fence {lease.fence}) is over: ")
    assert said.endswith("stop acting as its holder")
    await async_sleep(TTL_S)
    assert len(news.told) == 1


@pytest.mark.parametrize("how", ["refused", "hung", "late"])
async def test_a_lease_that_cannot_be_renewed_is_lost_in_time(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults, how: str
) -> None:
    news = News()
    faults.on(how, Renew, times=1000)
    lease = await faulty_client.lock("a", ttl_s=TTL_S).acquire()
    begun = time.monotonic()
    lease.on_lost(news)
    # A store that hangs never answers while this waits: the news must not depend on it.
    await async_eventually(news.came)
    assert lease.lost
    # By its own clock first, then by the store's.
    async with client.lock("a", timeout_s=10) as second:
        assert second.fence > lease.fence
        assert news.told[0] <= time.monotonic()
    assert news.told[0] - begun < 4 * TTL_S
    faults.end()
    with pytest.raises(LockLost):
        await lease.release()
    assert len(news.told) == 1


@on_memory
async def test_renewals_that_fail_for_a_while_lose_nothing(
    faulty_client: AsyncClient, faults: Faults
) -> None:
    refused = faults.on("refused", Renew, times=2)
    async with faulty_client.lock("a", ttl_s=0.6) as lease:
        while refused.hits < 2:
            await async_sleep(0.01)
        lost = faults.on("lost", Renew, times=2)
        while lost.hits < 2:
            await async_sleep(0.01)
        await async_sleep(0.6)
        lease.check()
        assert await holders(faulty_client, "a") == [lease.owner]


async def test_a_body_whose_lease_was_lost_ends_with_it(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()

    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S) as lease:
            await other.break_lock("a")
            while not lease.lost:
                await async_sleep(0.01)

    with pytest.raises(LockLost, match="'a'"):
        await body()
    async with other.lock("a", timeout_s=0):
        pass


@on_memory
async def test_what_the_body_raises_goes_before_the_loss(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()

    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S) as lease:
            await other.break_lock("a")
            try:
                while not lease.lost:
                    await async_sleep(0.01)
            finally:
                raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        await body()


async def test_a_loss_that_nobody_noticed_shows_at_the_exit(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()

    async def body() -> None:
        async with client.lock("a", ttl_s=30) as lease:
            await other.break_lock("a")
            assert not lease.lost

    with pytest.raises(LockLost):
        await body()
    with pytest.raises(LockLost, match="'b'"):
        async with client.locks(["a", "b", "c"]):
            await other.break_lock("b")
    assert await client.names() == []


@on_memory
async def test_a_reentrant_lock_is_not_entered_again_when_lost(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()
    lock = client.lock("a", ttl_s=TTL_S, reentrant=True)
    inside = False

    async def body() -> None:
        nonlocal inside
        async with lock as lease:
            await other.break_lock("a")
            time.sleep(TTL_S)
            assert lease.lost
            async with lock:
                inside = True

    with pytest.raises(LockLost):
        await body()
    assert not inside
    async with lock as again:
        again.check()


@on_memory
async def test_who_asks_after_the_loss_is_told_at_once(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    first, second = News(), News()
    lease = await client.lock("a", ttl_s=TTL_S).acquire()
    lease.on_lost(first)
    await open_client().break_lock("a")
    await async_eventually(first.came)
    lease.on_lost(second)
    assert len(second.told) == 1


@on_memory
async def test_a_callback_that_fails_or_blocks_hurts_no_other_lease(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    blocked, released = threading.Event(), threading.Event()
    news = News()

    def fail() -> None:
        raise RuntimeError("of the callback")

    def block() -> None:
        blocked.set()
        released.wait(20)

    doomed = await client.lock("a", ttl_s=TTL_S).acquire()
    doomed.on_lost(fail)
    doomed.on_lost(news)
    doomed.on_lost(block)
    async with client.lock("b", ttl_s=KEPT_TTL_S) as lease:
        await open_client().break_lock("a")
        while not blocked.is_set():
            await async_sleep(0.01)
        await async_sleep(1.5 * KEPT_TTL_S)
        lease.check()
        assert len(news.told) == 1
        released.set()
    with pytest.raises(LockLost):
        await doomed.release()


async def own_deadline_is_not_later(client: AsyncClient, lease: AsyncLease) -> None:
    """See that the lease ends by its holder's clock before it does by the store's."""
    begun, remaining_s = time.monotonic(), lease.remaining_s
    [holder] = (await client.inspect("a")).holders
    assert holder.confirmed
    # What the store says may be as old as the request that asked for it.
    assert remaining_s - (time.monotonic() - begun) <= holder.remaining_ms / 1000


# For how long a reply is held back, by which the holder's end would be too late.
SLOW_S = 0.3


async def test_the_deadline_counts_from_before_the_request(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    slow = faults.on("slow", Acquire)
    acquiring = AsyncBackground(faulty_client.lock("a", ttl_s=2).acquire)
    await async_sleep(SLOW_S)
    slow.end()
    lease = await acquiring.result()
    await own_deadline_is_not_later(client, lease)
    slow = faults.on("slow", Renew)
    while slow.hits == 0:
        await async_sleep(0.01)
    await async_sleep(SLOW_S)
    before_s = lease.remaining_s
    slow.end()
    while lease.remaining_s <= before_s:
        await async_sleep(0.001)
    await own_deadline_is_not_later(client, lease)
    await lease.release()


async def test_the_deadline_of_a_grant_that_was_handed_over_is_not_later(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    first = await client.lock("a").acquire()
    waiting = AsyncBackground(faulty_client.lock("a", ttl_s=2).acquire)
    await until_waiting(client, "a", 1)
    slow = faults.on("slow", Confirm)
    await first.release()
    while slow.hits == 0:
        await async_sleep(0.005)
    await async_sleep(SLOW_S)
    slow.end()
    second = await waiting.result()
    await own_deadline_is_not_later(client, second)
    # And inside a client, where the reply to the release brings it.
    waiting = AsyncBackground(faulty_client.lock("a", ttl_s=2).acquire)
    await until_waiting(client, "a", 1)
    slow = faults.on("slow", Release)
    releasing = AsyncBackground(second.release)
    while slow.hits == 0:
        await async_sleep(0.005)
    await async_sleep(SLOW_S)
    slow.end()
    await releasing.result()
    third = await waiting.result()
    await own_deadline_is_not_later(client, third)
    await third.release()


@on_memory
async def test_many_leases_are_renewed_in_few_batches(
    faulty_client: AsyncClient, faults: Faults
) -> None:
    news = News()
    leases = await faulty_client.locks([f"n{number}" for number in range(30)], ttl_s=0.4).acquire()
    single = [AsyncBackground(partial(faulty_client.lock(f"m{i}", 0.4).acquire)) for i in range(10)]
    singles = [await each.result() for each in single]
    for lease in (*leases.values(), *singles):
        lease.on_lost(news)
    await async_sleep(1.0)
    leases.check()
    renewals = [batch for batch in faults.batches if isinstance(batch[0], Renew)]
    assert sum(len(batch) for batch in renewals) >= 3 * 40
    assert len(renewals) <= sum(len(batch) for batch in renewals) / 10
    await leases.release()
    for lease in singles:
        await lease.release()
    assert news.told == []
