"""The body of an async lock is a cancel scope: the loss ends it, and swallows nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from concordant import AsyncClient, Client, LockLost
from concordant.locking.operations import Renew
from tests.surface.aio.standing import holders
from tests.surface.choice import on_memory
from tests.surface.faults import Faults

TTL_S = 0.5


@pytest.fixture
async def client(lock_url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(lock_url) as opened:
        yield opened


@pytest.fixture
async def other(lock_url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(lock_url) as opened:
        yield opened


@pytest.fixture
def breaker(lock_url: str) -> Iterator[Client]:
    """Breaks locks while the loop stands still, so that the loop hears of it when it may."""
    with Client(lock_url) as opened:
        yield opened


async def for_ever() -> None:
    await asyncio.Event().wait()


def sleep_without_the_loop() -> None:
    """Let a lease be lost and told, while the loop cannot hear of it yet."""
    time.sleep(2 * TTL_S)


def nothing_is_pending() -> bool:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling() == 0


async def test_the_loss_ends_the_body(client: AsyncClient, other: AsyncClient) -> None:
    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S):
            await other.break_lock("a")
            await for_ever()

    with pytest.raises(LockLost, match="'a'") as caught:
        await body()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert nothing_is_pending()
    await asyncio.sleep(0)


async def test_a_store_that_hangs_does_not_keep_the_body(lock_url: str, faults: Faults) -> None:
    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S):
            await for_ever()

    async with AsyncClient(faults.url(lock_url)) as client:
        rule = faults.on("hung", Renew, times=1000)
        async with asyncio.timeout(20):
            with pytest.raises(LockLost):
                await body()
        assert rule.hits > 0
        rule.end()


async def test_the_loss_of_one_of_several_ends_the_body(
    client: AsyncClient, other: AsyncClient
) -> None:
    async def body() -> None:
        async with client.locks(["a", "b", "c"], ttl_s=TTL_S):
            await other.break_lock("b")
            await for_ever()

    with pytest.raises(LockLost, match="'b'"):
        await body()
    assert nothing_is_pending()
    assert await other.names() == []


async def test_all_of_several_may_be_lost(client: AsyncClient, other: AsyncClient) -> None:
    async def body() -> None:
        async with client.locks(["a", "b", "c"], ttl_s=TTL_S):
            for name in ("a", "b", "c"):
                await other.break_lock(name)
            await for_ever()

    with pytest.raises(LockLost):
        await body()
    assert nothing_is_pending()


@on_memory
async def test_only_the_task_that_entered_is_cancelled(
    client: AsyncClient, other: AsyncClient
) -> None:
    started = asyncio.Event()

    async def bystander() -> str:
        async with client.lock("b", ttl_s=30):
            started.set()
            await asyncio.sleep(3 * TTL_S)
            return "unharmed"

    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S):
            await other.break_lock("a")
            await for_ever()

    standing_by = asyncio.ensure_future(bystander())
    await started.wait()
    with pytest.raises(LockLost):
        await body()
    assert await standing_by == "unharmed"


@on_memory
async def test_what_the_body_raises_when_cancelled_goes_first(
    client: AsyncClient, other: AsyncClient
) -> None:
    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S):
            await other.break_lock("a")
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise RuntimeError("of its own") from None

    with pytest.raises(RuntimeError, match="of its own"):
        await body()
    assert nothing_is_pending()


@on_memory
async def test_a_body_that_shrugs_off_its_cancellation_is_told_at_the_exit(
    client: AsyncClient, other: AsyncClient
) -> None:
    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S):
            await other.break_lock("a")
            try:
                await for_ever()
            except asyncio.CancelledError:
                pass

    with pytest.raises(LockLost):
        await body()
    assert nothing_is_pending()


@on_memory
@pytest.mark.parametrize("awaits", [False, True])
async def test_an_outer_cancellation_is_not_taken_for_the_loss(
    client: AsyncClient, other: AsyncClient, breaker: Client, awaits: bool
) -> None:
    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with client.lock("a", ttl_s=TTL_S):
            breaker.break_lock("a")
            sleep_without_the_loop()
            # The loss is on its way to the loop already; now both come together.
            task.cancel()
            if awaits:
                await for_ever()

    async def run() -> None:
        with contextlib.suppress(LockLost):
            await body()
            raise AssertionError("neither was told")
        # A body that awaited nothing meets its cancellation here.
        await asyncio.sleep(0)

    task = asyncio.ensure_future(run())
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    assert await other.names() == []


@on_memory
async def test_an_outer_cancellation_alone_is_none_of_its_business(client: AsyncClient) -> None:
    entered = asyncio.Event()

    async def body() -> None:
        async with client.lock("a"):
            entered.set()
            await for_ever()

    task = asyncio.ensure_future(body())
    await entered.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    assert await holders(client, "a") == []


@on_memory
async def test_a_loss_that_comes_during_the_exit_cancels_nothing(
    client: AsyncClient, other: AsyncClient, breaker: Client
) -> None:
    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S) as lease:
            breaker.break_lock("a")
            # Told while the loop stood still, so that the loop hears of it in the exit.
            sleep_without_the_loop()
            assert lease.lost

    async def bodies() -> None:
        async with client.locks(["a", "b", "c"], ttl_s=TTL_S):
            breaker.break_lock("b")
            sleep_without_the_loop()

    for run in (body, bodies):
        with pytest.raises(LockLost):
            await run()
        assert nothing_is_pending()
        await asyncio.sleep(0.01)
        assert await other.names() == []


async def test_a_loop_that_stands_still_loses_no_lease(
    client: AsyncClient, other: AsyncClient
) -> None:
    async with client.lock("a", ttl_s=1) as lease:
        time.sleep(1.3)
        lease.check()
        [holder] = (await other.inspect("a")).holders
        assert holder.fence == lease.fence
        await asyncio.sleep(0)
        lease.check()


@on_memory
async def test_a_timeout_outside_of_the_body_works(
    client: AsyncClient, other: AsyncClient, breaker: Client
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), client.lock("a"):
            await for_ever()
    assert await holders(client, "a") == []

    async def both() -> None:
        async with asyncio.timeout(1.5 * TTL_S), client.lock("a", ttl_s=TTL_S):
            breaker.break_lock("a")
            # The timeout and the loss reach the loop in the same turn.
            sleep_without_the_loop()
            await for_ever()

    with pytest.raises(TimeoutError):
        await both()
    assert nothing_is_pending()

    async def loss_first() -> None:
        async with asyncio.timeout(20), client.lock("a", ttl_s=TTL_S):
            await other.break_lock("a")
            await for_ever()

    with pytest.raises(LockLost):
        await loss_first()
    assert nothing_is_pending()


@on_memory
async def test_a_timeout_while_waiting_leaves_nothing(
    client: AsyncClient, other: AsyncClient
) -> None:
    async with other.lock("a"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), client.lock("a"):
                raise AssertionError("it was held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.locks(["a", "b"]).acquire(), 0.05)
        assert (await other.inspect("a")).waiters == ()
        assert await holders(other, "b") == []


@on_memory
async def test_a_task_group_in_the_body_is_ended_too(
    client: AsyncClient, other: AsyncClient
) -> None:
    ended = []

    async def work(number: int) -> None:
        try:
            await for_ever()
        finally:
            ended.append(number)

    async def body() -> None:
        async with client.lock("a", ttl_s=TTL_S), asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(work(number))
            await other.break_lock("a")

    with pytest.raises(LockLost):
        await body()
    assert sorted(ended) == [0, 1, 2]


@on_memory
async def test_of_two_bodies_the_one_that_was_lost_ends(
    client: AsyncClient, other: AsyncClient
) -> None:
    async def inner() -> None:
        async with client.lock("inner", ttl_s=TTL_S):
            await other.break_lock("inner")
            await for_ever()

    async def outer() -> None:
        async with client.lock("outer", ttl_s=TTL_S), client.lock("within"):
            await other.break_lock("outer")
            await for_ever()

    async with client.lock("around") as lease:
        with pytest.raises(LockLost, match="'inner'"):
            await inner()
        with pytest.raises(LockLost, match="'outer'"):
            await outer()
        lease.check()
        assert await other.names() == ["around"]


@on_memory
async def test_a_lease_without_a_body_cancels_nobody(
    client: AsyncClient, other: AsyncClient
) -> None:
    lease = await client.lock("a", ttl_s=TTL_S).acquire()
    await other.break_lock("a")
    while not lease.lost:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert nothing_is_pending()


@on_memory
async def test_a_body_may_be_left_by_another_task(client: AsyncClient) -> None:
    # As the two halves of a test fixture are run by two tasks.
    for lock in (client.lock("a"), client.lock("a", reentrant=True), client.locks(["a", "b"])):
        await asyncio.ensure_future(lock.__aenter__())
        assert await holders(client, "a") != []
        await asyncio.ensure_future(lock.__aexit__(None, None, None))
        assert await holders(client, "a") == []


@on_memory
async def test_a_client_that_is_closed_while_cancelled_is_closed(lock_url: str) -> None:
    client = AsyncClient(lock_url)
    async with AsyncClient(lock_url) as other:
        await client.locks(["a", "b"]).acquire()
        closing = asyncio.ensure_future(client.aclose())
        for _ in range(3):
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.wait({closing}, timeout=20)
        assert closing.cancelled()
        assert await other.names() == []
