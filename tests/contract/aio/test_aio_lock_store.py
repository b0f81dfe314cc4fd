"""The lock store's contract, over every backend: who holds what, under which fence."""

from __future__ import annotations

import time

import pytest

from concordant.drivers.base import AsyncLockStore
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Break,
    Broken,
    Busy,
    Confirm,
    Granted,
    Held,
    Lost,
    Refused,
    Release,
    Released,
    Renew,
)
from tests.contract.aio.asking import TTL_MS, ask, grab, holders, look, queue
from tests.contract.parties import Party, strangers

MINUTE_US = 60_000_000


async def test_a_free_lock_is_granted_under_a_fence_of_the_clock(store: AsyncLockStore) -> None:
    before_us = time.time_ns() // 1000
    fence = await grab(store, "a", Party().owner())
    assert before_us - MINUTE_US < fence < time.time_ns() // 1000 + MINUTE_US
    assert fence <= limits.FENCE_MAX


async def test_a_held_lock_is_busy_for_all_others(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    await grab(store, "a", first, ttl_ms=1000)
    result = await ask(store, Acquire("a", second, TTL_MS))
    assert isinstance(result, Busy)
    assert 1 <= result.retry_ms <= 1000
    assert await holders(store, "a") == [first]


async def test_asking_again_under_the_same_id_gives_the_same_grant(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    fence = await grab(store, "a", owner)
    assert await grab(store, "a", owner) == fence
    [holder] = (await look(store, "a")).holders
    assert (holder.owner, holder.fence) == (owner, fence)


async def test_asking_again_gives_a_full_ttl(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    await grab(store, "a", owner, ttl_ms=1000)
    await grab(store, "a", owner, ttl_ms=60_000)
    [holder] = (await look(store, "a")).holders
    assert holder.remaining_ms > 1000


async def test_a_released_lock_is_granted_again_under_a_higher_fence(
    store: AsyncLockStore,
) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    assert await ask(store, Release("a", first, fence)) == Released()
    assert await holders(store, "a") == []
    assert await grab(store, "a", second) > fence


async def test_fences_rise_over_many_quick_grants(store: AsyncLockStore) -> None:
    # Quicker than one a microsecond in one batch: the clock alone would repeat itself.
    fences = []
    for owner in strangers(20):
        fences.append(await grab(store, "a", owner))
        await ask(store, Release("a", owner, fences[-1]))
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("kind", [Release, Renew, Confirm])
@pytest.mark.parametrize("wrong", ["owner", "fence", "client", "name"])
async def test_only_the_holder_can_act_on_its_lease(
    store: AsyncLockStore, kind: type, wrong: str
) -> None:
    party = Party()
    owner = party.owner()
    fence = await grab(store, "a", owner)
    name, asker, token = "a", owner, fence
    if wrong == "owner":
        asker = party.owner()
    elif wrong == "client":
        asker = Party().owner()
    elif wrong == "fence":
        token = fence + 1
    else:
        name = "b"
    more = () if kind is Release else (TTL_MS,)
    assert await ask(store, kind(name, asker, token, *more)) == Lost()
    assert await holders(store, "a") == [owner]


async def test_a_second_release_says_lost_and_harms_nobody(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    await ask(store, Release("a", first, fence))
    assert await ask(store, Release("a", first, fence)) == Lost()
    await grab(store, "a", second)
    assert await ask(store, Release("a", first, fence)) == Lost()
    assert await holders(store, "a") == [second]


@pytest.mark.parametrize("kind", [Renew, Confirm])
async def test_the_holder_can_extend_its_lease(store: AsyncLockStore, kind: type) -> None:
    [owner] = strangers(1)
    fence = await grab(store, "a", owner, ttl_ms=1000)
    assert await ask(store, kind("a", owner, fence, 60_000)) == Held()
    [holder] = (await look(store, "a")).holders
    assert 1000 < holder.remaining_ms <= 60_000
    assert holder.confirmed


async def test_an_onlooker_sees_all_and_changes_nothing(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    result = await ask(store, Acquire("a", first, 5000, note="näme\n'\"\\ 1"))
    assert result == Granted(fence)
    await ask(store, Acquire("a", second, 7000, wait=True, note="second %s ? {}"))
    for _ in range(2):
        view = await look(store, "a")
        [holder], [waiter] = view.holders, view.waiters
        assert (view.fence, view.capacity) == (fence, 1)
        assert (holder.owner, holder.fence, holder.permits) == (first, fence, 1)
        assert holder.confirmed
        assert 0 < holder.remaining_ms <= 5000
        assert (waiter.owner, waiter.permits) == (second, 1)
        assert waiter.note == "second %s ? {}"


async def test_a_note_is_kept_as_it_was_given(store: AsyncLockStore) -> None:
    [owner] = strangers(1)
    note = "näme\n'\"\\ 1 %s {} \U0001f512" + "x" * 400
    await ask(store, Acquire("a", owner, TTL_MS, note=note))
    [holder] = (await look(store, "a")).holders
    assert holder.note == note


async def test_looking_at_a_lock_that_never_was_finds_it_free(store: AsyncLockStore) -> None:
    view = await look(store, "never")
    assert (view.holders, view.waiters) == ((), ())
    assert await store.names() == []


async def test_breaking_evicts_the_holder_of_that_fence_alone(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fences = []
    for owner in (first, second):
        result = await ask(store, Acquire("a", owner, TTL_MS, capacity=2))
        assert isinstance(result, Granted)
        fences.append(result.fence)
    assert await ask(store, Break("a", max(fences) + 1)) == Broken(0)
    assert await ask(store, Break("a", fences[0])) == Broken(1)
    assert await holders(store, "a") == [second]
    assert await ask(store, Renew("a", first, fences[0], TTL_MS)) == Lost()
    assert await ask(store, Renew("a", second, fences[1], TTL_MS)) == Held()


async def test_breaking_without_a_fence_evicts_every_holder(store: AsyncLockStore) -> None:
    owners = strangers(3)
    for owner in owners:
        await ask(store, Acquire("a", owner, TTL_MS, capacity=3))
    assert await ask(store, Break("a")) == Broken(3)
    assert await ask(store, Break("a")) == Broken(0)
    assert await holders(store, "a") == []


async def test_breaking_hands_over_to_the_head_of_the_queue(store: AsyncLockStore) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    await queue(store, "a", second)
    assert await ask(store, Break("a")) == Broken(1)
    view = await look(store, "a")
    [holder] = view.holders
    assert holder.owner == second
    assert holder.fence > fence


async def test_a_semaphore_grants_its_permits_and_no_more(store: AsyncLockStore) -> None:
    owners = strangers(4)
    results = [await ask(store, Acquire("s", owner, TTL_MS, capacity=3)) for owner in owners]
    assert [type(result) for result in results] == [Granted, Granted, Granted, Busy]
    assert await holders(store, "s") == owners[:3]


async def test_readers_share_and_a_writer_takes_all(store: AsyncLockStore) -> None:
    reader, another, writer = strangers(3)
    fence = {}
    for owner in (reader, another):
        result = await ask(store, Acquire("rw", owner, TTL_MS, permits=1, capacity=100))
        assert isinstance(result, Granted)
        fence[owner] = result.fence
    everything = Acquire("rw", writer, TTL_MS, permits=100, capacity=100)
    assert isinstance(await ask(store, everything), Busy)
    await ask(store, Release("rw", reader, fence[reader]))
    assert isinstance(await ask(store, everything), Busy)
    await ask(store, Release("rw", another, fence[another]))
    assert isinstance(await ask(store, everything), Granted)
    assert isinstance(await ask(store, Acquire("rw", reader, TTL_MS, capacity=100)), Busy)


async def test_another_capacity_is_refused_while_the_lock_is_in_use(
    store: AsyncLockStore,
) -> None:
    first, second = strangers(2)
    fence = await grab(store, "a", first)
    for wait in (False, True):
        result = await ask(store, Acquire("a", second, TTL_MS, wait=wait, capacity=2))
        assert isinstance(result, Refused)
        assert "capacity is 1" in result.reason
    view = await look(store, "a")
    assert (view.capacity, view.waiters) == (1, ())
    await ask(store, Release("a", first, fence))
    result = await ask(store, Acquire("a", second, TTL_MS, capacity=2))
    assert isinstance(result, Granted)
    assert (await look(store, "a")).capacity == 2
