"""What others do to the rows of locks and of the log at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from concordant.drivers import registry
from concordant.drivers.base import LockStore, TransactionLog
from concordant.drivers.postgres.schema import lock_functions
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.operations import (
    Acquire,
    Busy,
    Cancel,
    Granted,
    Inspect,
    Operation,
    Refused,
    View,
)
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Conflict,
    Create,
    Decide,
    Decision,
    Finish,
    Listing,
    Load,
    LogOperation,
    OpenOwner,
    OwnerOpened,
    Record,
)
from tests.contract.parties import strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled, until

pytestmark = pytest.mark.server

TTL_MS = 60_000
WAITS = "wait_event_type = 'Lock'"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    return server.fresh()


@pytest.fixture
def store(url: str) -> Iterator[LockStore]:
    with closing(registry.lock_store(url)) as store:
        store.apply([])
        yield store


@pytest.fixture
def log(url: str) -> Iterator[TransactionLog]:
    with closing(registry.transaction_log(url)) as log:
        log.apply([])
        yield log


@pytest.fixture
def plain(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else, in a transaction of its own."""
    with closing(psycopg.connect(url)) as plain:
        yield plain


# --- locks --------------------------------------------------------------------------------


def test_a_lock_that_is_forgotten_while_it_is_asked_for_is_granted_once(
    server: TroubledServer, url: str, store: LockStore, plain: psycopg.Connection[Any]
) -> None:
    """The batch waits for the row of `a`; meanwhile the idle row of `b` is forgotten."""
    first, second, third = strangers(3)
    for name in ("a", "b"):
        [granted] = store.apply([Acquire(name, first, TTL_MS)])
        assert isinstance(granted, Granted)
        store.apply([Cancel(name, first)])
    plain.execute("SELECT * FROM concordant_lock WHERE name = 'a' FOR UPDATE")
    asked = Meanwhile(
        lambda: store.apply([Acquire("a", second, TTL_MS), Acquire("b", second, TTL_MS)])
    )
    server.waiting(WAITS)
    assert server.ask(url, "SELECT concordant_lock_forget('0 s')") == [(1,)]
    plain.rollback()
    results = asked.result()
    assert [type(result) for result in results] == [Granted, Granted]
    [view] = store.apply([Inspect("b")])
    assert isinstance(view, View)
    assert [(each.owner, each.fence) for each in view.holders] == [(second, results[1].fence)]
    assert results[1].fence > granted.fence
    assert isinstance(store.apply([Acquire("b", third, TTL_MS)])[0], Busy)


def test_fences_do_not_come_back_with_a_lock_that_was_forgotten(
    server: TroubledServer, url: str, store: LockStore
) -> None:
    owner, other = strangers(2)
    [granted] = store.apply([Acquire("a", owner, TTL_MS)])
    assert isinstance(granted, Granted)
    # As if the clock had been an hour ahead when this was granted.
    ahead = granted.fence + 3_600_000_000
    server.ask(url, f"UPDATE concordant_lock SET lock = jsonb_set(lock, '{{f}}', '{ahead}')")
    assert server.ask(url, "SELECT concordant_lock_forget('0 s')") == [(0,)]
    store.apply([Cancel("a", owner)])
    assert server.ask(url, "SELECT concordant_lock_forget('1 day')") == [(0,)]
    assert server.ask(url, "SELECT concordant_lock_forget('0 s')") == [(1,)]
    for name in ("a", "never seen"):
        [again] = store.apply([Acquire(name, other, TTL_MS)])
        assert isinstance(again, Granted)
        assert again.fence > ahead


def test_batches_that_cross_do_not_deadlock(url: str) -> None:
    names = [f"n{number}" for number in range(20)]

    def work(order: list[str]) -> None:
        with closing(registry.lock_store(url)) as store:
            for _ in range(20):
                owners = strangers(len(order))
                pairs = list(zip(order, owners, strict=True))
                asks: list[Operation] = [Acquire(name, owner, TTL_MS) for name, owner in pairs]
                store.apply([*asks, *(Cancel(name, owner) for name, owner in pairs)])

    orders = [names, names[::-1], names[10:] + names[:10]]
    for each in [Meanwhile(lambda order=order: work(order)) for order in orders]:
        each.result()


def test_a_row_that_somebody_keeps_locked_holds_nobody_for_ever(
    server: TroubledServer, url: str, plain: psycopg.Connection[Any]
) -> None:
    owner, other = strangers(2)
    with closing(registry.lock_store(f"{url}?reply_timeout_s=0.3")) as store:
        store.apply([Acquire("a", owner, TTL_MS)])
        plain.execute("SELECT * FROM concordant_lock FOR UPDATE")
        with pytest.raises(OutcomeUnknown):
            store.apply([Acquire("a", other, TTL_MS)])
        # Onlookers need no lock.
        [view] = store.apply([Inspect("a")])
        assert isinstance(view, View)
        plain.rollback()
        store.apply([Cancel("a", other, late=True)])
        assert isinstance(store.apply([Acquire("a", other, TTL_MS)])[0], Refused)


