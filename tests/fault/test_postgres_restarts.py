"""A server that is killed and comes back, while locks are held and branches are prepared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from concordant import Client, Coordinator
from concordant.drivers import registry
from concordant.drivers.postgres.guard import guard
from concordant.errors import BackendUnavailable, OutcomeUnknown, StaleFence
from concordant.transactions.operations import Decide, Decision, Finish, Listing, Load, OpenOwner
from tests.contract.parties import new_branch
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled, until

pytestmark = pytest.mark.server


@pytest.fixture
def server() -> Iterator[TroubledServer]:
    server = troubled()
    yield server
    server.restart_with()


@pytest.fixture
def url(server: TroubledServer) -> str:
    """The URL of an empty database with a table of notes."""
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    return url


@pytest.fixture
def notes(server: TroubledServer, url: str) -> Callable[[], list[int]]:
    """What everybody can read of the notes."""
    return lambda: [row[0] for row in server.ask(url, "SELECT id FROM note ORDER BY id")]


def test_a_lock_outlives_its_server_and_goes_to_who_waits(server: TroubledServer, url: str) -> None:
    with Client(url) as holder, Client(url) as waiter:
        lease = holder.lock("a", ttl_s=20).acquire()
        waiting = Meanwhile(lambda: waiter.lock("a", ttl_s=20, timeout_s=60).acquire())
        until(lambda: holder.inspect("a").waiters)
        server.restart()
        lease.check()
        (standing,) = holder.inspect("a").holders
        assert (standing.owner, standing.fence) == (lease.owner, lease.fence)
        lease.release()
        next_one = waiting.result()
        assert next_one.fence > lease.fence
        next_one.release()


def test_a_lease_that_ends_while_the_server_is_down_goes_on_under_a_higher_fence(
    server: TroubledServer, url: str
) -> None:
    with Client(url) as holder, Client(url) as waiter:
        lease = holder.lock("a", ttl_s=0.6).acquire()
        server.kill()
        until(lambda: lease.lost)
        waiting = Meanwhile(lambda: waiter.lock("a", timeout_s=None).acquire())
        with pytest.raises(BackendUnavailable):
            waiting.result()
        server.restart_with()
        taken = waiter.lock("a", timeout_s=60).acquire()
        assert taken.fence > lease.fence
        with Coordinator(url) as coordinator:
            with coordinator.transaction(url) as (connection,):
                guard(connection, "a", taken)
            with pytest.raises(StaleFence), coordinator.transaction(url) as (connection,):
                guard(connection, "a", lease)


def test_fences_rise_over_restarts(server: TroubledServer, url: str) -> None:
    fences = []
    with Client(url) as client:
        for _ in range(3):
            with client.lock("a", timeout_s=30) as lease:
                fences.append(lease.fence)
            server.restart()
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("commit", [True, False])
def test_a_vote_outlives_the_server(
    server: TroubledServer, url: str, notes: Callable[[], list[int]], commit: bool
) -> None:
    name = new_branch()
    with closing(registry.participant(url)) as participant:
        branch = participant.begin(name)
        branch.connection.execute("INSERT INTO note VALUES (1)")
        assert branch.prepare().kind == "prepared"
        server.restart()
        assert [each.branch for each in participant.in_doubt()] == [str(name)]
        assert participant.resolve(str(name), commit) == "done"
        server.restart()
        assert participant.resolve(str(name), True) == ("already" if commit else "missing")
    assert notes() == ([1] if commit else [])


def test_a_branch_without_a_vote_is_gone_with_the_server(
    server: TroubledServer, url: str, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    with closing(registry.participant(url)) as participant:
        branch = participant.begin(name)
        branch.connection.execute("INSERT INTO note VALUES (1)")
        server.restart()
        with pytest.raises(OutcomeUnknown):
            branch.prepare()
        assert participant.in_doubt() == []
        assert not participant.committed(str(name))
    assert notes() == []


def test_decisions_that_were_told_outlive_the_server(server: TroubledServer, url: str) -> None:
    """What was answered is there; what is said not to have been applied is not."""
    with closing(registry.transaction_log(url)) as log:
        log.apply([OpenOwner("owner001", 600_000)])
    told: dict[str, str] = {}
    undone: set[str] = set()
    stop = threading.Event()

    def decide(writer: int) -> None:
        number = 0
        with closing(registry.transaction_log(url)) as log:
            while not stop.is_set():
                number += 1
                gid = f"{writer}-{number}"
                batch = [Decide(gid, "commit", "owner001", 1), Finish(f"{writer}-{number - 1}")]
                try:
                    stands, _ = log.apply(batch)
                except BackendUnavailable:
                    undone.add(gid)
                    time.sleep(0.005)
                except OutcomeUnknown:
                    pass
                else:
                    assert isinstance(stands, Decision)
                    told[gid] = stands.outcome

    writers = [Meanwhile(lambda writer=writer: decide(writer)) for writer in range(3)]
    for round_ in range(1, 4):
        until(lambda round_=round_: len(told) > 50 * round_)
        server.restart()
    before = len(told)
    until(lambda: len(told) > before + 20)
    stop.set()
    for writer in writers:
        writer.result()
    with closing(registry.transaction_log(url)) as log:
        found = {}
        gids = sorted(set(told) | undone)
        for start in range(0, len(gids), 200):
            for gid, listing in zip(
                gids[start : start + 200],
                log.apply([Load(gid) for gid in gids[start : start + 200]]),
                strict=True,
            ):
                assert isinstance(listing, Listing)
                found[gid] = [each.outcome for each in listing.decisions]
    assert undone, "the server was never seen to be down"
    assert {gid: found[gid] for gid in told} == {gid: [outcome] for gid, outcome in told.items()}
    assert {gid for gid in undone if found[gid]} == set()


def test_a_coordinator_finishes_over_a_restart(
    server: TroubledServer, url: str, notes: Callable[[], list[int]]
) -> None:
    """The server goes down when the decision is durable, and phase two finds it back."""
    other = server.fresh()
    server.ask(other, "CREATE TABLE note (id int PRIMARY KEY)")
    restarted: list[object] = []

    def executor(machine: str, state: str, command: object, action: Callable[[], object]) -> object:
        if type(command).__name__ == "Commit" and not restarted:
            restarted.append(command)
            server.restart()
        return action()

    with Coordinator(url, participants=[url, other], executor=executor) as coordinator:
        with coordinator.transaction(url, other) as (a, b):
            for connection in (a, b):
                connection.execute("INSERT INTO note VALUES (1)")
        coordinator.recover()
    assert restarted
    assert notes() == [1]
    assert server.ask(other, "SELECT id FROM note") == [(1,)]
    assert server.prepared(url) == []
