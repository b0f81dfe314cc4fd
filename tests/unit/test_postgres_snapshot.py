"""What a batch reads before the model works on it, and writes after; without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concordant.drivers.postgres.snapshot import Snapshot, refs_text, segments
from concordant.transactions.logmodel import perform
from concordant.transactions.logrows import LogMoment
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Create,
    Decide,
    Decision,
    Finish,
    Listing,
    Load,
    LogOperation,
    OpenOwner,
    OwnerOpened,
    OwnerStates,
    Purge,
    Query,
    Record,
    RenewOwner,
)
from tests.contract.parties import refs

MOMENT = LogMoment(5_000_000, 5_000_000)
OWNER = ("owner001", 1, 9_000_000, "note", 1_000_000)
DECISION = ("g", "commit", "owner001", 1, refs_text(refs()), "deciding", "", 1, 2)
RECORD = ("s", "saga", "d@1", "{}", "running", "", 1, "owner001", 1, 3, "", 4, 5)
DECIDE = Decide("g", "commit", "owner001", 1, refs())


def reads(*part: LogOperation) -> list[tuple[str, list[Any]]]:
    """Return what the part reads: tables and how, and which keys."""
    found = []
    for sql, values in Snapshot(part).reads():
        table = sql.partition(" FROM concordant_log_")[2].split(" ")[0]
        how = "lock" if "FOR UPDATE" in sql else "share" if "FOR SHARE" in sql else "look"
        found.append((f"{how} {table}", list(values)))
    return found


def written(snapshot: Snapshot) -> list[tuple[str, str, bool]]:
    """Return what is written: the verb, the first value, and whether it has to hit one row."""
    return [(sql.split(" ")[0], values[0], one) for (sql, values), one in snapshot.writes()]


# --- parts --------------------------------------------------------------------------------


def test_what_lists_or_claims_is_a_part_of_its_own() -> None:
    batch: list[LogOperation] = [
        DECIDE,
        Load("x"),
        Query(),
        Claim("owner001", 1),
        Purge(5),
        Finish("g"),
        OwnerStates(()),
    ]
    assert list(segments(batch)) == [
        [DECIDE, Load("x")],
        [Query()],
        [Claim("owner001", 1)],
        [Purge(5)],
        [Finish("g"), OwnerStates(())],
    ]


@pytest.mark.parametrize("batch", [[], [DECIDE], [Query()], [Query(), Query()], [Query(), DECIDE]])
def test_no_part_is_lost_or_empty(batch: list[LogOperation]) -> None:
    parts = list(segments(batch))
    assert [each for part in parts for each in part] == batch
    assert all(parts)


# --- reading ------------------------------------------------------------------------------


def test_rows_are_locked_in_one_order_and_only_those_that_matter() -> None:
    part = [
        Decide("g2", "commit", "owner005", 1),
        Decide("g3", "commit", "owner002", 1),
        Decide("g4", "abort", "owner007", 1),
        Finish("g1"),
        Create("s2", "saga", "d", "", "owner004", 1),
        Advance("s1", 1, "owner009", 1, "running", ""),
        Load("both"),
        RenewOwner("owner002", 1, 5),
        CloseOwner("owner001", 1),
    ]
    assert reads(*part) == [
        ("lock owner", [["owner001", "owner002"]]),
        ("share owner", [["owner004", "owner005"]]),
        ("look owner", [["owner009"]]),
        ("lock decision", [["both", "g1", "g2", "g3", "g4"]]),
        ("lock record", [["both", "s1", "s2"]]),
    ]


def test_what_only_looks_locks_nothing() -> None:
    part = [Load("g"), OwnerStates((("owner002", 1), ("owner001", 7)))]
    assert reads(*part) == [
        ("look owner", [["owner001", "owner002"]]),
        ("look decision", [["g"]]),
        ("look record", [["g"]]),
    ]


def test_an_owner_that_is_leased_is_not_read_twice() -> None:
    part = [OpenOwner("owner001", 5), OwnerStates((("owner001", 1),))]
    assert reads(*part) == [("lock owner", [["owner001"]])]


def test_a_claim_leaves_alone_what_others_are_claiming() -> None:
    ((sql, values), _) = Snapshot([Claim("owner001", 1, definitions=("d@1",))]).reads()
    assert "FOR UPDATE SKIP LOCKED" in sql
    assert "due_us <=" in sql
    assert values == [["d@1"]]
    ((sql, values), _) = Snapshot([Claim("owner001", 1, gids=("s", "t"))]).reads()
    assert "FOR UPDATE SKIP LOCKED" in sql
    assert "due_us" not in sql.partition("WHERE")[2]
    assert values == [["s", "t"]]


@pytest.mark.parametrize("unfinished", [True, False])
def test_a_page_is_bounded_whatever_is_asked(unfinished: bool) -> None:
    both = Snapshot([Query(unfinished, "after", 10**9)]).reads()
    assert [list(values) for _, values in both] == [["after", 256], ["after", 256]]
    assert all(("state" in sql.partition("WHERE")[2]) is unfinished for sql, _ in both)


# --- what the model sees ------------------------------------------------------------------


def test_rows_are_told_apart_and_come_back_as_they_were() -> None:
    snapshot = Snapshot([Load("g")])
    snapshot.fill([OWNER, DECISION, RECORD])
    owner, decision, record = (
        snapshot.owner("owner001"),
        snapshot.decision("g"),
        snapshot.record("s"),
    )
    assert owner is not None
    assert decision is not None
    assert record is not None
    assert (owner.epoch, owner.expires_us, owner.note) == (1, 9_000_000, "note")
    assert (decision.outcome, decision.branches, decision.changed_at_us) == ("commit", refs(), 2)
    assert (record.version, record.due_us, record.created_at_us) == (1, 3, 4)
    assert snapshot.owner("owner002") is None
    assert snapshot.decision("s") is None
    assert snapshot.record("g") is None
    assert snapshot.writes() == []


def test_references_are_kept_as_json() -> None:
    assert json.loads(refs_text(refs(1))) == [
        ["cabcdefg.owner123-1.0.g-é", "resource-0", "sqlite:///tmp/0.db"]
    ]


# --- writing ------------------------------------------------------------------------------


def test_what_was_absent_is_inserted_and_what_was_there_is_updated() -> None:
    part = [Decide("new", "abort", "owner001", 1), Finish("g"), OpenOwner("owner001", 5)]
    snapshot = Snapshot(part)
    snapshot.fill([OWNER, DECISION])
    fresh, _, opened = [perform(snapshot, each, MOMENT) for each in part]
    assert isinstance(fresh, Decision)
    assert fresh.fresh
    assert isinstance(opened, OwnerOpened)
    assert opened.epoch == 2
    assert written(snapshot) == [
        ("UPDATE", "g", True),
        ("INSERT", "new", True),
        ("UPDATE", "owner001", True),
    ]


def test_a_row_that_is_new_is_inserted_once_with_all_that_became_of_it() -> None:
    part: list[LogOperation] = [
        Create("s", "saga", "d@1", "{}", "owner001", 1),
        Advance("s", 1, "owner001", 1, "running", "step 1"),
        Advance("s", 2, "owner001", 1, "committed", "step 2"),
    ]
    snapshot = Snapshot(part)
    snapshot.fill([OWNER])
    last = [perform(snapshot, each, MOMENT) for each in part][-1]
    assert isinstance(last, Record)
    assert (last.version, last.data) == (3, "step 2")
    assert written(snapshot) == [("INSERT", "s", True)]
    (((sql, values), _),) = snapshot.writes()
    assert "ON CONFLICT DO NOTHING" in sql
    assert "step 2" in values
    assert "step 1" not in values


def test_what_did_not_change_is_not_written() -> None:
    part: list[LogOperation] = [
        DECIDE,
        Load("g"),
        RenewOwner("owner001", 7, 5),
        Advance("s", 99, "owner001", 1, "running", ""),
    ]
    snapshot = Snapshot(part)
    snapshot.fill([OWNER, DECISION, RECORD])
    standing, *_ = [perform(snapshot, each, MOMENT) for each in part]
    assert isinstance(standing, Decision)
    assert not standing.fresh
    assert snapshot.writes() == []


def test_writes_come_in_one_order() -> None:
    part = [Decide(gid, "abort", "owner001", 1) for gid in ("b", "a", "d")] + [
        OpenOwner("owner001", 5),
        Create("c", "saga", "d", "", "owner001", 1),
    ]
    snapshot = Snapshot(part)
    for each in part:
        perform(snapshot, each, MOMENT)
    assert [key for _, key, _ in written(snapshot)] == ["a", "b", "d", "owner001", "c"]


def test_forgetting_is_three_statements_that_may_hit_any_number() -> None:
    snapshot = Snapshot([Purge(1)])
    snapshot.purge_until_us = MOMENT.wall_us
    assert snapshot.reads() == []
    perform(snapshot, Purge(1), MOMENT)
    assert snapshot.purges
    before_us = MOMENT.wall_us - 1000
    statements = snapshot.writes()
    assert [one for _, one in statements] == [False] * 3
    assert all(sql.startswith("DELETE FROM concordant_log_") for (sql, _), _ in statements)
    assert [values[0] for (_, values), _ in statements] == [
        before_us,
        before_us,
        MOMENT.now_us,
    ]


def test_what_changed_after_a_purge_had_begun_is_kept() -> None:
    snapshot = Snapshot([Purge(0)])
    snapshot.purge_until_us = MOMENT.wall_us - 77
    perform(snapshot, Purge(0), MOMENT)
    kept_us = [values[0] for (sql, values), _ in snapshot.writes() if "owner o" not in sql]
    assert kept_us == [MOMENT.wall_us - 77] * 2


def test_a_page_holds_both_kinds_in_order() -> None:
    snapshot = Snapshot([Query()])
    snapshot.fill([DECISION, RECORD, ("a", *RECORD[1:])])
    page = perform(snapshot, Query(), MOMENT)
    assert isinstance(page, Listing)
    assert [row.gid for row in page.decisions] == ["g"]
    assert [row.gid for row in page.records] == ["a", "s"]