def test_functions_of_another_version_are_replaced(server: TroubledServer, url: str) -> None:
    with closing(registry.lock_store(url)) as store:
        store.apply([])
    server.ask(url, "COMMENT ON TABLE concordant_lock IS 'of another version'")
    server.ask(
        url,
        "CREATE OR REPLACE FUNCTION concordant_lock_apply(ops jsonb, limits jsonb)"
        " RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'",
    )
    [owner] = strangers(1)
    with closing(registry.lock_store(url)) as store:
        assert isinstance(store.apply([Acquire("a", owner, TTL_MS)])[0], Granted)
    [[comment]] = server.ask(url, "SELECT obj_description('concordant_lock'::regclass)")
    assert comment == lock_functions()[1]


@pytest.mark.parametrize("port", ["lock_store", "transaction_log", "participant", "barrier"])
def test_many_who_come_first_make_the_tables_together(url: str, port: str) -> None:
    calls = {
        "participant": lambda driver: driver.resource(),
        "barrier": lambda driver: driver.enter("g", "s", "action").abandon(),
    }

    def come() -> Any:
        with closing(getattr(registry, port)(url)) as driver:
            return calls.get(port, lambda driver: driver.apply([]))(driver)

    answers = [each.result() for each in [Meanwhile(come) for _ in range(8)]]
    if port == "participant":
        assert len(set(answers)) == 1


# --- the log ------------------------------------------------------------------------------


ONE_OF: dict[str, tuple[Decide | Create, LogOperation]] = {
    "decisions": (Decide("g", "commit", "one00000", 1), Decide("g", "abort", "two00000", 1)),
    "sagas": (
        Create("g", "saga", "d", "", "one00000", 1),
        Create("g", "saga", "d", "", "two00000", 1),
    ),
}


@pytest.mark.parametrize("pair", ONE_OF.values(), ids=list(ONE_OF))
@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "several"])
def test_of_two_that_write_a_new_row_one_is_told_of_the_other(
    server: TroubledServer,
    log: TransactionLog,
    plain: psycopg.Connection[Any],
    pair: tuple[Decide | Create, LogOperation],
    alone: bool,
) -> None:
    """The second one starts before the first has committed, sees nothing, and waits for it."""
    owners = [OpenOwner(owner, TTL_MS) for owner in ("one00000", "two00000")]
    *_, first = log.apply([*owners, pair[0]])
    table = f"concordant_log_{'decision' if isinstance(first, Decision) else 'record'}"
    plain.execute(
        f"CREATE TEMPORARY TABLE kept AS SELECT * FROM {table}; DELETE FROM {table}; COMMIT;"  # type: ignore[arg-type]
        f" BEGIN; INSERT INTO {table} SELECT * FROM kept"
    )
    batch = [pair[1]] if alone else [pair[1], Load("other")]
    asked = Meanwhile(lambda: log.apply(batch))
    server.waiting(WAITS)
    plain.commit()
    second = asked.result()[0]
    assert isinstance(second, Decision | Record)
    assert (second.owner, second.fresh) == ("one00000", False)


@pytest.mark.parametrize("pair", ONE_OF.values(), ids=list(ONE_OF))
@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "several"])
def test_of_two_that_write_a_new_row_the_second_writes_it_if_the_first_does_not(
    server: TroubledServer,
    log: TransactionLog,
    plain: psycopg.Connection[Any],
    pair: tuple[Decide | Create, LogOperation],
    alone: bool,
) -> None:
    """The first one rolls back while the second one waits for it."""
    owners = [OpenOwner(owner, TTL_MS) for owner in ("one00000", "two00000")]
    *_, first = log.apply([*owners, pair[0]])
    table = f"concordant_log_{'decision' if isinstance(first, Decision) else 'record'}"
    plain.execute(
        f"CREATE TEMPORARY TABLE kept AS SELECT * FROM {table}; DELETE FROM {table}; COMMIT;"  # type: ignore[arg-type]
        f" BEGIN; INSERT INTO {table} SELECT * FROM kept"
    )
    asked = Meanwhile(lambda: log.apply([pair[1]] if alone else [pair[1], Load("other")]))
    server.waiting(WAITS)
    plain.rollback()
    second = asked.result()[0]
    assert isinstance(second, Decision | Record)
    assert (second.owner, second.fresh) == ("two00000", True)
    [listing] = log.apply([Load("g")])
    assert isinstance(listing, Listing)
    assert [each.owner for each in (*listing.decisions, *listing.records)] == ["two00000"]


