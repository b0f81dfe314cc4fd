"""The lock store's contract: the queue, and every way to leave it."""

from __future__ import annotations

import pytest

from concordant.drivers.base import AsyncLockStore
from concordant.locking.operations import (
    Acquire,
    Busy,
    Cancel,
    Cancelled,
    Confirm,
    Granted,
    Held,
    Queued,
    Refused,
    Release,
    Released,
)
from tests.contract.aio.asking import TTL_MS, ask, grab, holders, look, queue, waiters
from tests.contract.parties import strangers


async def test_waiters_are_served_in_the_order_they_came(store: AsyncLockStore) -> None:
    first, *rest = strangers(6)
    fence = await grab(store, "a", first)
    assert [await queue(store, "a", owner) for owner in rest] == [0, 1, 2, 3, 4]
    served, fences, holder = [], [fence], first
    for _ in rest:
        assert await ask(store, Release("a", holder, fences[-1])) == Released()
        [now] = (await look(store, "a")).holders
        assert not now.confirmed
        assert await ask(store, Confirm("a", now.owner, now.fence, TTL_MS)) == Held()
        served.append(now.owner)
        fences.append(now.fence)
        holder = now.owner
    assert served == rest
    assert fences == sorted(set(fences))


async def test_asking_again_keeps_the_place(store: AsyncLockStore) -> None:
    holder, *rest = strangers(4)
    await grab(store, "a", holder)
    for owner in rest:
        await queue(store, "a", owner)
    for position, owner in enumerate(rest):
        result = await ask(store, Acquire("a", owner, TTL_MS, wait=True))
        assert isinstance(result, Queued)
        assert result.position == position
        assert result.retry_ms >= 1
    assert await waiters(store, "a") == rest


async def test_a_waiter_that_was_granted_meanwhile_learns_it_by_asking(
    store: AsyncLockStore,
) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    await queue(store, "a", second)
    await ask(store, Release("a", first, fence))
    result = await ask(store, Acquire("a", second, TTL_MS, wait=True))
    assert isinstance(result, Granted)
    assert result.fence > fence
    [holder] = (await look(store, "a")).holders
    assert (holder.owner, holder.fence, holder.confirmed) == (second, result.fence, True)


async def test_nobody_overtakes_the_queue(store: AsyncLockStore) -> None:
    holder, waiter, hasty = strangers(3)
    first = await ask(store, Acquire("rw", holder, TTL_MS, permits=1, capacity=10))
    assert isinstance(first, Granted)
    everything = Acquire("rw", waiter, TTL_MS, wait=True, permits=10, capacity=10)
    assert isinstance(await ask(store, everything), Queued)
    # Nine permits are free, but the writer came first: a reader must not starve it.
    one = Acquire("rw", hasty, TTL_MS, permits=1, capacity=10)
    assert isinstance(await ask(store, one), Busy)
    patient = Acquire("rw", hasty, TTL_MS, wait=True, permits=1, capacity=10)
    result = await ask(store, patient)
    assert isinstance(result, Queued)
    assert result.position == 1
    await ask(store, Release("rw", holder, first.fence))
    assert await holders(store, "rw") == [waiter]
    assert await waiters(store, "rw") == [hasty]


async def test_all_that_fit_are_granted_at_once(store: AsyncLockStore) -> None:
    writer, *readers = strangers(4)
    fence = await grab(store, "rw", writer, permits=2)
    for reader in readers:
        result = await ask(store, Acquire("rw", reader, TTL_MS, wait=True, capacity=2))
        assert isinstance(result, Queued)
    await ask(store, Release("rw", writer, fence))
    granted = (await look(store, "rw")).holders
    # Granted in one step, yet each under a fence of its own, in the order they came.
    assert [holder.owner for holder in sorted(granted, key=lambda h: h.fence)] == readers[:2]
    assert len({fence, *(holder.fence for holder in granted)}) == 3
    assert await waiters(store, "rw") == readers[2:]


