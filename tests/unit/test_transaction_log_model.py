"""What a transaction log means over time: ages, retention and limits, on each embedded driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from concordant.clock import ManualClock
from concordant.drivers.base import TransactionLog
from concordant.drivers.memory.log import LogTable, MemoryTransactionLog
from concordant.drivers.sqlite.log import SqliteTransactionLog
from concordant.drivers.sqlite.options import SqliteOptions
from concordant.transactions.logcheck import EVIDENCE_BYTES_MAX
from concordant.transactions.names import EPOCH_MAX
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
    LogResult,
    OpenOwner,
    OwnerAlive,
    OwnerGone,
    OwnerOpened,
    Purge,
    Purged,
    Query,
    Record,
    Rejected,
    RenewOwner,
    SagaState,
)

TTL_MS = 10_000
DAY_S = 24 * 3600.0
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start_ns=1_000_000_000_000)


@pytest.fixture(params=["memory", "sqlite"])
def log(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> Iterator[TransactionLog]:
    makers: dict[str, Callable[[], TransactionLog]] = {
        "memory": lambda: MemoryTransactionLog(LogTable(clock)),
        "sqlite": lambda: SqliteTransactionLog(
            SqliteOptions(str(tmp_path / "log.db")), clock, lambda: "boot"
        ),
    }
    with ExitStack() as stack:
        yield stack.enter_context(closing(makers[request.param]()))


def tell(log: TransactionLog, operation: LogOperation) -> LogResult:
    [result] = log.apply([operation])
    return result


def enrol(log: TransactionLog, owner: str = "owner001", ttl_ms: int = TTL_MS) -> int:
    result = tell(log, OpenOwner(owner, ttl_ms))
    assert isinstance(result, OwnerOpened), result
    return result.epoch


def start(log: TransactionLog, gid: str, owner: str, epoch: int) -> Record:
    result = tell(log, Create(gid, "saga", "d@1", "payload", owner, epoch))
    assert isinstance(result, Record)
    return result


def move(log: TransactionLog, record: Record, state: SagaState, due_in_ms: int = 0) -> LogResult:
    step = Advance(
        record.gid, record.version, record.owner, record.epoch, state, "", due_in_ms=due_in_ms
    )
    return tell(log, step)


def gids(log: TransactionLog, unfinished: bool = False, after: str = "", limit: int = 256) -> str:
    result = tell(log, Query(unfinished, after, limit))
    assert isinstance(result, Listing)
    return " ".join(sorted({row.gid for row in (*result.decisions, *result.records)}))  # type: ignore[attr-defined]


# --- leases -------------------------------------------------------------------------------


def test_a_lease_runs_by_the_stores_own_clock(log: TransactionLog, clock: ManualClock) -> None:
    epoch = enrol(log)
    clock.jump_wall_s(DAY_S)
    clock.advance_s(TTL_MS / 1000 - 0.001)
    assert tell(log, RenewOwner("owner001", epoch, TTL_MS)) == OwnerAlive()
    clock.advance_s(TTL_MS / 1000)
    assert tell(log, RenewOwner("owner001", epoch, TTL_MS)) == OwnerGone()
    assert tell(log, CloseOwner("owner001", epoch)) == OwnerGone()


def test_an_owner_has_a_bounded_number_of_epochs(log: TransactionLog) -> None:
    # The epoch stands in branch names of bounded length.
    results: list[LogResult] = []
    for _ in range(0, EPOCH_MAX + 1, 100):
        results += log.apply([OpenOwner("owner001", TTL_MS)] * 100)
    assert [r.epoch for r in results if isinstance(r, OwnerOpened)] == list(range(1, EPOCH_MAX + 1))
    assert all(isinstance(result, Rejected) for result in results[EPOCH_MAX:])
    # What was refused changed nothing: the last epoch is still alive.
    assert tell(log, RenewOwner("owner001", EPOCH_MAX, TTL_MS)) == OwnerAlive()


def test_a_lease_that_has_run_out_commits_no_more(log: TransactionLog, clock: ManualClock) -> None:
    epoch = enrol(log)
    clock.advance_s(TTL_MS / 1000 - 0.001)
    in_time = tell(log, Decide("g", "commit", "owner001", epoch))
    assert isinstance(in_time, Decision)
    clock.advance_s(0.001)
    assert tell(log, Decide("h", "commit", "owner001", epoch)) == OwnerGone()
    assert gids(log) == "g"
    # What was decided before stands, and whoever finds the rest may abort it.
    assert tell(log, Decide("g", "commit", "owner001", epoch)) == replace(
        in_time, fresh=False, age_ms=1
    )
    late = tell(log, Decide("h", "abort", "owner001", epoch))
    assert isinstance(late, Decision)
    assert (late.outcome, late.fresh) == ("abort", True)


@pytest.mark.parametrize("away_s", [TTL_MS / 1000, 8 * DAY_S])
def test_one_that_slept_through_an_abort_and_its_purge_commits_nothing(
    log: TransactionLog, clock: ManualClock, away_s: float
) -> None:
    epoch = enrol(log)
    clock.advance_s(away_s)
    tell(log, Decide("g", "abort", "owner001", epoch))
    tell(log, Finish("g"))
    assert tell(log, Purge(0)) == Purged(1)
    clock.advance_s(away_s)
    # By now the owner may have been forgotten, too.
    tell(log, Purge(0))
    sleeper = Decide("g", "commit", "owner001", epoch)
    assert tell(log, sleeper) == OwnerGone()
    opened = tell(log, OpenOwner("owner001", TTL_MS, past=epoch))
    assert isinstance(opened, OwnerOpened)
    assert opened.epoch > epoch
    assert tell(log, sleeper) == OwnerGone()
    assert gids(log) == ""


def test_who_asks_again_after_a_commit_was_forgotten_is_told_no_lie(
    log: TransactionLog, clock: ManualClock
) -> None:
    epoch = enrol(log)
    sleeper = Decide("g", "commit", "owner001", epoch)
    tell(log, sleeper)
    clock.advance_s(TTL_MS / 1000)
    # A recoverer has had it obeyed. To answer abort now would be as wrong as commit.
    tell(log, Finish("g"))
    assert tell(log, Purge(0)) == Purged(1)
    assert tell(log, sleeper) == OwnerGone()


# --- records ------------------------------------------------------------------------------


def test_what_is_stuck_ends_only_by_way_of_running_or_aborting(log: TransactionLog) -> None:
    epoch = enrol(log)
    for number, onward in enumerate(("committed", "aborted", "running", "aborting", "stuck")):
        record = start(log, f"g{number}", "owner001", epoch)
        stuck = move(log, record, "stuck")
        assert isinstance(stuck, Record)
        left = move(log, stuck, onward)  # type: ignore[arg-type]
        if onward in ("committed", "aborted"):
            assert isinstance(left, Rejected)
            left = move(log, stuck, "aborting")
        assert isinstance(left, Record)
        if left.state != "stuck":
            assert isinstance(move(log, left, "aborted"), Record)


def test_what_is_stuck_waits_for_a_person(log: TransactionLog, clock: ManualClock) -> None:
    epoch = enrol(log)
    assert isinstance(move(log, start(log, "g", "owner001", epoch), "stuck"), Record)
    clock.advance_s(DAY_S)
    heir = enrol(log, "owner002")
    assert tell(log, Claim("owner002", heir)) == Listing()
    assert gids(log, unfinished=True) == "g"


def test_a_takeover_makes_the_old_version_stale(log: TransactionLog, clock: ManualClock) -> None:
    old = enrol(log)
    record = start(log, "g", "owner001", old)
    new = enrol(log)
    result = tell(log, Claim("owner001", new))
    assert isinstance(result, Listing)
    [taken] = result.records
    assert (taken.version, taken.epoch) == (record.version + 1, new)
    # Even under the living epoch, only the version that was taken goes on.
    stale = Advance("g", record.version, "owner001", new, "committed", "")
    assert isinstance(tell(log, stale), Conflict)


def test_due_times_are_rounded_so_that_waiting_suffices(
    log: TransactionLog, clock: ManualClock
) -> None:
    epoch = enrol(log)
    record = start(log, "g", "owner001", epoch)
    assert isinstance(move(log, record, "running", due_in_ms=100), Record)
    clock.advance_s(0.0995)
    listing = tell(log, Load("g"))
    assert isinstance(listing, Listing)
    [loaded] = listing.records
    assert loaded.due_in_ms == 1
    assert tell(log, Claim("owner001", epoch)) == Listing()
    clock.advance_s(loaded.due_in_ms / 1000)
    claimed = tell(log, Claim("owner001", epoch))
    assert isinstance(claimed, Listing)
    assert [row.gid for row in claimed.records] == ["g"]


def test_ages_are_of_the_wall_clock_and_never_negative(
    log: TransactionLog, clock: ManualClock
) -> None:
    tell(log, Decide("g", "abort", "owner001", 1))
    clock.advance_s(1.5)
    again = tell(log, Decide("g", "abort", "owner001", 1))
    assert isinstance(again, Decision)
    assert again.age_ms == 1500
    clock.jump_wall_s(-DAY_S)
    again = tell(log, Decide("g", "abort", "owner001", 1))
    assert isinstance(again, Decision)
    assert again.age_ms == 0


def test_evidence_is_added_to_and_bounded(log: TransactionLog) -> None:
    tell(log, Decide("g", "commit", "owner001", enrol(log)))
    for evidence in ("first", "second", "first", "", "x" * EVIDENCE_BYTES_MAX):
        tell(log, Finish("g", heuristic=True, evidence=evidence))
    tell(log, Finish("g", evidence="third"))
    listing = tell(log, Load("g"))
    assert isinstance(listing, Listing)
    [decision] = listing.decisions
    assert (decision.state, decision.evidence) == ("heuristic", "first\nsecond\nthird")


# --- retention ----------------------------------------------------------------------------


def test_only_what_is_over_is_forgotten_and_only_when_old_enough(
    log: TransactionLog, clock: ManualClock
) -> None:
    epoch = enrol(log, ttl_ms=DAY_MS)
    for state in ("deciding", "finished", "heuristic"):
        tell(log, Decide(f"d-{state}", "commit", "owner001", epoch))
    states: tuple[SagaState, ...] = ("running", "aborting", "stuck", "committed", "aborted")
    for each in states:
        move(log, start(log, f"r-{each}", "owner001", epoch), each)
    clock.advance_s(3600)
    # What counts is when it was over, not when it began.
    tell(log, Finish("d-finished"))
    tell(log, Finish("d-heuristic", heuristic=True))
    clock.advance_s(60)
    assert tell(log, Purge(61_000)) == Purged(2)
    assert "r-committed" not in gids(log)
    assert "d-finished" in gids(log)
    assert tell(log, Purge(60_000)) == Purged(1)
    clock.advance_s(365 * DAY_S)
    assert tell(log, Purge(0)) == Purged(0)
    assert gids(log) == "d-deciding d-heuristic r-aborting r-running r-stuck"


def test_an_owner_is_forgotten_last_of_all(log: TransactionLog, clock: ManualClock) -> None:
    named, idle = enrol(log, "named001"), enrol(log, "idle0001")
    tell(log, Decide("g", "commit", "named001", named))
    clock.advance_s(2 * DAY_S)
    tell(log, Purge(0))
    assert enrol(log, "idle0001") == idle + 1
    clock.advance_s(8 * DAY_S)
    tell(log, Purge(0))
    # Its epochs start again, unless it knows its past.
    assert enrol(log, "idle0001") == 1
    assert enrol(log, "named001") == named + 1
    again = [OpenOwner("idle0001", TTL_MS, past=past) for past in (7, 0, 7)]
    assert [r.epoch for r in log.apply(again) if isinstance(r, OwnerOpened)] == [8, 9, 10]


# --- listing ------------------------------------------------------------------------------


def test_pages_hold_decisions_and_records_in_order_of_gid(log: TransactionLog) -> None:
    epoch = enrol(log)
    for gid in ("a", "c", "e", "f"):
        tell(log, Decide(gid, "commit", "owner001", epoch))
    for gid in ("b", "c", "d", "g"):
        start(log, gid, "owner001", epoch)
    assert gids(log, limit=3) == "a b c"
    assert gids(log, after="c", limit=3) == "d e f"
    assert gids(log, after="f", limit=3) == "g"
    assert gids(log, after="g", limit=3) == ""


@pytest.mark.parametrize(
    "operation",
    [
        Decide("g", "commit\0", "owner001", 1),  # type: ignore[arg-type]
        Decide("g", "commit", "", 1),
        Decide("g", "commit", "owner001", 2**63),
        Decide("g" * 37, "commit", "owner001", 1),
        OpenOwner("owner001", 5, past=-1),
        Create("g", "saga", "d", "\ud800", "owner001", 1),
        Create("g", "saga", "d", "a\0b", "owner001", 1),
        Advance("g", 1, "owner001", 1, "done", ""),  # type: ignore[arg-type]
        Advance("g", 1, "owner001", 1, "running", "", due_in_ms=-1),
        OpenOwner("owner001", 0),
        Purge(-1),
        Query(limit=0),
        Claim("owner001", 1, limit=0),
    ],
)
def test_what_is_malformed_is_rejected_alone(log: TransactionLog, operation: LogOperation) -> None:
    epoch = enrol(log, "o")
    x, y = (Decide(gid, "commit", "o", epoch) for gid in ("x", "y"))
    results = log.apply([x, operation, y])
    assert [type(result) for result in results] == [Decision, Rejected, Decision]
    assert gids(log) == "x y"
