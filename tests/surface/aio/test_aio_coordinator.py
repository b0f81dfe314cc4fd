"""Global transactions through one coordinator: all databases change, or none does."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from concordant import AlreadyDecided, AsyncCoordinator, TransactionAborted, UsageError
from concordant.drivers import registry
from concordant.transactions.names import BRANCHES_MAX
from tests.provision.bridge import async_rows
from tests.provision.memory import MEMORY
from tests.surface.aio.moving import coordinating
from tests.surface.aio.paying import BEFORE, Gate, Places, Unsent, add, transfer
from tests.surface.together import AsyncBackground, async_eventually, async_together

# What the log has to do with it is held by its contract, and by the crash tests.
pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two databases."""
    return Places(tmp_path)


class Broken(Exception):
    """Raised by a body."""


# --- the way of a transaction -------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
async def test_connections_come_in_the_order_of_the_names(
    log_url: str, places: Places, turned: bool
) -> None:
    order = [1, 0] if turned else [0, 1]
    async with coordinating(log_url) as coordinator:
        async with coordinator.transaction(*(places.urls[i] for i in order)) as connections:
            await add(connections[order.index(0)], "ada", -10)
            await add(connections[order.index(1)], "bob", 10)
        assert places.balances() == places.moved()
    assert await places.in_doubt() == []


async def test_transactions_that_name_the_places_in_other_orders_do_not_deadlock(
    log_url: str, places: Places
) -> None:
    async with coordinating(log_url) as coordinator:

        async def pay(turned: bool) -> None:
            urls = places.urls[::-1] if turned else places.urls
            for _ in range(5):
                async with coordinator.transaction(*urls) as connections:
                    # Rows of its own, since one that is in doubt is not waited for.
                    for connection in connections:
                        await add(connection, "ada" if turned else "eve", 1)

        await async_together([partial(pay, turned) for turned in (False, True)])
    assert places.balances() == [BEFORE | {"ada": 105, "eve": 5}] * 2


