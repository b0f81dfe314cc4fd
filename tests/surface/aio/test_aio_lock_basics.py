"""Locks as users hold them: who holds, who waits, in which order, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import AsyncClient, LockLost, LockTimeout, UsageError
from concordant.drivers.urls import mask
from concordant.locking.operations import Acquire, Confirm
from tests.provision.bridge import async_sleep
from tests.surface.aio.standing import holders, until_free, until_waiting
from tests.surface.faults import Faults
from tests.surface.together import AsyncBackground, async_together


async def test_a_body_holds_the_lock_and_gives_it_back(client: AsyncClient) -> None:
    async with client.lock("a") as lease:
        assert lease.name == "a"
        assert 0 < lease.fence < 2**53
        assert not lease.lost
        assert 29 < lease.remaining_s <= 30
        lease.check()
        [holder] = (await client.inspect("a")).holders
        assert (holder.owner, holder.fence) == (lease.owner, lease.fence)
    assert await holders(client, "a") == []
    assert not lease.lost
    assert lease.remaining_s == 0
    with pytest.raises(LockLost, match="released"):
        lease.check()


async def test_a_body_that_raises_gives_the_lock_back(client: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="of its own"):
        async with client.lock("a"):
            raise RuntimeError("of its own")
    assert await holders(client, "a") == []


async def test_acquire_and_release(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    lease = await client.lock("a").acquire()
    with pytest.raises(LockTimeout):
        await open_client().lock("a").acquire(timeout_s=0)
    await lease.release()
    assert await holders(client, "a") == []


async def test_fences_rise_whoever_holds(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    fences = []
    for user in [client, open_client(), client, open_client()]:
        async with user.lock("a") as lease:
            fences.append(lease.fence)
    assert fences == sorted(set(fences))


async def test_bodies_exclude_each_other_over_tasks_and_clients(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    inside = 0
    fences: list[int] = []

    async def work(user: AsyncClient) -> None:
        nonlocal inside
        for _ in range(5):
            async with user.lock("a") as lease:
                inside += 1
                assert inside == 1
                await async_sleep(0.001)
                fences.append(lease.fence)
                inside -= 1

    users = [client, open_client(), open_client()]
    await async_together([partial(work, user) for user in users for _ in range(4)])
    assert len(fences) == 60
    assert fences == sorted(set(fences))


async def test_zero_only_tries(client: AsyncClient, open_client: Callable[[], AsyncClient]) -> None:
    async with client.lock("a"):
        with pytest.raises(LockTimeout):
            await open_client().lock("a", timeout_s=0).acquire()
        assert (await client.inspect("a")).waiters == ()
    async with open_client().lock("a", timeout_s=0):
        pass


@pytest.mark.parametrize("timeout_s", [0.05, 0.3])
async def test_a_timeout_below_a_second_is_one(
    client: AsyncClient, open_client: Callable[[], AsyncClient], timeout_s: float
) -> None:
    other = open_client()
    async with client.lock("a"):
        begun = time.monotonic()
        with pytest.raises(LockTimeout):
            async with other.lock("a", timeout_s=timeout_s):
                pass
        took_s = time.monotonic() - begun
        # The bound is a total; four times as much leaves room for a busy machine.
        assert timeout_s <= took_s < 4 * timeout_s + 0.6
        assert (await client.inspect("a")).waiters == ()


@pytest.mark.parametrize(
    ("timeout_s", "said"), [(0.05, "within 0.05 s"), (0, "at once"), (0.0, "at once")]
)
async def test_a_timeout_names_the_lock_the_store_and_what_to_do(
    client: AsyncClient,
    open_client: Callable[[], AsyncClient],
    lock_url: str,
    timeout_s: float,
    said: str,
) -> None:
    async with client.lock("a"):
        with pytest.raises(LockTimeout) as raised:
            await open_client().lock("a").acquire(timeout_s=timeout_s)
    assert str(raised.value).startswith(f"'a' was not granted {said} at {mask(lock_url)}; ")
    assert "try later" in str(raised.value)


async def test_a_timeout_does_not_begin_anew_at_each_predecessor(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()
    first = await client.lock("a").acquire()

    async def hold() -> None:
        async with client.lock("a"):
            await async_sleep(0.12)

    ahead = []
    for number in range(6):
        ahead.append(AsyncBackground(hold))
        await until_waiting(client, "a", number + 1)
    waiting = AsyncBackground(partial(other.lock("a").acquire, timeout_s=0.25))
    await first.release()
    # Each of them goes on in less than the timeout, all together take three times as long.
    with pytest.raises(LockTimeout):
        await waiting.result()
    for each in ahead:
        await each.result()
    await until_free(client, "a")


async def test_waiters_are_served_in_order(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    users = [client, open_client(), open_client()]
    served: list[int] = []

    async def wait(number: int) -> None:
        async with users[number % 3].lock("a"):
            served.append(number)

    waiting = []
    async with client.lock("a"):
        for number in range(9):
            waiting.append(AsyncBackground(partial(wait, number)))
            await until_waiting(client, "a", number + 1)
    for each in waiting:
        await each.result()
    assert served == list(range(9))


async def test_a_hand_over_to_another_client_is_told(
    client: AsyncClient, faulty_client: AsyncClient, faults: Faults
) -> None:
    lease = await client.lock("a").acquire()
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(client, "a", 1)
    await lease.release()
    won = await waiting.result()
    assert won.fence > lease.fence
    # Told by a hint, which it confirmed: nothing was asked again.
    sent = faults.of(won.owner)
    assert [type(item) for item in sent[-2:]] == [Acquire, Confirm]
    assert 1 <= sum(isinstance(item, Acquire) and item.wait for item in sent) <= 1
    await won.release()


async def test_a_hand_over_inside_a_client_needs_no_message(
    faulty_client: AsyncClient, faults: Faults
) -> None:
    lease = await faulty_client.lock("a").acquire()
    waiting = AsyncBackground(faulty_client.lock("a").acquire)
    await until_waiting(faulty_client, "a", 1)
    faults.deaf = True
    await lease.release()
    won = await waiting.result()
    sent = faults.of(won.owner)
    assert not any(isinstance(item, Confirm) for item in sent)
    assert sum(isinstance(item, Acquire) and item.wait for item in sent) == 1
    await won.release()


async def test_a_holder_that_died_is_replaced_after_its_ttl(
    client: AsyncClient, faulty_client: AsyncClient, faults: Faults
) -> None:
    # As a process that was killed: it neither renews nor releases.
    dead = await faulty_client.lock("a", ttl_s=0.4).acquire()
    rule = faults.on("refused", object, times=1000)
    begun = time.monotonic()
    async with client.lock("a", timeout_s=10) as lease:
        assert lease.fence > dead.fence
        assert dead.lost
        assert time.monotonic() - begun < 4 * 0.4
    rule.end()


async def test_releasing_twice_is_an_error(client: AsyncClient) -> None:
    lease = await client.lock("a").acquire()
    await lease.release()
    async with client.lock("a") as second:
        with pytest.raises(LockLost, match="released already"):
            await lease.release()
        assert await holders(client, "a") == [second.owner]
    with pytest.raises(LockLost):
        await lease.release()


async def test_releasing_what_was_broken_is_an_error(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    lease = await client.lock("a").acquire()
    other = open_client()
    assert await other.break_lock("a") == 1
    async with other.lock("a") as second:
        with pytest.raises(LockLost, match=r"fence \d+"):
            await lease.release()
        assert await holders(client, "a") == [second.owner]
    assert lease.lost


async def test_breaking_takes_the_fence_that_is_meant(client: AsyncClient) -> None:
    async with client.lock("a") as lease:
        assert await client.break_lock("a", lease.fence - 1) == 0
        lease.check()
        assert await holders(client, "a") == [lease.owner]
    lease = await client.lock("a").acquire()
    assert await client.break_lock("a", lease.fence) == 1
    assert await holders(client, "a") == []


async def test_onlookers_see_who_holds_and_who_waits(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()
    assert await client.names() == []
    assert (await client.inspect("a")).holders == ()
    lease = await client.lock("a", ttl_s=5, note="migrating").acquire()
    waiting = AsyncBackground(other.lock("a", note="next").acquire)
    await until_waiting(client, "a", 1)
    async with other.lock("b"):
        view = await client.inspect("a")
        assert (view.name, view.fence, view.capacity) == ("a", lease.fence, 1)
        [holder] = view.holders
        assert (holder.note, holder.permits, holder.confirmed) == ("migrating", 1, True)
        assert 0 < holder.remaining_ms <= 5000
        assert [waiter.note for waiter in view.waiters] == ["next"]
        assert await client.names() == ["a", "b"]
        assert await client.names(after="a") == ["b"]
        assert await client.names(limit=1) == ["a"]
    await lease.release()
    await (await waiting.result()).release()
    assert await client.names() == []
    await client.ping()


async def test_names_are_not_folded(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    names = [f"lock-{number}" for number in range(200)]
    names += ["a", "A", " a", "a ", "a/b", "a:b", "a.b", "ä", "a\u0308", "é" * 255, "x" * 511]
    names += ["x" * 512, "x" * 511 + "y", "%61", "{a}", "*", "'; --", "🔒"]
    async with client.locks(names) as leases:
        assert list(leases) == sorted(names)
        found = []
        while page := await client.names(after=found[-1] if found else "", limit=100):
            found += page
        assert sorted(found) == sorted(names)
        with pytest.raises(LockTimeout):
            await open_client().lock("x" * 511 + "y", timeout_s=0).acquire()
    assert await client.names() == []


async def test_two_objects_of_one_name_are_one_lock(client: AsyncClient) -> None:
    async with client.lock("a"):
        with pytest.raises(LockTimeout):
            await client.lock("a", timeout_s=0).acquire()


async def test_entering_again_in_its_own_body_is_an_error(client: AsyncClient) -> None:
    lock = client.lock("a")
    async with lock as lease:
        with pytest.raises(UsageError, match="reentrant"):
            async with lock:
                pass
        lease.check()
        assert await holders(client, "a") == [lease.owner]
    assert await holders(client, "a") == []


async def test_a_reentrant_lock_counts_its_entries(client: AsyncClient) -> None:
    lock = client.lock("a", reentrant=True)
    async with lock as lease:
        async with lock as inner:
            async with lock:
                assert inner is lease
            assert await holders(client, "a") == [lease.owner]
        lease.check()
        assert await holders(client, "a") == [lease.owner]
    assert await holders(client, "a") == []


@pytest.mark.parametrize("reentrant", [False, True])
async def test_one_object_serves_many_tasks_in_turn(client: AsyncClient, reentrant: bool) -> None:
    lock = client.lock("a", reentrant=reentrant)
    inside = 0

    async def work() -> None:
        nonlocal inside
        for _ in range(5):
            async with lock:
                inside += 1
                assert inside == 1
                await async_sleep(0.001)
                inside -= 1

    await async_together([work] * 5)