async def test_asking_without_waiting_leaves_the_queue(store: AsyncLockStore) -> None:
    holder, first, second = strangers(3)
    await grab(store, "a", holder)
    await queue(store, "a", first)
    await queue(store, "a", second)
    assert isinstance(await ask(store, Acquire("a", first, TTL_MS)), Busy)
    assert await waiters(store, "a") == [second]


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_cancelling_takes_a_waiter_out_wherever_it_stands(
    store: AsyncLockStore, position: int
) -> None:
    holder, *rest = strangers(4)
    fence = await grab(store, "a", holder)
    for owner in rest:
        await queue(store, "a", owner)
    gone = rest.pop(position)
    assert await ask(store, Cancel("a", gone)) == Cancelled("waiter")
    assert await ask(store, Cancel("a", gone)) == Cancelled("absent")
    assert await waiters(store, "a") == rest
    await ask(store, Release("a", holder, fence))
    assert await holders(store, "a") == rest[:1]


async def test_cancelling_a_holder_hands_over(store: AsyncLockStore) -> None:
    holder, waiter = strangers(2)
    await grab(store, "a", holder)
    await queue(store, "a", waiter)
    assert await ask(store, Cancel("a", holder)) == Cancelled("holder")
    assert await holders(store, "a") == [waiter]


async def test_cancelling_a_grant_that_was_not_yet_confirmed_hands_over(
    store: AsyncLockStore,
) -> None:
    holder, first, second = strangers(3)
    fence = await grab(store, "a", holder)
    await queue(store, "a", first)
    await queue(store, "a", second)
    await ask(store, Release("a", holder, fence))
    assert await holders(store, "a") == [first]
    assert await ask(store, Cancel("a", first)) == Cancelled("holder")
    assert await holders(store, "a") == [second]


async def test_cancelling_one_that_blocks_the_head_lets_the_next_in(
    store: AsyncLockStore,
) -> None:
    reader, writer, another = strangers(3)
    await ask(store, Acquire("rw", reader, TTL_MS, capacity=2))
    await ask(store, Acquire("rw", writer, TTL_MS, wait=True, permits=2, capacity=2))
    await ask(store, Acquire("rw", another, TTL_MS, wait=True, capacity=2))
    assert await ask(store, Cancel("rw", writer)) == Cancelled("waiter")
    assert await holders(store, "rw") == [reader, another]


@pytest.mark.parametrize("was", ["holder", "waiter", "absent"])
@pytest.mark.parametrize("wait", [False, True])
async def test_a_late_acquire_of_a_cancelled_owner_is_refused(
    store: AsyncLockStore, was: str, wait: bool
) -> None:
    holder, owner = strangers(2)
    if was == "waiter":
        await grab(store, "a", holder)
        await queue(store, "a", owner)
    elif was == "holder":
        await grab(store, "a", owner)
    assert await ask(store, Cancel("a", owner, late=True)) == Cancelled(was)
    late = await ask(store, Acquire("a", owner, TTL_MS, wait=wait))
    assert late == Refused("cancelled")
    assert owner not in await holders(store, "a") + await waiters(store, "a")
    # Nobody else is hit, and the name is free again for a new acquisition.
    if was != "waiter":
        await grab(store, "a", holder)


async def test_an_early_cancel_forbids_nothing(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    assert await ask(store, Cancel("a", owner)) == Cancelled("absent")
    await grab(store, "a", owner)


async def test_a_late_cancel_forbids_that_one_name_alone(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    await ask(store, Cancel("a", owner, late=True))
    await grab(store, "b", owner)


async def test_many_late_cancels_are_all_remembered(store: AsyncLockStore) -> None:
    owners = strangers(50)
    await store.apply([Cancel("a", owner, late=True) for owner in owners])
    results = await store.apply([Acquire("a", owner, TTL_MS) for owner in owners])
    assert set(results) == {Refused("cancelled")}
