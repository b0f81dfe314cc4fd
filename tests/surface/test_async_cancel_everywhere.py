"""Cancelled at every await there is, nothing is left behind and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from concordant import AsyncClient, LockLost, LockTimeout
from concordant.locking.operations import Acquire, Cancel
from tests.surface.aio.standing import holders, until_free, until_waiting, waiters
from tests.surface.faults import Faults
from tests.surface.stepping import WHENS, When, cancelled_at

Scenario = Callable[[], Coroutine[Any, Any, Any]]

# Far more suspensions than any of these has.
STEPS_MAX = 100


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    async with AsyncClient(url) as one, AsyncClient(url) as other:
        # Both listen before it begins, as they do in the long run.
        async with other.lock("warm-up"):
            with pytest.raises(LockTimeout):
                await one.lock("warm-up").acquire(timeout_s=0.01)
        yield one, other


async def nothing_is_left(client: AsyncClient, *names: str) -> None:
    """See at once, not after a while: cancellation settles before it goes on."""
    for name in names:
        assert await holders(client, name) == [], name
        assert await waiters(client, name) == [], name


@pytest.mark.parametrize("when", WHENS)
async def test_acquiring_and_releasing_alone(lock_url: str, when: When) -> None:
    async with clients(lock_url) as (one, other):

        async def by_hand() -> None:
            lease = await one.lock("a").acquire()
            try:
                await asyncio.sleep(0)
            finally:
                await lease.release()

        async def by_body() -> None:
            async with one.lock("a") as lease:
                await asyncio.sleep(0)
                lease.check()

        for scenario in (by_hand, by_body):
            for at in range(1, STEPS_MAX):
                task, was_struck = await cancelled_at(at, when, scenario)
                await nothing_is_left(other, "a")
                if not was_struck:
                    assert not task.cancelled()
                    break
                assert task.cancelled()
            assert 3 <= at < STEPS_MAX


@pytest.mark.parametrize("when", WHENS)
async def test_waiting_for_another(lock_url: str, when: When) -> None:
    async with clients(lock_url) as (one, other):
        held = await other.lock("a").acquire()

        async def wait() -> None:
            with pytest.raises(LockTimeout):
                await one.lock("a").acquire(timeout_s=0.02)

        for at in range(1, STEPS_MAX):
            _, was_struck = await cancelled_at(at, when, wait)
            assert await waiters(other, "a") == []
            assert await holders(other, "a") == [held.owner]
            if not was_struck:
                break
        assert 3 <= at < STEPS_MAX
        await held.release()
        await nothing_is_left(other, "a")


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("when", WHENS)
async def test_being_handed_the_lock_meanwhile(lock_url: str, when: When, inside: bool) -> None:
    async with clients(lock_url) as (one, other):
        holder = one if inside else other
        for at in range(1, STEPS_MAX):
            held = await holder.lock("a").acquire()

            async def take() -> None:
                async with one.lock("a") as lease:
                    lease.check()

            striking = asyncio.ensure_future(cancelled_at(at, when, take))
            # As soon as it waits, so that its grant and its cancellation meet.
            while not await waiters(other, "a") and not striking.done():
                await asyncio.sleep(0)
            await held.release()
            _, was_struck = await striking
            await nothing_is_left(other, "a")
            if not was_struck:
                break
        assert 3 <= at < STEPS_MAX


@pytest.mark.parametrize("when", WHENS)
async def test_the_next_in_line_is_not_held_up(lock_url: str, when: When) -> None:
    async with clients(lock_url) as (one, other):
        for at in range(1, STEPS_MAX):
            held = await other.lock("a").acquire()

            async def take() -> None:
                async with one.lock("a"):
                    pass

            async def next_in_line() -> None:
                # Within less than an unconfirmed grant would need to lapse.
                async with other.lock("a", timeout_s=1.5, note="next"):
                    pass

            striking = asyncio.ensure_future(cancelled_at(at, when, take))
            while not await waiters(other, "a") and not striking.done():
                await asyncio.sleep(0)
            following = asyncio.ensure_future(next_in_line())
            while "next" not in [w.note for w in (await other.inspect("a")).waiters]:
                await asyncio.sleep(0)
            await held.release()
            _, was_struck = await striking
            await following
            await nothing_is_left(other, "a")
            if not was_struck:
                break
        assert 3 <= at < STEPS_MAX


@pytest.mark.parametrize("when", WHENS)
async def test_taking_several(lock_url: str, when: When) -> None:
    async with clients(lock_url) as (one, other):

        async def take() -> None:
            async with one.locks(["a", "b", "c"]) as leases:
                await asyncio.sleep(0)
                leases.check()

        for busy in ("", "a", "b", "c"):
            for at in range(1, STEPS_MAX):
                held = await other.lock(busy).acquire() if busy else None
                striking = asyncio.ensure_future(cancelled_at(at, when, take))
                while busy and not await waiters(other, busy) and not striking.done():
                    await asyncio.sleep(0)
                if held is not None:
                    await held.release()
                _, was_struck = await striking
                await nothing_is_left(other, "a", "b", "c")
                if not was_struck:
                    break
            assert 3 <= at < STEPS_MAX


async def test_cancelled_again_while_it_withdraws(lock_url: str) -> None:
    async with clients(lock_url) as (one, other):
        for turns in range(15):
            held = await other.lock("d").acquire()
            acquiring = asyncio.ensure_future(one.locks(["a", "b", "c", "d", "e"]).acquire())
            await until_waiting(other, "d", 1)
            acquiring.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            # At another step of the withdrawal each time, and then at the next but one.
            acquiring.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            acquiring.cancel()
            with pytest.raises(asyncio.CancelledError):
                await acquiring
            await nothing_is_left(other, "a", "b", "c", "e")
            assert await waiters(other, "d") == []
            await held.release()


async def test_a_release_that_is_cancelled_is_done(lock_url: str) -> None:
    async with clients(lock_url) as (one, other):
        for at in range(1, STEPS_MAX):
            lease = await one.lock("a").acquire()
            task, was_struck = await cancelled_at(at, "at once", lease.release)
            await nothing_is_left(other, "a")
            with pytest.raises(LockLost):
                await lease.release()
            if not was_struck:
                break
            assert task.cancelled()
        assert 2 <= at < STEPS_MAX


async def test_cancelled_while_the_request_is_on_its_way(lock_url: str, faults: Faults) -> None:
    async with AsyncClient(faults.url(lock_url)) as one, AsyncClient(lock_url) as other:
        for acquire in (one.lock("a").acquire, one.locks(["a", "b"]).acquire):
            held = faults.on("held", Acquire)
            task = asyncio.ensure_future(acquire())
            while not held.hits:
                await asyncio.sleep(0)
            task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            held.end()
            await asyncio.wait({task}, timeout=20)
            assert task.cancelled()
            # Whether the cancellation went ahead of the request or behind it.
            for name in ("a", "b"):
                await until_free(other, name)
                async with other.lock(name, timeout_s=0):
                    pass


async def test_cancelled_while_the_store_does_not_answer(lock_url: str, faults: Faults) -> None:
    async with AsyncClient(faults.url(lock_url)) as one, AsyncClient(lock_url) as other:
        held = await other.lock("a").acquire()
        task = asyncio.ensure_future(one.lock("a").acquire())
        await until_waiting(other, "a", 1)
        rule = faults.on("refused", Cancel, times=2)
        task.cancel()
        await asyncio.wait({task}, timeout=20)
        assert task.cancelled()
        await until_waiting(other, "a", 0)
        assert rule.hits == 2
        await held.release()
