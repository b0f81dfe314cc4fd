"""The log in a database against the one in memory: whatever is asked, the answers are the same.

Only what depends on the moment is left out of the comparison: ages, and how soon a record is due.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.transactions.operations import (
    Advance,
    Alive,
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
    LogResult,
    OpenOwner,
    OwnerOpened,
    OwnerStates,
    Purge,
    Query,
    Record,
    RenewOwner,
)
from tests.contract.parties import refs
from tests.provision.postgres import server

pytestmark = pytest.mark.server

LEASE_MS = 3_600_000
OWNERS = ("owner001", "owner002")
GIDS = ("g-1", "g-2", "g-3", "G.4", "not a gid")
TABLES = ("owner", "decision", "record")

_numbers = count()

owners = st.sampled_from(OWNERS)
gids = st.sampled_from(GIDS)
epochs = st.integers(0, 3)
words = st.sampled_from(["", "one", 'two "\\\né'])
states = st.sampled_from(["running", "aborting", "committed", "aborted", "stuck"])
some = st.lists(st.sampled_from(GIDS[:-1]), max_size=2).map(tuple)

outcomes = st.sampled_from(["commit", "abort"])
definitions = st.sampled_from(["d@1", "d@2"])

decides = st.builds(
    Decide,
    gids,
    st.sampled_from(["commit", "abort"]),
    owners,
    epochs,
    st.sampled_from([(), refs()]),
)
asked = st.one_of(
    decides,
    decides,
    st.builds(Finish, gids),
    st.builds(Finish, gids, st.booleans(), words),
    st.builds(OpenOwner, owners, st.just(LEASE_MS), words, st.sampled_from([0, 0, 2])),
    st.builds(RenewOwner, owners, epochs, st.just(LEASE_MS)),
    st.builds(CloseOwner, owners, epochs),
    st.builds(Create, gids, st.just("saga"), definitions, words, owners, epochs),
    st.builds(
        Advance,
        gids,
        st.integers(0, 3),
        owners,
        epochs,
        states,
        words,
        st.sampled_from([0, LEASE_MS]),
    ),
    st.builds(
        Claim,
        owners,
        epochs,
        st.integers(1, 3),
        st.sampled_from([(), ("d@1",)]),
        st.booleans(),
        some,
    ),
    st.builds(Load, gids),
    st.builds(Query, st.booleans(), st.sampled_from(["", "g-1"]), st.integers(1, 3)),
    st.builds(OwnerStates, st.lists(st.tuples(owners, epochs), max_size=3).map(tuple)),
    st.builds(Purge, st.sampled_from([0, LEASE_MS])),
)
histories = st.lists(st.lists(asked, min_size=1, max_size=8), min_size=1, max_size=8)


def timeless(result: LogResult) -> LogResult:
    """Return the answer without what depends on the moment or the log's own id."""
    match result:
        case Decision():
            return replace(result, age_ms=0)
        case Record():
            return replace(result, age_ms=0, due_in_ms=min(result.due_in_ms, 1))
        case Conflict(current):
            return Conflict(None if current is None else timeless(current))  # type: ignore[arg-type]
        case Listing(decisions, records):
            return Listing(tuple(map(timeless, decisions)), tuple(map(timeless, records)))  # type: ignore[arg-type]
        case OwnerOpened():
            return replace(result, log_id="")
        case Alive():
            return replace(result, log_id="")
    return result


@pytest.fixture(scope="module")
def log() -> Iterator[TransactionLog]:
    with closing(registry.transaction_log(server().fresh_schema())) as log:
        log.apply([])
        yield log


@pytest.fixture(scope="module")
def plain(log: TransactionLog) -> Iterator[psycopg.Connection[Any]]:
    conninfo = log._options.conninfo  # type: ignore[attr-defined]
    with closing(psycopg.connect(conninfo, autocommit=True)) as plain:
        yield plain


def empty(plain: psycopg.Connection[Any]) -> None:
    plain.execute("; ".join(f"DELETE FROM concordant_log_{table}" for table in TABLES))  # type: ignore[arg-type]


@settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(history=histories)
def test_the_log_answers_as_the_one_in_memory(
    log: TransactionLog, plain: psycopg.Connection[Any], history: list[list[LogOperation]]
) -> None:
    empty(plain)
    with closing(registry.transaction_log(f"memory://property-{next(_numbers)}")) as memory:
        # With living owners, or hardly any commit would be inserted.
        for batch in [[OpenOwner(owner, LEASE_MS) for owner in OWNERS], *history]:
            expected = [timeless(result) for result in memory.apply(batch)]
            assert [timeless(result) for result in log.apply(batch)] == expected
        looks: list[LogOperation] = [Load(gid) for gid in GIDS]
        expected = [timeless(result) for result in memory.apply(looks)]
        assert [timeless(result) for result in log.apply(looks)] == expected


def test_a_batch_of_the_usual_size_answers_as_the_one_in_memory(
    log: TransactionLog, plain: psycopg.Connection[Any]
) -> None:
    """Decisions and their ends, as a coordinator under load asks them: all in one statement."""
    rng = random.Random(20_260_803)
    empty(plain)
    with closing(registry.transaction_log(f"memory://property-{next(_numbers)}")) as memory:
        # The other owner's epoch is one that never was: what it commits is refused.
        for each in (log, memory):
            each.apply([OpenOwner(OWNERS[0], LEASE_MS)])
        for _ in range(10):
            chosen = rng.sample([f"usual-{number}" for number in range(120)], 64)
            batch = [
                Finish(gid)
                if rng.random() < 0.4
                else Decide(gid, rng.choice(["commit", "abort"]), rng.choice(OWNERS), 1, refs())  # type: ignore[arg-type]
                for gid in chosen
            ]
            expected = [timeless(result) for result in memory.apply(batch)]
            assert [timeless(result) for result in log.apply(batch)] == expected
