"""A server that stands still: every wait for it is bounded, and nothing is made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from concordant import AsyncClient
from concordant.drivers import registry
from concordant.drivers.base import Participant
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.names import new_client
from concordant.locking.operations import Acquire
from concordant.transactions.operations import Decide, Listing, Load, OpenOwner
from tests.contract.parties import new_branch, strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled, until
from tests.provision.command_line import Shell

pytestmark = pytest.mark.server

REPLY_S = 0.3
LOCK_S = 0.3
# libpq takes nothing shorter.
CONNECT_S = 2
# A hung call is found, not a slow machine: four times what it may take.
BOUND_S = 4 * (REPLY_S + LOCK_S)
BUSY = (
    "SELECT 1 FROM pg_stat_activity"
    " WHERE application_name = 'concordant' AND state IS DISTINCT FROM 'idle'"
)
UNCERTAIN = (OutcomeUnknown, BackendUnavailable)


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    """The URL of a database with a table of notes, for the impatient."""
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    parameters = f"reply_timeout_s={REPLY_S}&lock_timeout_s={LOCK_S}&connect_timeout={CONNECT_S}"
    return f"{url}?{parameters}"


@pytest.fixture
def participant(url: str) -> Iterator[Participant]:
    with closing(registry.participant(url)) as participant:
        participant.resource()
        yield participant


def bounded(action: Callable[[], Any], bound_s: float = BOUND_S) -> None:
    """Have the call fail with an error of ours, and in time."""
    start_s = time.monotonic()
    with pytest.raises(UNCERTAIN):
        action()
    assert time.monotonic() - start_s < bound_s


def test_every_call_of_the_lock_store_is_bounded(server: TroubledServer, url: str) -> None:
    with closing(registry.lock_store(url)) as store:
        stream = store.hints(new_client())
        [first] = strangers(1)
        store.apply([Acquire("a", first, 60_000)])
        with server.frozen():
            bounded(lambda: store.apply([Acquire("b", first, 60_000)]))
            # That connection is given up, and another is not to be had.
            bounded(store.names, 4 * CONNECT_S)
            assert stream.get(0.05) == []
        assert store.names() != []
        stream.close()


def test_every_call_of_the_log_is_bounded(server: TroubledServer, url: str) -> None:
    with closing(registry.transaction_log(url)) as log:
        log.apply([OpenOwner("owner001", 600_000)])
        with server.frozen():
            bounded(lambda: log.apply([Decide("g", "commit", "owner001", 1)]))
            bounded(lambda: log.apply([Load("g")]), 4 * CONNECT_S)
        [listing] = log.apply([Load("g")])
        assert isinstance(listing, Listing)


def test_every_call_of_a_participant_is_bounded(
    server: TroubledServer, participant: Participant
) -> None:
    names = [new_branch() for _ in range(5)]
    vote, commit, work, idle, told = [participant.begin(name) for name in names]
    for number, branch in enumerate((vote, commit, told)):
        branch.connection.execute("INSERT INTO note VALUES (%s)", (number,))
    assert told.prepare().kind == "prepared"
    with server.frozen():
        bounded(lambda: participant.resolve(str(names[4]), True))
        bounded(vote.prepare)
        bounded(commit.commit_one_phase)
        with pytest.raises(psycopg.OperationalError, match="reply_timeout_s"):
            work.connection.execute("INSERT INTO note VALUES (99)")
        bounded(work.prepare)
        idle.abandon()
    # What was sent meanwhile is read now, by sessions that then find nobody at the other end.
    until(lambda: not server.ask(server.url("postgres"), BUSY))
    # Whatever came through after all, each ends in one way.
    for name in (names[0], names[4]):
        participant.resolve(str(name), True)
        assert participant.resolve(str(name), True) in ("already", "missing")
    participant.committed(str(names[1]))
    assert participant.in_doubt() == []


def test_a_server_that_stands_still_is_not_there_for_a_new_client(
    server: TroubledServer, url: str
) -> None:
    with server.frozen():
        calls: dict[str, Callable[[Any], Any]] = {
            "lock_store": lambda store: store.apply([]),
            "transaction_log": lambda log: log.apply([]),
            "participant": lambda participant: participant.resource(),
            "barrier": lambda barrier: barrier.enter("g", "s", "action"),
        }

        def ask(port: str) -> None:
            with closing(getattr(registry, port)(url)) as driver:
                with pytest.raises(BackendUnavailable, match="cannot be reached"):
                    calls[port](driver)

        for asked in [Meanwhile(lambda port=port: ask(port)) for port in calls]:
            asked.result()


async def test_a_loop_runs_on_while_its_server_stands_still(
    server: TroubledServer, url: str
) -> None:
    async with AsyncClient(url) as client:
        async with client.lock("a"):
            pass
        with server.frozen():
            asked = asyncio.create_task(client.lock("b", timeout_s=1).acquire())
            ticks = 0
            while not asked.done():
                await asyncio.sleep(0.01)
                ticks += 1
            with pytest.raises(UNCERTAIN):
                await asked
            assert ticks > 10
        async with client.lock("b", timeout_s=30):
            pass


COMMANDS = {
    "ls": ["lock", "ls"],
    "run": ["lock", "run", "a", "--", "touch", "ran"],
    "tx": ["tx", "ls"],
}


def test_a_command_is_told_that_the_server_is_not_there(
    server: TroubledServer, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    shell.environment["CONCORDANT_URL"] = server.fresh()
    shell.run("lock", "ls")
    with server.frozen():
        asked = {
            name: Meanwhile(lambda arguments=arguments: shell.run(*arguments))
            for name, arguments in COMMANDS.items()
        }
        for name, each in asked.items():
            done = each.result()
            assert done.returncode == 69, (name, done)
            assert done.stderr.count("\n") == 1, (name, done)
    assert not (tmp_path / "ran").exists()