def test_many_coordinators_and_recoverers_agree(url: str) -> None:
    """Each gid is decided both ways at once, in batches of every kind."""
    gids = [f"g{number}" for number in range(40)]
    with closing(registry.transaction_log(url)) as log:
        log.apply([OpenOwner("owner001", TTL_MS)])

    def decide(outcome: Any, mixed: bool) -> dict[str, str]:
        told: dict[str, str] = {}
        with closing(registry.transaction_log(url)) as log:
            for start in range(0, len(gids), 4):
                part = gids[start : start + 4]
                batch: list[LogOperation] = [Decide(gid, outcome, "owner001", 1) for gid in part]
                if mixed:
                    batch.append(Load("other"))
                for answer in log.apply(batch)[: len(part)]:
                    assert isinstance(answer, Decision)
                    told[answer.gid] = answer.outcome
                log.apply([Finish(gid) for gid in part])
        return told

    kinds = [(outcome, mixed) for outcome in ("commit", "abort") for mixed in (True, False)]
    deciding = [Meanwhile(lambda kind=kind: decide(*kind)) for kind in kinds]
    first, *others = [each.result() for each in deciding]
    assert sorted(first) == sorted(gids)
    assert all(other == first for other in others)


def test_of_many_that_claim_each_saga_goes_to_one(url: str, log: TransactionLog) -> None:
    left = [Create(f"g{n:02}", "saga", "d", "", "dead0000", 1) for n in range(30)]
    log.apply([OpenOwner("dead0000", TTL_MS), *left, CloseOwner("dead0000", 1)])

    def claim(number: int) -> list[str]:
        owner, found = f"owner{number:03}", []
        with closing(registry.transaction_log(url)) as log:
            [opened] = log.apply([OpenOwner(owner, TTL_MS)])
            assert isinstance(opened, OwnerOpened)
            for _ in range(12):
                [listing] = log.apply([Claim(owner, opened.epoch, limit=5, own=False)])
                assert isinstance(listing, Listing)
                found += [record.gid for record in listing.records]
        return found

    claimed = [each.result() for each in [Meanwhile(lambda n=n: claim(n)) for n in range(4)]]
    everything = [gid for each in claimed for gid in each]
    assert sorted(everything) == [f"g{n:02}" for n in range(30)]


def test_of_many_that_advance_a_saga_one_does(url: str, log: TransactionLog) -> None:
    [opened] = log.apply([OpenOwner("owner001", TTL_MS)])
    assert isinstance(opened, OwnerOpened)
    log.apply([Create("g", "saga", "d", "", "owner001", opened.epoch)])

    def advance(number: int) -> list[object]:
        with closing(registry.transaction_log(url)) as log:
            step = Advance("g", 1, "owner001", opened.epoch, "running", str(number))
            return list(log.apply([step]))

    answers = [each.result()[0] for each in [Meanwhile(lambda n=n: advance(n)) for n in range(6)]]
    winners = [answer for answer in answers if isinstance(answer, Record)]
    assert len(winners) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 5
    [listing] = log.apply([Load("g")])
    assert isinstance(listing, Listing)
    assert [(each.version, each.data) for each in listing.records] == [(2, winners[0].data)]


_STOPPED = """
import os, signal, sys
from concordant.drivers import registry
from concordant.drivers.postgres.sync import log as module
from concordant.transactions.operations import *

log = registry.transaction_log(sys.argv[1])
perform = module.perform
def stop(*arguments):
    module.perform = perform
    os.kill(os.getpid(), signal.SIGSTOP)
    return perform(*arguments)
module.perform = stop
log.apply([Finish("h", True, "stopped"), Load("h")])
"""


def test_one_that_is_stopped_in_the_middle_keeps_rows_for_seconds_only(
    server: TroubledServer, url: str, log: TransactionLog
) -> None:
    """It has locked a row and works on it, when it is stopped for longer than it may."""
    log.apply([Decide("h", "abort", "owner001", 1)])
    patient = registry.transaction_log(f"{url}?reply_timeout_s=20")
    command = [sys.executable, "-c", _STOPPED, url]
    stopped = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        server.waiting("state = 'idle in transaction'")
        start_s = time.monotonic()
        patient.apply([Finish("h", True, "seen"), Load("h")])
        assert time.monotonic() - start_s < 4 * 3
        [listing] = log.apply([Load("h")])
        assert isinstance(listing, Listing)
        assert [each.evidence for each in listing.decisions] == ["seen"]
        stopped.send_signal(signal.SIGCONT)
        _, said = stopped.communicate(timeout=30)
        assert stopped.returncode != 0
        assert BackendUnavailable.__name__ in said or OutcomeUnknown.__name__ in said
        [listing] = log.apply([Load("h")])
        assert isinstance(listing, Listing)
        assert [each.evidence for each in listing.decisions] == ["seen"]
    finally:
        patient.close()
        stopped.kill()
        stopped.communicate()


def test_a_child_uses_nothing_of_its_parents(store: LockStore, log: TransactionLog) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for call in (lambda: store.apply([]), lambda: log.apply([])):
                with pytest.raises(ValueError, match="fork"):
                    call()
            store.close()
            log.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    until(lambda: store.apply([]) == [] and log.apply([]) == [])
