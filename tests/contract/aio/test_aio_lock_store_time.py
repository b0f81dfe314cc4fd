"""The lock store's contract: expiry, hand-over that nobody confirms, and reopening.

Time is real here, since it is the store's own; sleeps are short and few.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from concordant.drivers.base import AsyncLockStore, LockStore
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Busy,
    Confirm,
    Granted,
    Held,
    Lost,
    Queued,
    Release,
    Renew,
)
from tests.contract.aio.asking import TTL_MS, ask, grab, holders, look, queue
from tests.contract.parties import Party, strangers
from tests.provision.backend import Backend
from tests.provision.bridge import async_blocking, async_sleep

SHORT_MS = 150
# Clocks of store and test are read apart: past this, the lease is over by any reading.
OVER_S = SHORT_MS / 1000 + 0.1
# What does not come is waited for this long.
NOT_S = 0.2


async def test_a_lease_ends_after_its_ttl_and_not_before(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    asked = time.monotonic()
    fence = await grab(store, "a", first, ttl_ms=SHORT_MS)
    while True:
        result = await ask(store, Acquire("a", second, TTL_MS))
        if isinstance(result, Granted):
            break
        assert isinstance(result, Busy)
        assert result.retry_ms <= SHORT_MS
        await async_sleep(result.retry_ms / 1000)
    # Granting takes place after asking, so the whole TTL must have passed since then. The
    # millisecond is for a store whose clock is coarser than ours.
    assert time.monotonic() - asked >= (SHORT_MS - 1) / 1000
    assert result.fence > fence
    assert await ask(store, Renew("a", first, fence, TTL_MS)) == Lost()
    assert await ask(store, Release("a", first, fence)) == Lost()
    assert await holders(store, "a") == [second]


async def test_an_expired_lease_is_over_even_if_nobody_took_the_lock(
    store: AsyncLockStore,
) -> None:
    [owner] = strangers(1)
    fence = await grab(store, "a", owner, ttl_ms=SHORT_MS)
    await async_sleep(OVER_S)
    assert await holders(store, "a") == []
    assert await store.names() == []
    assert await ask(store, Renew("a", owner, fence, TTL_MS)) == Lost()
    assert await ask(store, Release("a", owner, fence)) == Lost()
    # Asking anew under the same id is a new grant, under a new fence.
    assert await grab(store, "a", owner) > fence


async def test_renewing_keeps_a_lease_past_its_first_ttl(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first, ttl_ms=1000)
    assert await ask(store, Renew("a", first, fence, TTL_MS)) == Held()
    await async_sleep(1.1)
    assert isinstance(await ask(store, Acquire("a", second, TTL_MS)), Busy)
    assert await ask(store, Renew("a", first, fence, SHORT_MS)) == Held()
    # A shorter TTL counts as well: the lease runs from the last renewal.
    await async_sleep(OVER_S)
    await grab(store, "a", second)


async def test_a_waiter_is_granted_when_the_holder_expires(
    store: AsyncLockStore, listener: LockStore
) -> None:
    party = Party()
    [first], second = strangers(1), party.owner()
    with closing(listener.hints(party.client)) as stream:
        fence = await grab(store, "a", first, ttl_ms=SHORT_MS)
        result = await ask(store, Acquire("a", second, TTL_MS, wait=True))
        assert isinstance(result, Queued)
        # Nobody is told of an expiry, so the store says when to ask again.
        assert result.retry_ms <= SHORT_MS
        await async_sleep(OVER_S)
        result = await ask(store, Acquire("a", second, TTL_MS, wait=True))
        assert isinstance(result, Granted)
        assert result.fence > fence
        # The reply said it all.
        assert await async_blocking(stream.get, NOT_S) == []


async def test_a_grant_found_by_somebody_elses_request_is_told(
    store: AsyncLockStore, listener: LockStore
) -> None:
    party = Party()
    [lasting, short], waiter = strangers(2), party.owner()
    with closing(listener.hints(party.client)) as stream:
        await ask(store, Acquire("s", lasting, TTL_MS, capacity=2))
        await ask(store, Acquire("s", short, SHORT_MS, capacity=2))
        await ask(store, Acquire("s", waiter, TTL_MS, wait=True, capacity=2))
        await async_sleep(OVER_S)
        # This asks for what it has already, and finds the other permit expired on the way.
        again = await ask(store, Acquire("s", lasting, TTL_MS, capacity=2))
        assert isinstance(again, Granted)
        [hint] = await async_blocking(stream.get, 10.0)
    assert (hint.name, hint.owner) == ("s", waiter)
    assert await holders(store, "s") == [lasting, waiter]


async def test_whoever_asks_after_an_expiry_serves_the_queue_first(
    store: AsyncLockStore, listener: LockStore
) -> None:
    party = Party()
    first, third = strangers(2)
    second = party.owner()
    fence = await grab(store, "a", first, ttl_ms=SHORT_MS)
    await queue(store, "a", second)
    with closing(listener.hints(party.client)) as stream:
        await async_sleep(OVER_S)
        assert isinstance(await ask(store, Acquire("a", third, TTL_MS)), Busy)
        [hint] = await async_blocking(stream.get, 10.0)
    assert (hint.name, hint.owner) == ("a", second)
    assert hint.fence > fence
    assert await holders(store, "a") == [second]


async def test_a_grant_that_nobody_confirms_passes_on(
    store: AsyncLockStore, listener: LockStore
) -> None:
    alive, next_one = Party(), Party()
    [first] = strangers(1)
    second, third = alive.owner(), next_one.owner()
    # Both clients listen, so neither is taken for dead; the first of them is only slow.
    with (
        closing(listener.hints(alive.client)) as slow,
        closing(listener.hints(next_one.client)),
    ):
        fence = await grab(store, "a", first)
        await queue(store, "a", second, ttl_ms=60_000)
        await queue(store, "a", third)
        await ask(store, Release("a", first, fence))
        [hint] = await async_blocking(slow.get, 10.0)
        [holder] = (await look(store, "a")).holders
        assert (holder.owner, holder.fence, holder.confirmed) == (second, hint.fence, False)
        assert holder.remaining_ms <= limits.CONFIRM_MS
        await async_sleep(limits.CONFIRM_MS / 1000 + 0.1)
        result = await ask(store, Acquire("a", third, TTL_MS, wait=True))
        assert isinstance(result, Granted)
        assert result.fence > hint.fence
        # A hint is no grant: the slow one comes too late, and learns it.
        assert await ask(store, Confirm("a", second, hint.fence, TTL_MS)) == Lost()
        assert await holders(store, "a") == [third]


@pytest.mark.parametrize("how", ["release", "break", "expiry"])
async def test_fences_rise_over_reopening(
    another_store: Callable[[], AsyncLockStore], how: str
) -> None:
    fences: list[int] = []
    for owner in strangers(3):
        opened = another_store()
        fences.append(await grab(opened, "a", owner, ttl_ms=SHORT_MS))
        if how == "release":
            await ask(opened, Release("a", owner, fences[-1]))
        elif how == "break":
            await ask(opened, Break("a"))
        else:
            await async_sleep(OVER_S)
        await opened.aclose()
    assert fences == sorted(set(fences))


async def test_stores_at_one_url_are_one_store(
    store: AsyncLockStore, another_store: Callable[[], AsyncLockStore]
) -> None:
    other = another_store()
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    assert isinstance(await ask(other, Acquire("a", second, TTL_MS)), Busy)
    assert await holders(other, "a") == [first]
    assert await other.names() == ["a"]
    await queue(other, "a", second)
    await ask(store, Release("a", first, fence))
    result = await ask(other, Acquire("a", second, TTL_MS, wait=True))
    assert isinstance(result, Granted)
    assert result.fence > fence


async def test_leases_outlive_the_store_object(
    lock_backend: Backend, another_store: Callable[[], AsyncLockStore], listener: LockStore
) -> None:
    # The listener keeps a store in memory alive; where leases survive a restart, nobody has to.
    if lock_backend.promises.survives_restart:
        listener.close()
    holder, waiter = strangers(2)
    opened = another_store()
    fence = await grab(opened, "a", holder)
    await queue(opened, "a", waiter)
    await opened.aclose()
    opened = another_store()
    view = await look(opened, "a")
    assert [(h.owner, h.fence) for h in view.holders] == [(holder, fence)]
    assert [w.owner for w in view.waiters] == [waiter]
    assert await ask(opened, Renew("a", holder, fence, TTL_MS)) == Held()
