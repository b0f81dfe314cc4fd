"""A transaction cancelled at every await there is: all or nothing, and nothing is left."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from concordant import AsyncCoordinator
from concordant.drivers import registry
from concordant.transactions.operations import Alive, OwnerStates
from tests.provision.memory import MEMORY
from tests.provision.sqlite import SQLITE
from tests.surface.aio.moving import coordinating
from tests.surface.aio.paying import BEFORE, Places, add, transfer
from tests.surface.stepping import WHENS, When, cancelled_at

STEPS_MAX = 300

pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


async def is_settled(coordinator: AsyncCoordinator, places: Places, times: int) -> int:
    """See that nothing is left, and return how many transfers there were by now."""
    # What was under way was brought to its end first; there is nothing to recover.
    assert await places.in_doubt() == []
    assert await coordinator.recover() == 0
    assert await coordinator.doubts() == []
    now = 0 if places.balances() == places.moved(times) else 1
    assert places.balances() == places.moved(times + now)
    # Nobody keeps a database for himself.
    async with asyncio.timeout(5), coordinator.transaction(*places.urls) as connections:
        for connection in connections:
            await add(connection, "eve", 0)
    return times + now


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("when", WHENS)
async def test_a_transaction(log_url: str, tmp_path: Path, when: When, named: bool) -> None:
    places = Places(tmp_path)
    async with coordinating(log_url, participants=places.urls) as coordinator:
        times = 0
        for at in range(1, STEPS_MAX):
            gid = f"g-{at}" if named else None

            async def pay(gid: str | None = gid) -> None:
                async with coordinator.transaction(*places.urls, gid=gid) as connections:
                    await transfer(connections)

            task, was_struck = await cancelled_at(at, when, pay)
            assert coordinator.all_running() == frozenset()
            times = await is_settled(coordinator, places, times)
            if not was_struck:
                assert not task.cancelled()
                break
            assert task.cancelled() or task.cancelling()
        assert 8 <= at < STEPS_MAX
        assert 0 < times < at


@pytest.mark.parametrize("when", WHENS)
async def test_one_place_alone(log_url: str, tmp_path: Path, when: When) -> None:
    places = Places(tmp_path)
    async with coordinating(log_url, participants=places.urls) as coordinator:

        async def pay() -> None:
            async with coordinator.transaction(places.urls[0]) as (connection,):
                await add(connection, "ada", -1)
                await add(connection, "bob", 1)

        for at in range(1, STEPS_MAX):
            _, was_struck = await cancelled_at(at, when, pay)
            await coordinator.recover()
            found = places.balances()[0]
            assert found["ada"] + found["bob"] == BEFORE["ada"] + BEFORE["bob"]
            async with asyncio.timeout(5), coordinator.transaction(places.urls[0]) as (free,):
                await add(free, "eve", 0)
            if not was_struck:
                break
        assert 4 <= at < STEPS_MAX


@pytest.mark.parametrize("when", WHENS)
async def test_entering_and_leaving_a_coordinator(log_url: str, tmp_path: Path, when: When) -> None:
    places = Places(tmp_path)

    assert SQLITE.log_url is not None
    before = set(threading.enumerate())
    for at in range(1, STEPS_MAX):
        # A new file each time, so that it takes a moment to register.
        new_log_url = SQLITE.log_url(tmp_path)
        coordinator = AsyncCoordinator(new_log_url, participants=places.urls, recover_every_s=3600)

        async def live(coordinator: AsyncCoordinator = coordinator) -> None:
            async with coordinator:
                assert await coordinator.outcome("g-1") is None

        _, was_struck = await cancelled_at(at, when, live)
        await asyncio.sleep(0.02)
        log = registry.async_transaction_log(new_log_url)
        owner = (coordinator.ownership.owner, 1)
        assert await log.apply([OwnerStates((owner,))]) == [Alive()]
        await log.aclose()
        left = [each.name for each in set(threading.enumerate()) - before if each.is_alive()]
        assert not [name for name in left if name.startswith("concordant-owner")], at
        if not was_struck:
            break
    assert 4 <= at < STEPS_MAX
    # The files are free: whoever comes next need not wait.
    participant = registry.async_participant(places.urls[0])
    assert await participant.in_doubt() == []
    await participant.aclose()
