"""Cancelled at every await, transactions and sagas on PostgreSQL leave nothing on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from concordant import AsyncCoordinator, StepFailed
from tests.contract.banks import BEFORE, balances, open_bank
from tests.provision.bridge import async_rows
from tests.provision.postgres import POSTGRES, PostgresDialect
from tests.surface.aio.moving import Banks, coordinating, failing
from tests.surface.leftovers import Leftovers, epochs_running
from tests.surface.stepping import WHENS, When, cancelled_at
from tests.surface.together import async_eventually

STEPS_MAX = 400
SESSIONS = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
SESSIONS += "pg_backend_pid() AND backend_type = 'client backend'"

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("log_backend", [pytest.param(POSTGRES, id="postgresql")]),
]


class Places:
    """Two databases of one server; each transfer moves 10 from ada to bob."""

    def __init__(self, folder: Path) -> None:
        assert POSTGRES.participant_url is not None
        self.urls = [open_bank(POSTGRES, POSTGRES.participant_url(folder)) for _ in range(2)]

    def ask(self, statement: str) -> list[list[tuple[Any, ...]]]:
        """Return what a plain connection reads at each place."""
        return [PostgresDialect().outside(url, statement) for url in self.urls]

    def is_moved(self, times: int) -> bool:
        found = [balances(POSTGRES, url) for url in self.urls]
        return found == [
            BEFORE | {"ada": BEFORE["ada"] - 10 * times},
            BEFORE | {"bob": BEFORE["bob"] + 10 * times},
        ]

    async def are_quiet(self) -> bool:
        """Tell whether no session is in the middle of anything, and nothing is prepared."""
        prepared = self.ask("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        states = {state for found in self.ask(SESSIONS) for (state,) in found}
        return prepared == [[], []] and states <= {"idle"}

    async def are_left(self) -> bool:
        """Tell whether nobody is connected."""
        return self.ask(SESSIONS) == [[], []]


async def change(connection: Any, account: str, amount: int) -> None:
    await async_rows(
        connection, "UPDATE account SET balance = balance + %s WHERE id = %s", amount, account
    )


async def transfer(connections: Sequence[Any]) -> None:
    await change(connections[0], "ada", -10)
    await change(connections[1], "bob", 10)


async def is_settled(coordinator: AsyncCoordinator, places: Places, times: int) -> int:
    """See that nothing is left, and return how many transfers there were by now."""
    await async_eventually(places.are_quiet)
    assert await coordinator.recover() == 0
    assert await coordinator.doubts() == []
    now = times if places.is_moved(times) else times + 1
    assert places.is_moved(now)
    async with asyncio.timeout(5), coordinator.transaction(*places.urls) as connections:
        await change(connections[0], "eve", 0)
        await change(connections[1], "eve", 0)
    return now


@pytest.mark.parametrize("when", WHENS)
async def test_a_transaction_over_two_databases(log_url: str, tmp_path: Path, when: When) -> None:
    places = Places(tmp_path)
    await asyncio.to_thread(int)
    before = Leftovers()
    async with coordinating(log_url, participants=places.urls) as coordinator:
        times = 0
        for at in range(1, STEPS_MAX):

            async def pay(gid: str = f"g-{at}") -> None:
                async with coordinator.transaction(*places.urls, gid=gid) as connections:
                    await transfer(connections)

            _, was_struck = await cancelled_at(at, when, pay)
            assert coordinator.all_running() == frozenset()
            times = await is_settled(coordinator, places, times)
            if not was_struck:
                break
        assert 5 <= at < STEPS_MAX
        assert 0 < times < at
    await async_eventually(places.are_left)
    await asyncio.to_thread(before.none, when)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("refused", [False, True], ids=["committing", "aborting"])
async def test_a_saga(log_url: str, tmp_path: Path, when: When, refused: bool) -> None:
    banks = Banks(POSTGRES, tmp_path)
    ada, bob = banks.balances()
    saga = banks.saga(attempts_max=10)
    if refused:
        banks.inside["credit"] = failing(error=StepFailed)
    await asyncio.to_thread(int)
    before = Leftovers()
    async with coordinating(log_url, saga) as coordinator:
        for at in range(1, STEPS_MAX):

            async def run(gid: str = f"g-{at}") -> str:
                return (await coordinator.run(saga, {"amount": 1}, gid=gid)).state

            _, was_struck = await cancelled_at(at, when, run)
            await coordinator.recover()
            assert await coordinator.sagas() == []
            assert await run() == ("aborted" if refused else "committed")
            if not refused:
                ada, bob = ada - 1, bob + 1
            assert banks.balances() == (ada, bob)
            if not was_struck:
                break
        assert 10 <= at < STEPS_MAX
    await asyncio.to_thread(before.none, when)


@pytest.mark.parametrize("when", WHENS)
async def test_beginning_and_ending(log_url: str, tmp_path: Path, when: When) -> None:
    places = Places(tmp_path)
    await asyncio.to_thread(int)
    before = Leftovers()
    for at in range(1, STEPS_MAX):
        coordinator = AsyncCoordinator(log_url, participants=places.urls, recover_every_s=3600)

        async def live(coordinator: AsyncCoordinator = coordinator) -> None:
            async with coordinator:
                assert await coordinator.outcome("g-1") is None

        was_struck = (await cancelled_at(at, when, live))[1]
        await async_eventually(places.are_left)
        await asyncio.to_thread(before.none, at)
        assert epochs_running(log_url, coordinator) == frozenset(), at
        await coordinator.__aexit__(None, None, None)
        if not was_struck:
            break
    assert 8 <= at < STEPS_MAX
