"""A purge of the log while somebody is in the middle of a decision."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.errors import BackendUnavailable
from concordant.transactions.operations import (
    Alive,
    Create,
    Decide,
    Decision,
    Finish,
    Load,
    LogOperation,
    OpenOwner,
    OwnerGone,
    OwnerStates,
    Purge,
    Purged,
    Record,
)
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled

pytestmark = pytest.mark.server

TTL_MS = 60_000
# Long enough to begin a decision in, on a busy machine.
SHORT_MS = 1500
RECORD = (
    "INSERT INTO concordant_log_record"
    " VALUES (%s, 'saga', 'd', '', 'running', '', 1, 'x', 1, 0, '', 0, 0)"
)
ROW = "INSERT INTO concordant_log_decision VALUES (%s, 'abort', 'x', 1, '[]', 'deciding', '', 0, 0)"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    return server.fresh()


@pytest.fixture
def log(url: str) -> Iterator[TransactionLog]:
    with closing(registry.transaction_log(url)) as log:
        yield log


@pytest.fixture
def recoverer(url: str) -> Iterator[TransactionLog]:
    with closing(registry.transaction_log(url)) as log:
        yield log


@pytest.fixture
def plain(url: str, log: TransactionLog) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who has written a row of the gid `a`, and not committed."""
    log.apply([])
    with closing(psycopg.connect(url)) as plain:
        plain.execute(ROW, ("a",))
        yield plain


@pytest.mark.slow
@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "several"])
def test_what_a_decision_in_the_middle_may_still_meet_is_not_forgotten(
    server: TroubledServer,
    log: TransactionLog,
    recoverer: TransactionLog,
    plain: psycopg.Connection[Any],
    alone: bool,
) -> None:
    """It has seen that its lease runs, and stands still until long after the lease is over."""
    log.apply([OpenOwner("sleeper0", SHORT_MS)])
    commits: list[LogOperation] = [Decide(gid, "commit", "sleeper0", 1) for gid in "ag"]
    asked = Meanwhile(lambda: log.apply(commits if alone else [*commits, Load("x")]))
    server.waiting("wait_event = 'transactionid'")
    time.sleep(SHORT_MS / 1000 + 0.1)
    assert recoverer.apply([OwnerStates((("sleeper0", 1),))]) == [Alive()]
    [abort] = recoverer.apply([Decide("g", "abort", "sleeper0", 1)])
    assert isinstance(abort, Decision)
    assert abort.fresh
    recoverer.apply([Finish("g")])
    with pytest.raises(BackendUnavailable, match="try again"):
        recoverer.apply([Purge(0)])
    # It keeps nobody from deciding.
    recoverer.apply([OpenOwner("other000", TTL_MS), Decide("h", "commit", "other000", 1)])
    plain.rollback()
    _, told, *_ = asked.result()
    assert isinstance(told, Decision)
    assert (told.outcome, told.fresh) == ("abort", False)
    assert recoverer.apply([Purge(0)]) == [Purged(1)]
    assert log.apply([Decide("g", "commit", "sleeper0", 1)]) == [OwnerGone()]


@pytest.mark.slow
def test_a_saga_that_is_being_created_is_not_forgotten_first(
    server: TroubledServer,
    log: TransactionLog,
    recoverer: TransactionLog,
    plain: psycopg.Connection[Any],
) -> None:
    """One request has seen that its lease runs and stands still; the other has done it all."""
    log.apply([OpenOwner("sleeper0", SHORT_MS)])
    create = Create("g", "saga", "transfer/1", "", "sleeper0", 1)
    plain.rollback()
    plain.execute(RECORD, ("g",))
    asked = Meanwhile(lambda: log.apply([create]))
    server.waiting("wait_event = 'transactionid'")
    time.sleep(SHORT_MS / 1000 + 0.1)
    with pytest.raises(BackendUnavailable, match="try again"):
        recoverer.apply([Purge(0)])
    # It keeps nobody from creating another.
    recoverer.apply([OpenOwner("other000", TTL_MS)])
    [other] = recoverer.apply([replace(create, gid="h", owner="other000")])
    assert isinstance(other, Record)
    plain.rollback()
    # Its insert was decided on while the lease ran, and nothing has been forgotten since.
    [told] = asked.result()
    assert isinstance(told, Record)
    assert told.fresh
    assert log.apply([replace(create, gid="i")]) == [OwnerGone()]


def test_a_purge_lets_those_in_the_middle_finish_first(
    server: TroubledServer,
    log: TransactionLog,
    recoverer: TransactionLog,
    plain: psycopg.Connection[Any],
) -> None:
    log.apply([OpenOwner("owner001", TTL_MS), Decide("old", "abort", "owner001", 1)])
    log.apply([Finish("old")])
    deciding = Meanwhile(lambda: log.apply([Decide("a", "commit", "owner001", 1)]))
    server.waiting("wait_event = 'transactionid'")

    def purge() -> object:
        while True:
            try:
                return recoverer.apply([Purge(0)])
            except BackendUnavailable:
                pass  # it waits for a second only

    purging = Meanwhile(purge)
    server.waiting("wait_event = 'advisory'")
    plain.rollback()
    [decided] = deciding.result()
    assert isinstance(decided, Decision)
    assert decided.fresh
    assert purging.result() == [Purged(1)]
