"""A transaction log in a SQLite file: durability, reboots, and reads that stay small."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.clock import ManualClock
from concordant.drivers import registry
from concordant.drivers.sqlite.log import SqliteTransactionLog
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.transactions.operations import (
    Advance,
    Alive,
    BranchRef,
    Claim,
    Conflict,
    Create,
    Decide,
    Decision,
    Listing,
    Load,
    LogOperation,
    LogResult,
    OpenOwner,
    OwnerGone,
    OwnerOpened,
    OwnerStates,
    Query,
    Record,
    RenewOwner,
)

TTL_MS = 3_600_000

Opener = Callable[..., SqliteTransactionLog]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log.db")


@pytest.fixture
def opened(path: str) -> Iterator[Opener]:
    made: list[SqliteTransactionLog] = []

    def make(boot: str = "first boot", clock: ManualClock | None = None) -> SqliteTransactionLog:
        clock = clock or ManualClock(start_ns=1_000_000_000_000)
        made.append(SqliteTransactionLog(SqliteOptions(path), clock, lambda: boot))
        return made[-1]

    yield make
    for log in made:
        log.close()


def tell(log: SqliteTransactionLog, operation: LogOperation) -> LogResult:
    [result] = log.apply([operation])
    return result


def test_a_reboot_ends_every_epoch_and_makes_everything_due(opened: Opener) -> None:
    before = opened()
    first = tell(before, OpenOwner("owner001", TTL_MS))
    assert isinstance(first, OwnerOpened)
    tell(before, Create("g", "saga", "d@1", "p", "owner001", first.epoch))
    waiting = tell(before, Advance("g", 1, "owner001", first.epoch, "running", "", TTL_MS))
    assert isinstance(waiting, Record)
    tell(before, Decide("h", "commit", "owner001", first.epoch))

    # The clock has started anew, so every number written before lies in the future.
    after = opened("second boot", ManualClock(start_ns=5_000_000_000))
    assert tell(after, OwnerStates((("owner001", first.epoch),))) == Alive()
    assert tell(after, RenewOwner("owner001", first.epoch, TTL_MS)) == OwnerGone()
    assert tell(after, Decide("i", "commit", "owner001", first.epoch)) == OwnerGone()
    late = Advance("g", waiting.version, "owner001", first.epoch, "committed", "")
    assert isinstance(tell(after, late), Conflict)
    heir = tell(after, OpenOwner("owner002", TTL_MS))
    assert isinstance(heir, OwnerOpened)
    assert heir.log_id == first.log_id
    claimed = tell(after, Claim("owner002", heir.epoch))
    assert isinstance(claimed, Listing)
    assert [(row.gid, row.due_in_ms) for row in claimed.records] == [("g", 0)]
    again = tell(after, OpenOwner("owner001", TTL_MS))
    assert again == OwnerOpened(first.log_id, first.epoch + 1)
    standing = tell(after, Decide("h", "abort", "owner002", heir.epoch))
    assert isinstance(standing, Decision)
    assert (standing.outcome, standing.owner) == ("commit", "owner001")


_DECIDE = """
import os, signal, sys
from concordant.drivers import registry
from concordant.transactions.operations import BranchRef, Decide, OpenOwner
log = registry.transaction_log(sys.argv[1])
branch = BranchRef("branch é", "resource", "sqlite:///x")
[opened] = log.apply([OpenOwner("owner001", 60_000)])
log.apply([Decide("g", "commit", "owner001", opened.epoch, (branch,))])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_decision_outlives_the_process_that_was_told_of_it(path: str) -> None:
    url = f"sqlite://{path}"
    ended = subprocess.run([sys.executable, "-c", _DECIDE, url], timeout=30, check=False)
    assert ended.returncode == -9
    with closing(registry.transaction_log(url)) as log:
        [listing] = log.apply([Load("g")])
    assert isinstance(listing, Listing)
    [decision] = listing.decisions
    assert decision.outcome == "commit"
    assert decision.branches == (BranchRef("branch é", "resource", "sqlite:///x"),)


def test_reading_waits_for_no_writer(path: str, opened: Opener) -> None:
    log = opened()
    tell(log, Decide("g", "abort", "owner001", 1))
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("BEGIN IMMEDIATE")
        results = log.apply([Load("g"), Query(), OwnerStates((("owner001", 1),))])
    assert [type(result) for result in results] == [Listing, Listing, Alive]


@pytest.mark.parametrize("table", ["decisions", "records"])
def test_what_is_unfinished_is_found_without_reading_what_is_over(
    path: str, opened: Opener, table: str
) -> None:
    statements: list[str] = []
    log = opened()
    tell(log, Query())
    connection = log._database._connection
    assert connection is not None
    connection.set_trace_callback(statements.append)
    tell(log, OpenOwner("owner001", TTL_MS))
    log.apply([Query(), Claim("owner001", 1)])
    connection.set_trace_callback(None)
    scans = [one for one in statements if f"FROM {table} WHERE" in one and "ORDER BY" in one]
    assert scans
    for statement in scans:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        assert f"{table}_unfinished" in str(plan), (statement, plan)


def test_log_ids_are_made_once(path: str, opened: Opener) -> None:
    ids = set()
    for _ in range(3):
        log = opened()
        opened_owner = tell(log, OpenOwner("owner001", TTL_MS))
        assert isinstance(opened_owner, OwnerOpened)
        ids.add(opened_owner.log_id)
        log.close()
    assert len(ids) == 1
