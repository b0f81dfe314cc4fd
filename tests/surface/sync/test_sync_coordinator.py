# Generated from tests/surface/aio/test_aio_coordinator.py by tools/unasync.py; do not edit.
"""Global transactions through one coordinator: all databases change, or none does."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from concordant import AlreadyDecided, Coordinator, TransactionAborted, UsageError
from concordant.drivers import registry
from concordant.transactions.names import BRANCHES_MAX
from tests.provision.bridge import rows
from tests.provision.memory import MEMORY
from tests.surface.sync.moving import coordinating
from tests.surface.sync.paying import BEFORE, Gate, Places, Unsent, add, transfer
from tests.surface.together import Background, eventually, together

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
def test_connections_come_in_the_order_of_the_names(
    log_url: str, places: Places, turned: bool
) -> None:
    order = [1, 0] if turned else [0, 1]
    with coordinating(log_url) as coordinator:
        with coordinator.transaction(*(places.urls[i] for i in order)) as connections:
            add(connections[order.index(0)], "ada", -10)
            add(connections[order.index(1)], "bob", 10)
        assert places.balances() == places.moved()
    assert places.in_doubt() == []


def test_transactions_that_name_the_places_in_other_orders_do_not_deadlock(
    log_url: str, places: Places
) -> None:
    with coordinating(log_url) as coordinator:

        def pay(turned: bool) -> None:
            urls = places.urls[::-1] if turned else places.urls
            for _ in range(5):
                with coordinator.transaction(*urls) as connections:
                    # Rows of its own, since one that is in doubt is not waited for.
                    for connection in connections:
                        add(connection, "ada" if turned else "eve", 1)

        together([partial(pay, turned) for turned in (False, True)])
    assert places.balances() == [BEFORE | {"ada": 105, "eve": 5}] * 2


def test_a_body_that_raises_changes_nothing(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        error = Broken()
        with pytest.raises(Broken) as caught:
            break_off(coordinator, places, error)
        assert caught.value is error
        assert places.balances() == [BEFORE, BEFORE]
        assert places.in_doubt() == []
        assert coordinator.outcome("g-1") is None
        # Nothing of it is in the way of another try.
        with coordinator.transaction(*places.urls, gid="g-1") as connections:
            transfer(connections)
        assert places.balances() == places.moved()


def break_off(coordinator: Coordinator, places: Places, error: Exception) -> None:
    with coordinator.transaction(*places.urls, gid="g-1") as connections:
        transfer(connections)
        raise error


def test_a_refused_vote_aborts_everywhere_and_says_where_and_why(
    log_url: str, places: Places
) -> None:
    with coordinating(log_url) as coordinator:
        with pytest.raises(TransactionAborted) as caught:
            refused(coordinator, places)
        assert re.search(r"store-\d+\.db\S* refused to prepare: .*CREATE", str(caught.value))
        assert places.balances() == [BEFORE, BEFORE]
        assert places.in_doubt() == []
        assert coordinator.doubts() == []


def refused(coordinator: Coordinator, places: Places) -> None:
    with coordinator.transaction(*places.urls) as connections:
        transfer(connections)
        with pytest.raises(UsageError):
            rows(connections[1], "CREATE TABLE made_inside (id TEXT PRIMARY KEY)")


def test_who_only_reads_leaves_no_decision(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        with coordinator.transaction(*places.urls, gid="g-1") as connections:
            for connection in connections:
                assert rows(connection, "SELECT count(*) FROM account") == [(3,)]
        assert coordinator.outcome("g-1") is None


def test_one_place_alone(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        alone = coordinator.transaction(places.urls[0])
        with alone as (connection,):
            add(connection, "ada", -10)
        assert alone.state == "committed"
        assert places.balances() == [places.moved()[0], BEFORE]
        # In one phase, so that nobody has it but the place itself.
        assert coordinator.outcome(alone.gid) is None


def test_one_place_alone_under_a_gid_is_done_once(log_url: str, places: Places) -> None:
    for number in range(2):
        # The second time it is another process, which has only the gid in common.
        with coordinating(log_url) as coordinator:
            transaction = coordinator.transaction(places.urls[0], gid="g-1")
            if number:
                with pytest.raises(AlreadyDecided):
                    transaction.__enter__()
                continue
            with transaction as (connection,):
                add(connection, "ada", -10)
            assert coordinator.outcome("g-1") == "commit"
    assert places.balances() == [places.moved()[0], BEFORE]


@pytest.mark.parametrize("command", ["Prepare", "CommitOnePhase"])
def test_a_request_that_was_never_sent_keeps_no_place_busy(
    log_url: str, places: Places, command: str
) -> None:
    unsent = Unsent(command)
    urls = places.urls if command == "Prepare" else places.urls[:1]
    with coordinating(log_url, executor=unsent) as coordinator:
        with pytest.raises(TransactionAborted, match="broken by the test"):
            touch(coordinator, urls)
        assert unsent.hits == 1
        # The next one need not wait for what the first has left open.
        touch(coordinator, urls)
    assert [place["eve"] for place in places.balances()][: len(urls)] == [1] * len(urls)


def touch(coordinator: Coordinator, urls: list[str]) -> None:
    with coordinator.transaction(*urls) as connections:
        for connection in connections:
            add(connection, "eve", 1)


# --- gids ---------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
def test_a_gid_that_was_decided_runs_no_body(log_url: str, places: Places, same: bool) -> None:
    with coordinating(log_url) as first, coordinating(log_url) as second:
        with first.transaction(*places.urls, gid="g-1") as connections:
            transfer(connections)
        coordinator = first if same else second
        assert coordinator.outcome("g-1") == "commit"
        with pytest.raises(AlreadyDecided) as caught:
            coordinator.transaction(*places.urls, gid="g-1").__enter__()
        assert caught.value.outcome == "commit"
        assert places.balances() == places.moved()
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)


def test_of_two_attempts_under_one_gid_one_commits(log_url: str, places: Places) -> None:
    gate = Gate("deciding", "WriteDecision")
    with (
        coordinating(log_url, executor=gate) as slow,
        coordinating(log_url, participants=places.urls) as fast,
    ):

        def attempt() -> None:
            with slow.transaction(*places.urls, gid="g-1") as connections:
                # It writes other rows, or it would have to wait for the first.
                add(connections[0], "eve", 1)
                add(connections[1], "eve", 1)

        first = Background(attempt)
        eventually(gate.was_reached)
        with fast.transaction(*places.urls, gid="g-1") as connections:
            transfer(connections)
        gate.open = True
        with pytest.raises(AlreadyDecided) as caught:
            first.result()
        assert caught.value.outcome == "commit"
    assert places.balances() == places.moved()
    assert places.in_doubt() == []


def test_a_gid_under_way_is_not_begun_again(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        with coordinator.transaction(*places.urls, gid="g-1") as connections:
            with pytest.raises(UsageError, match="under way"):
                coordinator.transaction(*places.urls, gid="g-1").__enter__()
            transfer(connections)
    assert places.balances() == places.moved()


@pytest.mark.parametrize("gid", ["", "a b", "g/1", "é", "x" * 37, "g\n"])
def test_a_gid_that_cannot_be_one_is_refused(log_url: str, places: Places, gid: str) -> None:
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="a gid is"):
            coordinator.transaction(*places.urls, gid=gid)
        with pytest.raises(UsageError, match="a gid is"):
            coordinator.outcome(gid)


@pytest.mark.parametrize("gid", ["x", "x" * 36, "A.b_c-9"])
def test_a_gid_may_use_its_whole_alphabet(log_url: str, places: Places, gid: str) -> None:
    with coordinating(log_url) as coordinator:
        with coordinator.transaction(*places.urls, gid=gid) as connections:
            transfer(connections)
        assert coordinator.outcome(gid) == "commit"


def test_an_unknown_gid_has_no_outcome(log_url: str) -> None:
    with coordinating(log_url) as coordinator:
        assert coordinator.outcome("never-heard-of") is None


# --- use ----------------------------------------------------------------------------------


def test_a_place_is_named_once(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="once"):
            coordinator.transaction(places.urls[0], places.urls[0])
        given = registry.participant(places.urls[0])
        with pytest.raises(UsageError, match="once"):
            coordinator.transaction(given, given)


def test_one_database_under_two_names_is_found_out(log_url: str, places: Places) -> None:
    again = places.urls[0].replace("sqlite:///", "sqlite:////./", 1)
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="one and the same"):
            coordinator.transaction(places.urls[0], places.urls[1], again).__enter__()
        # Nothing of it was left open.
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)


def test_a_transaction_has_at_least_one_place_and_not_too_many(log_url: str) -> None:
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="1 to 64"):
            coordinator.transaction()
        with pytest.raises(UsageError, match="1 to 64"):
            coordinator.transaction(*(f"sqlite:///tmp/{i}.db" for i in range(BRANCHES_MAX + 1)))


def test_a_transaction_is_entered_once(log_url: str, places: Places) -> None:
    with coordinating(log_url) as coordinator:
        transaction = coordinator.transaction(*places.urls)
        with transaction as connections:
            with pytest.raises(UsageError, match="entered once"):
                transaction.__enter__()
            transfer(connections)
        with pytest.raises(UsageError, match="entered once"):
            transaction.__enter__()
    assert places.balances() == places.moved()


def test_participants_may_be_given_as_objects(log_url: str, places: Places) -> None:
    given = [registry.participant(url) for url in places.urls]
    with coordinating(log_url, participants=given) as coordinator:
        assert coordinator.participants() == given
        with coordinator.transaction(*given) as connections:
            transfer(connections)
        assert coordinator.participants() == given
    assert places.balances() == places.moved()


def test_a_place_that_is_not_there_changes_nothing_elsewhere(
    log_url: str, places: Places, tmp_path: Path
) -> None:
    nowhere = f"sqlite://{tmp_path}/no-such-folder/x.db"
    with coordinating(log_url) as coordinator:
        with pytest.raises(Exception, match="no-such-folder"):
            coordinator.transaction(*places.urls, nowhere).__enter__()
        with coordinator.transaction(*places.urls) as connections:
            transfer(connections)
    assert places.balances() == places.moved()
