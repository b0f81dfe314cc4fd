"""Replies that are lost, requests that come late, stores that refuse: it comes right again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import AsyncClient, BackendUnavailable, LockTimeout, OutcomeUnknown
from concordant.locking import limits
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Confirm,
    Lost,
    Refused,
    Release,
    Renew,
)
from tests.provision.bridge import async_sleep
from tests.surface.aio.standing import holders, until_free, until_waiting, waiters
from tests.surface.choice import on_memory
from tests.surface.faults import Faults
from tests.surface.together import AsyncBackground, async_eventually, async_together

# Sooner than a waiter asks again that was told nothing.
SOONER_S = 0.75 * limits.RETRY_STEP_MS / 1000


async def test_a_lost_reply_to_an_acquire_is_asked_for_again(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    lost = faults.on("lost", Acquire)
    async with faulty_client.lock("a") as lease:
        assert lost.hits == 1
        # Under the same id, so that it is one holder.
        assert [type(item) for item in faults.of(lease.owner)] == [Acquire, Acquire]
        [holder] = (await client.inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    assert await holders(client, "a") == []


async def test_a_store_that_refuses_an_acquire_is_told(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    for names in (["a"], ["a", "b"]):
        rule = faults.on("refused", Acquire)
        with pytest.raises(BackendUnavailable):
            await faulty_client.locks(names).acquire()
        assert rule.hits == 1
    faults.on("refused", Acquire)
    with pytest.raises(BackendUnavailable):
        await faulty_client.lock("a").acquire()
    async with faulty_client.locks(["a", "b"]):
        pass
    assert await client.names() == []


@on_memory
async def test_what_nobody_knows_of_is_taken_back(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    for acquire in (faulty_client.lock("a").acquire, faulty_client.locks(["a", "b"]).acquire):
        rule = faults.on("lost", Acquire, times=1000)
        other = faults.on("refused", Cancel, times=3)
        with pytest.raises(BackendUnavailable, match="withdrawn"):
            await acquire()
        rule.end()
        for name in ("a", "b"):
            await until_free(client, name)
        assert other.hits == 3


async def test_a_request_that_comes_after_the_release_is_refused(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    late = faults.on("late", Acquire)
    async with faulty_client.lock("a"):
        assert late.hits == 1
    assert [type(result) for result in faults.deliver_late()] == [Refused]
    assert await holders(client, "a") == []


async def test_a_request_that_comes_after_the_timeout_is_refused(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    held = await client.lock("a").acquire()
    with pytest.raises(LockTimeout):  # which makes it listen
        await faulty_client.lock("a").acquire(timeout_s=0.01)
    late = faults.on("late", Acquire)
    with pytest.raises(LockTimeout):
        await faulty_client.lock("a").acquire(timeout_s=0.3)
    assert late.hits == 1
    assert await waiters(client, "a") == []
    await held.release()
    assert [type(result) for result in faults.deliver_late()] == [Refused]
    assert await holders(client, "a") == []


async def test_a_request_for_several_that_comes_late_is_refused(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    faults.on("late", Acquire)
    with pytest.raises(BackendUnavailable):
        await faulty_client.locks(["a", "b"]).acquire()
    assert [type(result) for result in faults.deliver_late()] == [Refused, Refused]
    assert await client.names() == []


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
async def test_a_release_without_a_reply_is_done_in_the_background(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults, how: str
) -> None:
    rule = faults.on(how, Release)
    lease = await faulty_client.lock("a").acquire()
    with pytest.raises(OutcomeUnknown, match="background"):
        await lease.release()
    async with client.lock("a", timeout_s=10) as second:
        # What comes late finds another owner there, and leaves it alone.
        assert all(isinstance(result, Lost) for result in faults.deliver_late())
        second.check()
        assert await holders(client, "a") == [second.owner]
    # The body held the lock all the time, so for it nothing went wrong.
    faults.on(how, Release)
    async with faulty_client.locks(["a", "b"]):
        pass
    await until_free(client, "a")
    await until_free(client, "b")
    assert rule.hits == 1


async def test_a_release_is_tried_in_the_background_until_it_is_done(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    refused = faults.on("refused", Release, Cancel, times=3)
    lease = await faulty_client.lock("a").acquire()
    with pytest.raises(OutcomeUnknown):
        await lease.release()
    await until_free(client, "a")
    assert refused.hits == 3


async def test_a_release_that_meets_a_renewal_on_its_way_is_done(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    renewal = faults.on("slow", Renew)
    refused = faults.on("refused", Release)
    lease = await faulty_client.lock("a", ttl_s=3).acquire()
    while renewal.hits == 0:
        await async_sleep(0.02)
    with pytest.raises(OutcomeUnknown):
        await lease.release()
    await async_sleep(0.05)
    renewal.end()
    # In less than the TTL, which would end it anyway.
    async with client.lock("a", timeout_s=1.5):
        assert refused.hits == 1


async def test_a_lost_reply_to_a_release_hides_no_hand_over(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    lease = await faulty_client.lock("a").acquire()
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(client, "a", 1)
    # It was handed over inside the client, and the reply would have told.
    faults.on("lost", Release)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        await lease.release()
    second = await waiting.result()
    assert time.monotonic() - begun < SOONER_S
    assert await holders(client, "a") == [second.owner]
    assert isinstance(faults.of(second.owner)[-1], Acquire)
    await second.release()


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
async def test_a_confirmation_without_a_reply_makes_the_waiter_ask(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults, how: str
) -> None:
    lease = await client.lock("a").acquire()
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(client, "a", 1)
    rule = faults.on(how, Confirm)
    begun = time.monotonic()
    await lease.release()
    second = await waiting.result()
    assert time.monotonic() - begun < SOONER_S
    assert rule.hits == 1
    assert [type(item) for item in faults.of(second.owner)[-2:]] == [Confirm, Acquire]
    [holder] = (await client.inspect("a")).holders
    assert (holder.owner, holder.fence, holder.confirmed) == (second.owner, second.fence, True)
    await second.release()
    assert all(isinstance(result, Lost) for result in faults.deliver_late())
    assert await holders(client, "a") == []


async def test_a_late_renewal_does_not_bring_a_lease_back(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    late = faults.on("late", Renew)
    lease = await faulty_client.lock("a", ttl_s=1).acquire()
    while late.hits == 0:
        await async_sleep(0.01)
    await lease.release()
    async with client.lock("a") as second:
        assert [type(result) for result in faults.deliver_late()] == [Lost]
        assert await holders(client, "a") == [second.owner]


@pytest.mark.parametrize("how", ["refused", "lost"])
async def test_a_waiter_that_gives_up_leaves_the_queue_in_the_end(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults, how: str
) -> None:
    async with client.lock("a") as held:
        rule = faults.on(how, Cancel, times=2)
        with pytest.raises(LockTimeout):
            await faulty_client.lock("a").acquire(timeout_s=0.05)
        await until_waiting(client, "a", 0)
        while rule.hits < 2:
            await async_sleep(0.01)
        assert await holders(client, "a") == [held.owner]


async def test_an_outage_does_not_cost_a_waiter_its_place(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    # A short lease, since a waiter asks again when it would end, at the latest.
    held = await client.lock("a", ttl_s=1).acquire()
    first = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(client, "a", 1)
    second = AsyncBackground(client.lock("a").acquire)
    await until_waiting(client, "a", 2)
    order = await waiters(client, "a")
    # Its channel breaks and its requests fail, so that it asks again and again.
    rules = [faults.on("refused", Acquire, times=2), faults.on("lost", Acquire, times=2)]
    faults.closed_to_hints = True
    faults.break_channels()
    asked = len(faults.seen)
    while len(faults.seen) == asked:
        await async_sleep(0.01)
    await async_sleep(0.05)
    assert await waiters(client, "a") == order
    faults.closed_to_hints = False
    while any(rule.hits < 2 for rule in rules):
        await async_sleep(0.01)
    assert await waiters(client, "a") == order
    await held.release()
    lease = await first.result()
    assert lease.owner == order[0]
    assert not second.done
    await lease.release()
    await (await second.result()).release()


async def test_hints_that_are_lost_cost_time_alone(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    faults.deaf = True
    held = await client.lock("a", ttl_s=1).acquire()
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(client, "a", 1)
    await held.release()
    lease = await waiting.result()
    assert lease.fence > held.fence
    assert not any(isinstance(item, Confirm) for item in faults.of(lease.owner))
    await lease.release()


async def test_a_channel_that_broke_is_opened_again_and_all_ask(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    held = [await client.lock(f"n{number}").acquire() for number in range(4)]
    waiting = [AsyncBackground(faulty_client.lock(f"n{number}").acquire) for number in range(4)]
    for number in range(4):
        await until_waiting(client, f"n{number}", 1)
    faults.closed_to_hints = True
    faults.break_channels()
    # Handed over while nobody listens.
    for lease in held:
        await lease.release()
    opened = faults.streams_opened
    begun = time.monotonic()
    faults.closed_to_hints = False
    for each in waiting:
        await (await each.result()).release()
    assert time.monotonic() - begun < SOONER_S
    assert faults.streams_opened > opened


@on_memory
async def test_who_cannot_listen_yet_asks_now_and_then(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    held = await client.lock("a").acquire()
    with pytest.raises(LockTimeout):
        await faulty_client.lock("a").acquire(timeout_s=0.01)
    faults.closed_to_hints = True
    faults.break_channels()
    await async_sleep(0.05)
    asked = len(faults.seen)
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await async_sleep(0.5)
    # Ten times a second, and no busy loop.
    assert 1 <= len(faults.seen) - asked <= 10
    faults.closed_to_hints = False
    await held.release()
    await (await waiting.result()).release()


@on_memory
async def test_a_channel_that_breaks_again_and_again_is_no_busy_loop(
    faulty_client: AsyncClient, client: AsyncClient, faults: Faults
) -> None:
    async with client.lock("a"):
        waiting = AsyncBackground(partial(faulty_client.lock("a").acquire, timeout_s=0.8))
        await until_waiting(client, "a", 1)
        opened = faults.streams_opened
        for _ in range(60):
            faults.break_channels()
            await async_sleep(0.01)
        assert 1 <= faults.streams_opened - opened <= 10
        with pytest.raises(LockTimeout):
            await waiting.result()


@pytest.mark.parametrize("how", ["refused", "lost", "late"])
async def test_every_operation_may_fail_once_and_exclusion_holds(
    faulty_url: str, open_client: Callable[[], AsyncClient], faults: Faults, how: str
) -> None:
    inside = 0
    taken = 0

    async def work(user: AsyncClient) -> None:
        nonlocal inside, taken
        # A grant has to be confirmed only when it comes from another client, which is chance.
        for turn in range(200):
            if turn >= 6 and all(rule.hits for rule in rules):
                break
            try:
                async with user.lock("a", ttl_s=5, timeout_s=15):
                    inside += 1
                    assert inside == 1
                    await async_sleep(0.002)
                    taken += 1
                    inside -= 1
            except BackendUnavailable:
                continue

    onlooker = open_client()
    rules = [faults.on(how, kind, times=3) for kind in (Acquire, Release, Confirm)]
    async with AsyncClient(faulty_url) as one, AsyncClient(faulty_url) as two:
        users = [one, two, one, two, onlooker]
        await async_together([partial(work, user) for user in users])
        assert all(rule.hits for rule in rules)
        assert taken >= 30 - 3 - 3
        faults.deliver_late()
        await until_free(onlooker, "a")

        async def all_settled() -> bool:
            return not one._session.still_held() and not two._session.still_held()

        await async_eventually(all_settled)