async def test_a_body_that_raises_changes_nothing(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        error = Broken()
        with pytest.raises(Broken) as caught:
            await break_off(coordinator, places, error)
        assert caught.value is error
        assert places.balances() == [BEFORE, BEFORE]
        assert await places.in_doubt() == []
        assert await coordinator.outcome("g-1") is None
        # Nothing of it is in the way of another try.
        async with coordinator.transaction(*places.urls, gid="g-1") as connections:
            await transfer(connections)
        assert places.balances() == places.moved()


async def break_off(coordinator: AsyncCoordinator, places: Places, error: Exception) -> None:
    async with coordinator.transaction(*places.urls, gid="g-1") as connections:
        await transfer(connections)
        raise error


async def test_a_refused_vote_aborts_everywhere_and_says_where_and_why(
    log_url: str, places: Places
) -> None:
    async with coordinating(log_url) as coordinator:
        with pytest.raises(TransactionAborted) as caught:
            await refused(coordinator, places)
        assert re.search(r"store-\d+\.db\S* refused to prepare: .*CREATE", str(caught.value))
        assert places.balances() == [BEFORE, BEFORE]
        assert await places.in_doubt() == []
        assert await coordinator.doubts() == []


async def refused(coordinator: AsyncCoordinator, places: Places) -> None:
    async with coordinator.transaction(*places.urls) as connections:
        await transfer(connections)
        with pytest.raises(UsageError):
            await async_rows(connections[1], "CREATE TABLE made_inside (id TEXT PRIMARY KEY)")


async def test_who_only_reads_leaves_no_decision(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        async with coordinator.transaction(*places.urls, gid="g-1") as connections:
            for connection in connections:
                assert await async_rows(connection, "SELECT count(*) FROM account") == [(3,)]
        assert await coordinator.outcome("g-1") is None


async def test_one_place_alone(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        alone = coordinator.transaction(places.urls[0])
        async with alone as (connection,):
            await add(connection, "ada", -10)
        assert alone.state == "committed"
        assert places.balances() == [places.moved()[0], BEFORE]
        # In one phase, so that nobody has it but the place itself.
        assert await coordinator.outcome(alone.gid) is None


async def test_one_place_alone_under_a_gid_is_done_once(log_url: str, places: Places) -> None:
    for number in range(2):
        # The second time it is another process, which has only the gid in common.
        async with coordinating(log_url) as coordinator:
            transaction = coordinator.transaction(places.urls[0], gid="g-1")
            if number:
                with pytest.raises(AlreadyDecided):
                    await transaction.__aenter__()
                continue
            async with transaction as (connection,):
                await add(connection, "ada", -10)
            assert await coordinator.outcome("g-1") == "commit"
    assert places.balances() == [places.moved()[0], BEFORE]


@pytest.mark.parametrize("command", ["Prepare", "CommitOnePhase"])
async def test_a_request_that_was_never_sent_keeps_no_place_busy(
    log_url: str, places: Places, command: str
) -> None:
    unsent = Unsent(command)
    urls = places.urls if command == "Prepare" else places.urls[:1]
    async with coordinating(log_url, executor=unsent) as coordinator:
        with pytest.raises(TransactionAborted, match="broken by the test"):
            await touch(coordinator, urls)
        assert unsent.hits == 1
        # The next one need not wait for what the first has left open.
        await touch(coordinator, urls)
    assert [place["eve"] for place in places.balances()][: len(urls)] == [1] * len(urls)


async def touch(coordinator: AsyncCoordinator, urls: list[str]) -> None:
    async with coordinator.transaction(*urls) as connections:
        for connection in connections:
            await add(connection, "eve", 1)


# --- gids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
async def test_a_gid_that_was_decided_runs_no_body(
    log_url: str, places: Places, same: bool
) -> None:
    async with coordinating(log_url) as first, coordinating(log_url) as second:
        async with first.transaction(*places.urls, gid="g-1") as connections:
            await transfer(connections)
        coordinator = first if same else second
        assert await coordinator.outcome("g-1") == "commit"
        with pytest.raises(AlreadyDecided) as caught:
            await coordinator.transaction(*places.urls, gid="g-1").__aenter__()
        assert caught.value.outcome == "commit"
        assert places.balances() == places.moved()
        async with coordinator.transaction(*places.urls) as connections:
            await transfer(connections)


async def test_of_two_attempts_under_one_gid_one_commits(log_url: str, places: Places) -> None:
    gate = Gate("deciding", "WriteDecision")
    async with (
        coordinating(log_url, executor=gate) as slow,
        coordinating(log_url, participants=places.urls) as fast,
    ):

        async def attempt() -> None:
            async with slow.transaction(*places.urls, gid="g-1") as connections:
                # It writes other rows, or it would have to wait for the first.
                await add(connections[0], "eve", 1)
                await add(connections[1], "eve", 1)

        first = AsyncBackground(attempt)
        await async_eventually(gate.was_reached)
        async with fast.transaction(*places.urls, gid="g-1") as connections:
            await transfer(connections)
        gate.open = True
        with pytest.raises(AlreadyDecided) as caught:
            await first.result()
        assert caught.value.outcome == "commit"
    assert places.balances() == places.moved()
    assert await places.in_doubt() == []


async def test_a_gid_under_way_is_not_begun_again(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        async with coordinator.transaction(*places.urls, gid="g-1") as connections:
            with pytest.raises(UsageError, match="under way"):
                await coordinator.transaction(*places.urls, gid="g-1").__aenter__()
            await transfer(connections)
    assert places.balances() == places.moved()


@pytest.mark.parametrize("gid", ["", "a b", "g/1", "é", "x" * 37, "g\n"])
async def test_a_gid_that_cannot_be_one_is_refused(log_url: str, places: Places, gid: str) -> None:
    async with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="a gid is"):
            coordinator.transaction(*places.urls, gid=gid)
        with pytest.raises(UsageError, match="a gid is"):
            await coordinator.outcome(gid)


@pytest.mark.parametrize("gid", ["x", "x" * 36, "A.b_c-9"])
async def test_a_gid_may_use_its_whole_alphabet(log_url: str, places: Places, gid: str) -> None:
    async with coordinating(log_url) as coordinator:
        async with coordinator.transaction(*places.urls, gid=gid) as connections:
            await transfer(connections)
        assert await coordinator.outcome(gid) == "commit"


async def test_an_unknown_gid_has_no_outcome(log_url: str) -> None:
    async with coordinating(log_url) as coordinator:
        assert await coordinator.outcome("never-heard-of") is None


# --- use ----------------------------------------------------------------------------------


async def test_a_place_is_named_once(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="once"):
            coordinator.transaction(places.urls[0], places.urls[0])
        given = registry.async_participant(places.urls[0])
        with pytest.raises(UsageError, match="once"):
            coordinator.transaction(given, given)


async def test_one_database_under_two_names_is_found_out(log_url: str, places: Places) -> None:
    again = places.urls[0].replace("sqlite:///", "sqlite:////./", 1)
    async with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="one and the same"):
            await coordinator.transaction(places.urls[0], places.urls[1], again).__aenter__()
        # Nothing of it was left open.
        async with coordinator.transaction(*places.urls) as connections:
            await transfer(connections)


async def test_a_transaction_has_at_least_one_place_and_not_too_many(log_url: str) -> None:
    async with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="1 to 64"):
            coordinator.transaction()
        with pytest.raises(UsageError, match="1 to 64"):
            coordinator.transaction(*(f"sqlite:///tmp/{i}.db" for i in range(BRANCHES_MAX + 1)))


async def test_a_transaction_is_entered_once(log_url: str, places: Places) -> None:
    async with coordinating(log_url) as coordinator:
        transaction = coordinator.transaction(*places.urls)
        async with transaction as connections:
            with pytest.raises(UsageError, match="entered once"):
                await transaction.__aenter__()
            await transfer(connections)
        with pytest.raises(UsageError, match="entered once"):
            await transaction.__aenter__()
    assert places.balances() == places.moved()


async def test_participants_may_be_given_as_objects(log_url: str, places: Places) -> None:
    given = [registry.async_participant(url) for url in places.urls]
    async with coordinating(log_url, participants=given) as coordinator:
        assert coordinator.participants() == given
        async with coordinator.transaction(*given) as connections:
            await transfer(connections)
        assert coordinator.participants() == given
    assert places.balances() == places.moved()


async def test_a_place_that_is_not_there_changes_nothing_elsewhere(
    log_url: str, places: Places, tmp_path: Path
) -> None:
    nowhere = f"sqlite://{tmp_path}/no-such-folder/x.db"
    async with coordinating(log_url) as coordinator:
        with pytest.raises(Exception, match="no-such-folder"):
            await coordinator.transaction(*places.urls, nowhere).__aenter__()
        async with coordinator.transaction(*places.urls) as connections:
            await transfer(connections)
    assert places.balances() == places.moved()
