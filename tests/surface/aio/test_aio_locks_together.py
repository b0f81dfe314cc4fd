"""Several locks at once: all or none, and never a deadlock among themselves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from concordant import AsyncClient, LockLost, LockTimeout, UsageError
from tests.provision.bridge import async_sleep
from tests.surface.aio.standing import holders, until_free, until_waiting
from tests.surface.together import AsyncBackground, async_together


async def test_all_are_held_and_all_given_back(client: AsyncClient) -> None:
    async with client.locks(["b", "a", "c"]) as leases:
        assert list(leases) == ["a", "b", "c"]
        assert len(leases) == 3
        leases.check()
        for name, lease in leases.items():
            assert lease.name == name
            assert await holders(client, name) == [lease.owner]
    assert await client.names() == []
    with pytest.raises(LockLost):
        leases.check()


async def test_acquire_and_release_of_several(client: AsyncClient) -> None:
    leases = await client.locks(["a", "b"]).acquire()
    assert await client.names() == ["a", "b"]
    await leases.release()
    assert await client.names() == []
    with pytest.raises(LockLost):
        await leases.release()


@pytest.mark.parametrize("held", ["a", "b", "c"])
@pytest.mark.parametrize("timeout_s", [0, 0.1])
async def test_all_or_none(
    client: AsyncClient, open_client: Callable[[], AsyncClient], held: str, timeout_s: float
) -> None:
    async with open_client().lock(held) as other:
        begun = time.monotonic()
        with pytest.raises(LockTimeout):
            async with client.locks(["a", "b", "c"], timeout_s=timeout_s):
                pass
        # One bound for all of them, with room for a busy machine.
        assert time.monotonic() - begun < 4 * timeout_s + 0.6
        assert await client.names() == [held]
        view = await client.inspect(held)
        assert [holder.owner for holder in view.holders] == [other.owner]
        assert view.waiters == ()


async def test_a_timeout_tells_the_time_that_was_given_for_all(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    """The second lock is busy, so the first one has used some of the time up."""
    first = await open_client().lock("a").acquire()
    async with open_client().lock("b"):
        waiting = AsyncBackground(client.locks(["a", "b"], timeout_s=0.5).acquire)
        await until_waiting(client, "a", 1)
        await first.release()
        with pytest.raises(LockTimeout) as raised:
            await waiting.result()
        assert str(raised.value).partition(" at ")[0] == "'b' was not granted within 0.5 s"
        assert (await client.inspect("b")).waiters == ()


async def test_what_comes_after_a_busy_one_is_not_kept_meanwhile(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    lease = await client.lock("b").acquire()
    waiting = AsyncBackground(open_client().locks(["a", "b", "c"]).acquire)
    await until_waiting(client, "b", 1)
    # Holding "c" here while waiting for "b" could deadlock with who goes the other way.
    async with client.lock("c", timeout_s=0):
        pass
    with pytest.raises(LockTimeout):
        await client.lock("a", timeout_s=0).acquire()
    await lease.release()
    leases = await waiting.result()
    leases.check()
    await leases.release()


async def test_crossing_orders_never_deadlock(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    users = [client, open_client()]
    names = ["a", "b", "c", "d"]
    inside = dict.fromkeys(names, 0)
    done = 0

    async def work(seed: int) -> None:
        nonlocal done
        chance = random.Random(seed)
        for _ in range(6):
            mine = chance.sample(names, chance.randint(1, 3))
            async with users[seed % 2].locks(mine) as leases:
                for name in mine:
                    inside[name] += 1
                    assert inside[name] == 1
                await async_sleep(0.001)
                leases.check()
                for name in mine:
                    inside[name] -= 1
                done += 1

    await async_together([partial(work, seed) for seed in range(8)])
    assert done == 8 * 6
    for name in names:
        await until_free(client, name)


async def test_one_that_is_lost_is_told_and_the_rest_given_back(
    client: AsyncClient, open_client: Callable[[], AsyncClient]
) -> None:
    other = open_client()
    leases = await client.locks(["a", "b", "c"]).acquire()
    await other.break_lock("b")
    with pytest.raises(LockLost, match="'b'"):
        await leases.release()
    assert await client.names() == []


async def test_more_than_one_batch_can_be_held(client: AsyncClient) -> None:
    leases = await client.locks([f"n{number}" for number in range(256)]).acquire()
    more = await client.locks([f"m{number}" for number in range(40)]).acquire()
    await leases.release()
    assert len(await client.names(limit=300)) == 40
    await more.release()
    assert await client.names() == []


async def test_entering_several_again_in_their_own_body_is_an_error(client: AsyncClient) -> None:
    locks = client.locks(["a", "b"])
    async with locks as leases:
        with pytest.raises(UsageError, match="this very"):
            async with locks:
                pass
        leases.check()
    assert await client.names() == []


@pytest.mark.parametrize("names", ["ab", [], ["a", "a"], ["a", ""], [f"{i}" for i in range(257)]])
async def test_what_is_no_list_of_names_is_refused(client: AsyncClient, names: list[str]) -> None:
    with pytest.raises(UsageError):
        client.locks(names)
