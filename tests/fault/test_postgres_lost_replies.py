"""Requests, replies and commits that get lost or come late on the way to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from concordant import Coordinator
from concordant.drivers import registry
from concordant.drivers.base import Branch, LockStore, Participant, TransactionLog
from concordant.errors import OutcomeUnknown, TransactionAborted
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Granted,
    Inspect,
    Lost,
    Queued,
    Refused,
    Release,
    Renew,
    View,
)
from concordant.transactions.operations import Decide, Decision, Listing, Load, OpenOwner
from tests.contract.parties import new_branch, strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled
from tests.fault.proxy import Proxy

pytestmark = pytest.mark.server

TTL_MS = 60_000
# How long the client waits for a reply that is held back.
BOUNDS = "reply_timeout_s=0.4&lock_timeout_s=0.4"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def proxy(server: TroubledServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def url(server: TroubledServer) -> str:
    """The URL of an empty database with a table of notes."""
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    return url


@pytest.fixture
def behind(server: TroubledServer, proxy: Proxy, url: str) -> str:
    """The same database behind the proxy."""
    return url.replace(f":{server.port}/", f":{proxy.port}/") + f"?{BOUNDS}"


@pytest.fixture
def store(behind: str) -> Iterator[LockStore]:
    with closing(registry.lock_store(behind)) as store:
        store.apply([])
        yield store


@pytest.fixture
def log(behind: str) -> Iterator[TransactionLog]:
    with closing(registry.transaction_log(behind)) as log:
        log.apply([])
        yield log


@pytest.fixture
def participant(behind: str) -> Iterator[Participant]:
    with closing(registry.participant(behind)) as participant:
        participant.resource()
        yield participant


@pytest.fixture
def notes(server: TroubledServer, url: str) -> Callable[[], list[int]]:
    """What everybody can read of the notes."""
    return lambda: [row[0] for row in server.ask(url, "SELECT id FROM note ORDER BY id")]


def begun(participant: Participant, name: Any, note: int = 1) -> Branch:
    """Begin a branch that adds a note."""
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (%s)", (note,))
    return branch


# --- locks --------------------------------------------------------------------------------


def test_a_grant_whose_reply_is_lost_is_found_by_asking_again(
    store: LockStore, proxy: Proxy
) -> None:
    first, second = strangers(2)
    rule = proxy.on(b'"acquire"', "lose")
    with pytest.raises(OutcomeUnknown):
        store.apply([Acquire("a", first, TTL_MS)])
    rule.struck()
    [granted] = store.apply([Acquire("a", first, TTL_MS)])
    assert isinstance(granted, Granted)
    [view] = store.apply([Inspect("a")])
    assert isinstance(view, View)
    assert [(each.owner, each.fence) for each in view.holders] == [(first, granted.fence)]
    [queued] = store.apply([Acquire("a", second, TTL_MS, wait=True)])
    assert isinstance(queued, Queued)


def test_a_request_that_never_arrived_has_done_nothing(store: LockStore, proxy: Proxy) -> None:
    first, second = strangers(2)
    proxy.on(b'"acquire"', "cut")
    with pytest.raises(OutcomeUnknown):
        store.apply([Acquire("a", first, TTL_MS)])
    [granted] = store.apply([Acquire("a", second, TTL_MS)])
    assert isinstance(granted, Granted)


def test_a_release_and_a_renewal_whose_reply_is_lost_converge(
    store: LockStore, proxy: Proxy
) -> None:
    [owner] = strangers(1)
    [granted] = store.apply([Acquire("a", owner, TTL_MS)])
    assert isinstance(granted, Granted)
    renew, release = Renew("a", owner, granted.fence, TTL_MS), Release("a", owner, granted.fence)
    proxy.on(b'"renew"', "lose")
    with pytest.raises(OutcomeUnknown):
        store.apply([renew])
    assert store.apply([renew]) != [Lost()]
    proxy.on(b'"release"', "lose")
    with pytest.raises(OutcomeUnknown):
        store.apply([release])
    assert store.apply([release]) == [Lost()]
    assert isinstance(store.apply([Acquire("a", *strangers(1), TTL_MS)])[0], Granted)


def test_an_acquire_that_comes_after_its_cancel_is_refused(store: LockStore, proxy: Proxy) -> None:
    first, second = strangers(2)
    rule = proxy.on(b'"acquire"', "hold")
    with pytest.raises(OutcomeUnknown):
        store.apply([Acquire("a", first, TTL_MS)])
    store.apply([Cancel("a", first, late=True)])
    assert b"cancelled" in rule.go_on()
    [granted] = store.apply([Acquire("a", second, TTL_MS)])
    assert isinstance(granted, Granted)
    assert store.apply([Acquire("a", first, TTL_MS)]) == [Refused("cancelled")]


# --- the log ------------------------------------------------------------------------------


def test_a_decision_whose_reply_is_lost_stands(log: TransactionLog, proxy: Proxy) -> None:
    log.apply([OpenOwner("owner001", TTL_MS)])
    proxy.on(b"concordant_log_decision", "lose")
    with pytest.raises(OutcomeUnknown):
        log.apply([Decide("g", "commit", "owner001", 1)])
    [again] = log.apply([Decide("g", "commit", "owner001", 1)])
    assert isinstance(again, Decision)
    assert (again.outcome, again.fresh) == ("commit", False)
    [rival] = log.apply([Decide("g", "abort", "owner002", 1)])
    assert isinstance(rival, Decision)
    assert (rival.outcome, rival.owner) == ("commit", "owner001")


def test_a_decision_that_comes_late_does_not_change_the_one_that_stands(
    log: TransactionLog, proxy: Proxy
) -> None:
    log.apply([OpenOwner("owner001", TTL_MS)])
    rule = proxy.on(b"concordant_log_decision", "hold")
    with pytest.raises(OutcomeUnknown):
        log.apply([Decide("g", "commit", "owner001", 1)])
    [stands] = log.apply([Decide("g", "abort", "owner002", 1)])
    assert isinstance(stands, Decision)
    assert stands.fresh
    rule.go_on()
    [listing] = log.apply([Load("g")])
    assert isinstance(listing, Listing)
    assert [(each.outcome, each.owner) for each in listing.decisions] == [("abort", "owner002")]


def test_a_batch_that_was_done_in_part_is_not_said_to_be_undone(
    log: TransactionLog, proxy: Proxy, server: TroubledServer, url: str
) -> None:
    """The decision is written, the one that stands for the other gid cannot be read any more."""
    log.apply([OpenOwner("owner001", TTL_MS), Decide("old", "abort", "owner002", 1)])
    server.ask(url, "ALTER TABLE concordant_log_decision RENAME evidence TO gone")
    batch = [Decide("old", "commit", "owner001", 1), Decide("new", "commit", "owner001", 1)]
    with pytest.raises(OutcomeUnknown):
        log.apply(batch)
    server.ask(url, "ALTER TABLE concordant_log_decision RENAME gone TO evidence")
    old, new = log.apply(batch)
    assert isinstance(old, Decision)
    assert isinstance(new, Decision)
    assert (old.outcome, new.outcome, new.fresh) == ("abort", "commit", False)


# --- branches -----------------------------------------------------------------------------


def test_a_vote_whose_reply_is_lost_is_found_and_rolled_back(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = begun(participant, name)
    proxy.on(b"PREPARE TRANSACTION", "lose")
    with pytest.raises(OutcomeUnknown):
        branch.prepare()
    assert [each.branch for each in participant.in_doubt()] == [str(name)]
    assert participant.resolve(str(name), False) == "done"
    assert notes() == []


def test_a_vote_that_comes_after_the_rollback_is_found_later(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = begun(participant, name)
    rule = proxy.on(b"PREPARE TRANSACTION", "hold")
    with pytest.raises(OutcomeUnknown):
        branch.prepare()
    assert participant.resolve(str(name), False) == "missing"
    rule.go_on()
    assert [each.branch for each in participant.in_doubt()] == [str(name)]
    assert participant.resolve(str(name), False) == "done"
    assert notes() == []


@pytest.mark.parametrize("how", ["lose", "hold", "cut"])
def test_a_commit_whose_reply_is_lost_is_told_again(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]], how: Any
) -> None:
    name = new_branch()
    assert begun(participant, name).prepare().kind == "prepared"
    rule = proxy.on(b"COMMIT PREPARED", how)
    with pytest.raises(OutcomeUnknown):
        participant.resolve(str(name), True)
    rule.struck()
    assert participant.resolve(str(name), True) == ("already" if how == "lose" else "done")
    if how == "hold":
        rule.go_on()
    assert participant.resolve(str(name), True) == "already"
    assert notes() == [1]


def test_a_rollback_whose_reply_is_lost_leaves_nothing_to_tell(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    assert begun(participant, name).prepare().kind == "prepared"
    proxy.on(b"ROLLBACK PREPARED", "lose")
    with pytest.raises(OutcomeUnknown):
        participant.resolve(str(name), False)
    assert participant.resolve(str(name), False) == "missing"
    assert notes() == []


def test_a_commit_in_one_phase_whose_reply_is_lost_is_known(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = begun(participant, name)
    proxy.on(b"COMMIT", "lose")
    with pytest.raises(OutcomeUnknown):
        branch.commit_one_phase()
    assert participant.committed(str(name))
    assert notes() == [1]


def test_a_commit_in_one_phase_that_comes_after_the_no_fails(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    branch = begun(participant, name)
    rule = proxy.on(b"EXECUTE concordant_evidence", "hold")
    with pytest.raises(OutcomeUnknown):
        branch.commit_one_phase()
    assert not participant.committed(str(name))
    reply = rule.go_on()
    assert b"23505" in reply
    assert b"COMMIT" not in reply
    assert notes() == []
    assert not participant.committed(str(name))


def test_a_no_whose_reply_is_lost_is_told_again(
    participant: Participant, proxy: Proxy, notes: Callable[[], list[int]]
) -> None:
    name = new_branch()
    proxy.on(b"COMMIT", "lose")
    with pytest.raises(OutcomeUnknown):
        participant.committed(str(name))
    assert not participant.committed(str(name))
    with pytest.raises(TransactionAborted):
        begun(participant, name).commit_one_phase()
    assert notes() == []


# --- all of it ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lose", "cut"])
@pytest.mark.parametrize(
    ("request_", "committed"),
    [
        (b"PREPARE TRANSACTION", False),
        (b"concordant_log_decision", True),
        (b"COMMIT PREPARED", True),
    ],
    ids=["prepare", "decide", "commit"],
)
def test_a_transaction_over_a_bad_line_is_done_or_not(
    server: TroubledServer,
    proxy: Proxy,
    behind: str,
    url: str,
    notes: Callable[[], list[int]],
    request_: bytes,
    committed: bool,
    how: Any,
) -> None:
    other = server.fresh()
    server.ask(other, "CREATE TABLE note (id int PRIMARY KEY)")
    with Coordinator(behind, participants=[behind, other]) as coordinator:
        with coordinator.transaction(behind, other) as (a, b):
            for connection in (a, b):
                connection.execute("INSERT INTO note VALUES (0)")
        rule = proxy.on(request_, how)
        try:
            with coordinator.transaction(behind, other) as (a, b):
                for connection in (a, b):
                    connection.execute("INSERT INTO note VALUES (1)")
            done = True
        except TransactionAborted:
            done = False
        rule.struck()
        assert done is committed
        coordinator.recover()
        expected = [0, 1] if committed else [0]
        assert notes() == expected
        assert [row[0] for row in server.ask(other, "SELECT id FROM note ORDER BY id")] == expected
        assert server.prepared(url) == []


def test_a_coordinator_alone_learns_of_its_lost_commit(
    proxy: Proxy, behind: str, notes: Callable[[], list[int]]
) -> None:
    with Coordinator(behind, participants=[behind]) as coordinator:
        rule = proxy.on(b"EXECUTE concordant_evidence", "lose")
        with coordinator.transaction(behind) as (connection,):
            connection.execute("INSERT INTO note VALUES (1)")
        rule.struck()
        assert notes() == [1]
        rule = proxy.on(b"EXECUTE concordant_evidence", "hold")
        held = Meanwhile(rule.struck)
        with pytest.raises(TransactionAborted), coordinator.transaction(behind) as (connection,):
            connection.execute("INSERT INTO note VALUES (2)")
        held.result()
        rule.go_on()
        assert notes() == [1]
