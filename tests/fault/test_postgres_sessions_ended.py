"""Sessions that an administrator ends, at each stage of what they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from concordant import Coordinator
from concordant.drivers import registry
from concordant.drivers.base import Participant
from concordant.errors import BackendUnavailable, OutcomeUnknown, TransactionAborted
from concordant.locking.operations import Acquire, Granted, Inspect, View
from concordant.transactions.operations import Decide, Decision, Load, OpenOwner
from tests.contract.parties import new_branch, strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled

pytestmark = pytest.mark.server

HELD = "wait_event = 'SyncRep'"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    """The URL of an empty database with a table of notes."""
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    return url


@pytest.fixture
def participant(url: str) -> Iterator[Participant]:
    with closing(registry.participant(url)) as participant:
        participant.resource()
        yield participant


@pytest.fixture
def notes(server: TroubledServer, url: str) -> Callable[[], list[int]]:
    """What everybody can read of the notes."""
    return lambda: [row[0] for row in server.ask(url, "SELECT id FROM note ORDER BY id")]


def opened(port: str, url: str) -> Any:
    """Return the driver for a port."""
    return closing(getattr(registry, port)(url))


# --- idle ---------------------------------------------------------------------------------


USES: dict[str, Callable[[Any], Any]] = {
    "lock_store": lambda store: store.apply([Acquire("a", *strangers(1), 1000)]),
    "transaction_log": lambda log: log.apply([Load("g"), Decide("g", "abort", "owner001", 1)]),
    "participant": lambda participant: participant.begin(new_branch()).abandon(),
    "barrier": lambda barrier: barrier.enter("g", "s", "action").abandon(),
}


@pytest.mark.parametrize("port", list(USES))
def test_a_session_that_was_ended_while_idle_is_not_used(
    server: TroubledServer, url: str, port: str
) -> None:
    with opened(port, url) as driver:
        for _ in range(5):
            USES[port](driver)
            assert server.end_sessions() >= 1
        USES[port](driver)


@pytest.mark.parametrize("port", list(USES))
async def test_a_session_that_was_ended_while_idle_is_not_used_by_a_loop(
    server: TroubledServer, url: str, port: str
) -> None:
    uses: dict[str, Callable[[Any], Any]] = USES | {
        "participant": lambda driver: driver.resolve("foreign", True),
        "barrier": lambda driver: driver.enter("g", "s", "action"),
    }
    driver = getattr(registry, f"async_{port}")(url)
    for _ in range(3):
        entered = await uses[port](driver)
        if port == "barrier":
            await entered.abandon()
        assert server.end_sessions() >= 1
    await driver.aclose()


def test_many_ended_at_once_are_not_used_one_after_the_other(
    server: TroubledServer, url: str
) -> None:
    with opened("lock_store", url) as store:
        barrier = threading.Barrier(6)

        def use() -> None:
            barrier.wait(10)
            store.apply([Acquire("a", *strangers(1), 1000)])

        for _ in range(3):
            for each in [Meanwhile(use) for _ in range(6)]:
                each.result()
            server.end_sessions()


# --- in a branch --------------------------------------------------------------------------


def test_a_branch_whose_session_was_ended_gives_no_vote(
    server: TroubledServer, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    server.end_sessions()
    with pytest.raises(OutcomeUnknown):
        branch.prepare()
    assert participant.in_doubt() == []
    assert participant.resolve(str(name), False) == "missing"
    assert not participant.committed(str(name))
    assert notes() == []


def test_a_session_that_ends_while_the_work_goes_on_aborts_everywhere(
    server: TroubledServer, url: str, notes: Callable[[], list[int]]
) -> None:
    other = server.fresh()
    server.ask(other, "CREATE TABLE note (id int PRIMARY KEY)")
    database = other.rpartition("/")[2]
    with Coordinator(url, participants=[url, other]) as coordinator:

        def work() -> None:
            with coordinator.transaction(url, other) as (a, b):
                for connection in (a, b):
                    connection.execute("INSERT INTO note VALUES (1)")
                server.end_sessions(f"datname = '{database}' AND state = 'idle in transaction'")

        with pytest.raises(TransactionAborted):
            work()
        assert notes() == []
        assert server.ask(other, "SELECT * FROM note") == []
        assert server.prepared(url) == []
        # Nothing of it stands in the way of the next.
        with coordinator.transaction(url, other) as (a, b):
            for connection in (a, b):
                connection.execute("INSERT INTO note VALUES (1)")
        assert notes() == [1]


# --- at the vote and at the end -----------------------------------------------------------


def test_a_session_that_is_ended_at_its_vote_is_not_prepared(
    server: TroubledServer, url: str, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    """A deferred trigger holds PREPARE TRANSACTION up until the session is gone."""
    server.ask(
        url,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    with closing(psycopg.connect(url, autocommit=True)) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        vote = Meanwhile(branch.prepare)
        server.waiting("wait_event = 'advisory'")
        server.end_sessions("wait_event = 'advisory'")
        with pytest.raises(OutcomeUnknown):
            vote.result()
    assert participant.in_doubt() == []
    assert participant.resolve(str(name), False) == "missing"
    assert notes() == []


def test_a_session_that_is_ended_right_after_its_vote_is_prepared(
    server: TroubledServer, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    with server.commits_held():
        vote = Meanwhile(branch.prepare)
        server.waiting(HELD)
        server.end_sessions(HELD)
        with pytest.raises(OutcomeUnknown):
            vote.result()
    assert [each.branch for each in participant.in_doubt()] == [str(name)]
    assert participant.resolve(str(name), True) == "done"
    assert notes() == [1]


def test_a_session_that_is_ended_at_the_commit_has_committed(
    server: TroubledServer, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    assert branch.prepare().kind == "prepared"
    with server.commits_held():
        told = Meanwhile(lambda: participant.resolve(str(name), True))
        server.waiting(HELD)
        server.end_sessions(HELD)
        with pytest.raises(OutcomeUnknown):
            told.result()
    assert participant.resolve(str(name), True) == "already"
    assert notes() == [1]


def test_a_branch_that_another_session_is_ending_is_tried_again(
    server: TroubledServer, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    assert branch.prepare().kind == "prepared"
    with server.commits_held():
        told = Meanwhile(lambda: participant.resolve(str(name), True))
        server.waiting(HELD)
        with pytest.raises(BackendUnavailable, match="being ended by another session"):
            participant.resolve(str(name), True)
        server.end_sessions(HELD)
        with pytest.raises(OutcomeUnknown):
            told.result()
    assert participant.resolve(str(name), True) == "already"
    assert notes() == [1]


def test_a_session_that_is_ended_at_the_commit_in_one_phase_has_committed(
    server: TroubledServer, participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (1)")
    with server.commits_held():
        commit = Meanwhile(branch.commit_one_phase)
        server.waiting(HELD)
        server.end_sessions(HELD)
        with pytest.raises(OutcomeUnknown):
            commit.result()
    assert participant.committed(str(name))
    assert notes() == [1]


# --- locks and decisions ------------------------------------------------------------------


def test_a_session_that_is_ended_at_a_grant_has_granted(server: TroubledServer, url: str) -> None:
    [owner] = strangers(1)
    with opened("lock_store", url) as store:
        store.apply([])
        with server.commits_held():
            asked = Meanwhile(lambda: store.apply([Acquire("a", owner, 60_000)]))
            server.waiting(HELD)
            server.end_sessions(HELD)
            with pytest.raises(OutcomeUnknown):
                asked.result()
        [view] = store.apply([Inspect("a")])
        assert isinstance(view, View)
        assert [each.owner for each in view.holders] == [owner]
        assert store.apply([Acquire("a", owner, 60_000)]) == [Granted(view.fence)]


def test_a_session_that_is_ended_at_a_decision_has_decided(
    server: TroubledServer, url: str
) -> None:
    with opened("transaction_log", url) as log:
        log.apply([OpenOwner("owner001", 600_000)])
        with server.commits_held():
            asked = Meanwhile(lambda: log.apply([Decide("g", "commit", "owner001", 1)]))
            server.waiting(HELD)
            server.end_sessions(HELD)
            with pytest.raises(OutcomeUnknown):
                asked.result()
        [stands] = log.apply([Decide("g", "abort", "owner002", 1)])
        assert isinstance(stands, Decision)
        assert (stands.outcome, stands.owner) == ("commit", "owner001")
