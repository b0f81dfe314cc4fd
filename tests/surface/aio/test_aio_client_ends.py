"""What a client refuses, and what is left when it is closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest

from concordant import AsyncClient, LockLost, LockTimeout, UsageError
from tests.surface.aio.standing import holders, until_waiting
from tests.surface.together import AsyncBackground


async def test_closing_gives_back_what_is_held(client: AsyncClient, lock_url: str) -> None:
    other = AsyncClient(lock_url)
    lease = await other.lock("a").acquire()
    leases = await other.locks(["b", "c"]).acquire()
    await other.aclose()
    assert await client.names() == []
    with pytest.raises(LockLost):
        lease.check()
    with pytest.raises(LockLost):
        await lease.release()
    with pytest.raises(LockLost):
        await leases.release()


async def test_closing_gives_back_more_than_one_batch(client: AsyncClient, lock_url: str) -> None:
    async with AsyncClient(lock_url) as other:
        await other.locks([f"n{number}" for number in range(250)]).acquire()
        await other.locks([f"m{number}" for number in range(250)]).acquire()
    assert await client.names() == []


async def test_closing_ends_who_waits(client: AsyncClient, lock_url: str) -> None:
    other = AsyncClient(lock_url)
    async with client.lock("a"):
        waiting = [AsyncBackground(other.lock("a").acquire) for _ in range(3)]
        waiting.append(AsyncBackground(other.locks(["A", "a"]).acquire))
        await until_waiting(client, "a", 4)
        await other.aclose()
        for each in waiting:
            with pytest.raises(UsageError, match="closed"):
                await each.result()
        # A place that was left in the queue would hold up whoever comes next.
        assert (await client.inspect("a")).waiters == ()
        assert await holders(client, "A") == []


async def test_a_closed_client_is_of_no_use(lock_url: str) -> None:
    client = AsyncClient(lock_url)
    lock = client.lock("a")
    async with client:
        async with lock:
            pass
    for ask in (
        lock.acquire,
        client.locks(["a", "b"]).acquire,
        partial(client.inspect, "a"),
        client.names,
        partial(client.break_lock, "a"),
        client.ping,
    ):
        with pytest.raises(UsageError, match="closed"):
            await ask()
    with pytest.raises(UsageError, match="closed"):
        async with client:
            pass
    await client.aclose()


async def test_a_client_that_was_never_used_can_be_closed(lock_url: str) -> None:
    await AsyncClient(lock_url).aclose()


@pytest.mark.parametrize("ttl_s", [math.nan, math.inf, -math.inf, -1, 0, 0.049, 1e9])
async def test_a_ttl_out_of_bounds_is_refused(client: AsyncClient, ttl_s: float) -> None:
    with pytest.raises(UsageError, match="ttl_s"):
        client.lock("a", ttl_s=ttl_s)
    with pytest.raises(UsageError, match="ttl_s"):
        client.locks(["a"], ttl_s=ttl_s)


@pytest.mark.parametrize("timeout_s", [math.nan, -math.inf, -1, -1.0, -0.001])
async def test_a_timeout_that_is_none_is_refused(client: AsyncClient, timeout_s: float) -> None:
    with pytest.raises(UsageError, match="timeout_s"):
        client.lock("a", timeout_s=timeout_s)
    with pytest.raises(UsageError, match="timeout_s"):
        await client.lock("a").acquire(timeout_s=timeout_s)
    with pytest.raises(UsageError, match="timeout_s"):
        await client.locks(["a", "b"]).acquire(timeout_s=timeout_s)
    assert await client.names() == []


async def test_an_endless_timeout_is_for_ever(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    lease = await client.lock("a", timeout_s=math.inf).acquire()
    waiting = AsyncBackground(partial(open_client().lock("a", timeout_s=0).acquire, timeout_s=None))
    await until_waiting(client, "a", 1)
    await lease.release()
    await (await waiting.result()).release()


@pytest.mark.parametrize("name", ["", "a\nb", "a\0", "\x7f", "\ud800", "x" * 513, "é" * 257, b"a"])
async def test_what_is_no_name_is_refused(client: AsyncClient, name: str) -> None:
    with pytest.raises(UsageError):
        client.lock(name)
    with pytest.raises(UsageError):
        client.locks(["a", name])
    with pytest.raises(UsageError):
        await client.inspect(name)
    with pytest.raises(UsageError):
        await client.break_lock(name)


async def test_a_note_that_is_too_long_is_refused(client: AsyncClient) -> None:
    with pytest.raises(UsageError, match="note"):
        await client.lock("a", note="x" * 513).acquire()
    with pytest.raises(UsageError, match="note"):
        await client.locks(["a", "b"], note="é" * 257).acquire()
    async with client.lock("a", note="x" * 512):
        pass
    assert await client.names() == []


async def test_a_client_says_what_it_is(client: AsyncClient) -> None:
    assert type(client).__name__ in repr(client)
    assert str(client.capabilities.fencing) in repr(client)
    async with client.lock("a") as lease:
        assert repr(lease) == f"<{type(lease).__name__} 'a' fence={lease.fence} held>"
    assert "ended" in repr(lease)


async def test_a_try_that_failed_leaves_the_lock_usable(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()
    lock = other.lock("a", timeout_s=0)
    async with client.lock("a"):
        for _ in range(3):
            with pytest.raises(LockTimeout):
                async with lock:
                    pass
    async with lock:
        pass
