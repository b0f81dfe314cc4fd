# Generated from tests/contract/aio/test_aio_transaction_log.py by tools/unasync.py; do not edit.
"""The transaction log's contract, over every backend: its id, its owners, its decisions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.transactions.logcheck import EVIDENCE_BYTES_MAX
from concordant.transactions.names import new_gid, new_owner
from concordant.transactions.operations import (
    Alive,
    BranchRef,
    CloseOwner,
    Decide,
    Decision,
    Finish,
    Finished,
    Listing,
    Load,
    OpenOwner,
    Outcome,
    OwnerAlive,
    OwnerGone,
    OwnerOpened,
    OwnerStates,
    Purge,
    Purged,
    Query,
    Rejected,
    RenewOwner,
)
from tests.contract.parties import refs
from tests.contract.sync.asking import TTL_MS, enrol, find, tell
from tests.provision.backend import Backend
from tests.provision.bridge import at_once, sleep

SHORT_MS = 150
OVER_S = SHORT_MS / 1000 + 0.1


def decide(
    log: TransactionLog,
    gid: str,
    outcome: Outcome = "commit",
    branches: tuple[BranchRef, ...] = (),
) -> Decision:
    if outcome == "commit" and tell(log, OwnerStates((("decider1", 1),))) == Alive():
        enrol(log, "decider1")
    result = tell(log, Decide(gid, outcome, "decider1", 1, branches))
    assert isinstance(result, Decision), result
    return result


def decide_as(log: TransactionLog, gid: str, owner: str, epoch: int) -> Decision:
    result = tell(log, Decide(gid, "commit", owner, epoch, refs(1)))
    assert isinstance(result, Decision), result
    return result


# --- the log itself -----------------------------------------------------------------------


def test_a_log_has_one_lasting_id(
    log: TransactionLog, another_log: Callable[[], TransactionLog]
) -> None:
    first = enrol(log, new_owner())
    assert re.fullmatch(r"c[a-z0-9]{7}", first.log_id)
    assert (enrol(log, new_owner())).log_id == first.log_id
    assert (enrol(another_log(), new_owner())).log_id == first.log_id


def test_two_logs_have_two_ids(log_backend: Backend, tmp_path: Path) -> None:
    assert log_backend.log_url is not None
    found = set()
    for _ in range(3):
        opened = registry.transaction_log(log_backend.log_url(tmp_path))
        found.add((enrol(opened, "sameowner")).log_id)
        opened.close()
    assert len(found) == 3


def test_openers_at_once_agree_on_the_log_id(
    another_log: Callable[[], TransactionLog],
) -> None:
    logs = [another_log() for _ in range(6)]
    opened = at_once([lambda log=log: enrol(log, new_owner()) for log in logs])
    assert len({owner.log_id for owner in opened}) == 1


# --- owners -------------------------------------------------------------------------------


def test_an_owner_opened_again_has_the_next_epoch_and_ends_the_last(
    log: TransactionLog,
) -> None:
    owner = new_owner()
    first = (enrol(log, owner)).epoch
    assert tell(log, RenewOwner(owner, first, TTL_MS)) == OwnerAlive()
    second = (enrol(log, owner)).epoch
    assert second == first + 1
    assert tell(log, RenewOwner(owner, first, TTL_MS)) == OwnerGone()
    assert tell(log, RenewOwner(owner, second, TTL_MS)) == OwnerAlive()


def test_an_owner_that_did_not_renew_is_gone_for_good(log: TransactionLog) -> None:
    owner = new_owner()
    epoch = (enrol(log, owner, SHORT_MS)).epoch
    sleep(OVER_S)
    assert tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()
    assert tell(log, OwnerStates(((owner, epoch),))) == Alive()
    assert (enrol(log, owner)).epoch > epoch
    assert tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()


def test_renewing_keeps_an_owner_alive(log: TransactionLog) -> None:
    owner = new_owner()
    epoch = (enrol(log, owner, 1000)).epoch
    assert tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerAlive()
    sleep(1.1)
    assert tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerAlive()


def test_closing_ends_the_epoch_at_once(log: TransactionLog) -> None:
    owner = new_owner()
    epoch = (enrol(log, owner)).epoch
    assert tell(log, CloseOwner(owner, epoch)) == OwnerAlive()
    assert tell(log, OwnerStates(((owner, epoch),))) == Alive()
    assert tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()


def test_closing_an_old_epoch_leaves_the_new_one_alone(log: TransactionLog) -> None:
    owner = new_owner()
    old = (enrol(log, owner)).epoch
    new = (enrol(log, owner)).epoch
    assert tell(log, CloseOwner(owner, old)) == OwnerGone()
    assert tell(log, RenewOwner(owner, new, TTL_MS)) == OwnerAlive()


def test_an_owner_never_opened_is_gone(log: TransactionLog) -> None:
    owner = new_owner()
    assert tell(log, RenewOwner(owner, 1, TTL_MS)) == OwnerGone()
    assert tell(log, CloseOwner(owner, 1)) == OwnerGone()


def test_owner_states_names_the_living_among_those_asked(log: TransactionLog) -> None:
    alive, closed, bumped, unasked = (new_owner() for _ in range(4))
    epochs = {owner: (enrol(log, owner)).epoch for owner in (alive, closed, bumped, unasked)}
    tell(log, CloseOwner(closed, epochs[closed]))
    enrol(log, bumped)
    asked = [(owner, epochs[owner]) for owner in (alive, closed, bumped)]
    asked += [(bumped, epochs[bumped] + 1), (alive, epochs[alive] + 1), (new_owner(), 1)]
    expected = frozenset({(alive, epochs[alive]), (bumped, epochs[bumped] + 1)})
    assert tell(log, OwnerStates(tuple(asked))) == Alive(expected)
    assert tell(log, OwnerStates(())) == Alive()


def test_owners_opened_at_once_get_an_epoch_each(
    another_log: Callable[[], TransactionLog],
) -> None:
    owner = new_owner()
    logs = [another_log() for _ in range(5)]
    opened = at_once([lambda log=log: enrol(log, owner) for log in logs])
    epochs = sorted(found.epoch for found in opened)
    assert epochs == list(range(epochs[0], epochs[0] + 5))
    states = tell(logs[0], OwnerStates(tuple((owner, epoch) for epoch in epochs)))
    assert states == Alive(frozenset({(owner, epochs[-1])}))


# --- decisions ----------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["commit", "abort"])
def test_the_first_decision_stands(log: TransactionLog, outcome: Outcome) -> None:
    gid, branches = new_gid(), refs(3)
    first = decide(log, gid, outcome, branches)
    assert (first.gid, first.outcome, first.fresh) == (gid, outcome, True)
    assert (first.owner, first.epoch, first.branches) == ("decider1", 1, branches)
    assert first.state == "deciding"
    assert first.age_ms >= 0
    for other in ("commit", "abort"):
        result = tell(log, Decide(gid, other, "another1", 2, refs(1)))
        assert isinstance(result, Decision)
        assert (result.outcome, result.fresh) == (outcome, False)
        assert (result.owner, result.epoch, result.branches) == ("decider1", 1, branches)
    found, record = find(log, gid)
    assert found is not None
    assert (found.outcome, found.branches, found.fresh) == (outcome, branches, False)
    assert record is None


def test_of_many_deciders_at_once_one_is_fresh_and_all_agree(
    another_log: Callable[[], TransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    epochs = [(enrol(logs[0], f"decider{number}")).epoch for number in range(8)]
    for _ in range(5):
        gid = new_gid()
        asked: list[Decide] = [
            Decide(gid, "commit" if number % 2 else "abort", f"decider{number}", epoch)
            for number, epoch in enumerate(epochs)
        ]
        results = at_once(
            [
                lambda log=logs[number % 4], one=one: tell(log, one)
                for number, one in enumerate(asked)
            ]
        )
        decisions = [result for result in results if isinstance(result, Decision)]
        assert len(decisions) == len(asked)
        assert len({(d.outcome, d.owner, d.epoch) for d in decisions}) == 1
        [winner] = [one for one, d in zip(asked, decisions, strict=True) if d.fresh]
        assert (winner.outcome, winner.owner) == (decisions[0].outcome, decisions[0].owner)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among others"])
@pytest.mark.parametrize("how", ["closed", "opened again", "run out", "never opened"])
def test_an_epoch_that_is_over_commits_no_more(log: TransactionLog, how: str, alone: bool) -> None:
    owner, stands, refused, living = new_owner(), new_gid(), new_gid(), new_gid()
    epoch = 1
    if how != "never opened":
        epoch = (enrol(log, owner, SHORT_MS if how == "run out" else TTL_MS)).epoch
        before = tell(log, Decide(stands, "commit", owner, epoch, refs()))
        assert isinstance(before, Decision)
    if how == "closed":
        tell(log, CloseOwner(owner, epoch))
    elif how == "opened again":
        enrol(log, owner)
    elif how == "run out":
        sleep(OVER_S)
    late = Decide(refused, "commit", owner, epoch, refs())
    if alone:
        assert tell(log, late) == OwnerGone()
    else:
        other = new_owner()
        lives = Decide(living, "commit", other, (enrol(log, other)).epoch)
        answers = log.apply([lives, late, Finish(refused), Load(refused)])
        assert isinstance(answers[0], Decision)
        assert answers[1:] == [OwnerGone(), Finished(), Listing()]
    assert find(log, refused) == (None, None)
    if how != "never opened":
        # What it has decided stands, and is what it is told when it asks again.
        again = decide_as(log, stands, owner, epoch)
        assert (again.outcome, again.branches, again.fresh) == ("commit", refs(), False)
    # A recoverer decides for it, and then it is told that.
    assert (decide(log, refused, "abort")).fresh
    told = decide_as(log, refused, owner, epoch)
    assert (told.outcome, told.fresh) == ("abort", False)


def test_one_that_slept_through_an_abort_and_its_purge_commits_nothing(
    log: TransactionLog,
) -> None:
    owner, gid = new_owner(), new_gid()
    epoch = (enrol(log, owner, SHORT_MS)).epoch
    sleep(OVER_S)
    assert (decide(log, gid, "abort")).fresh
    tell(log, Finish(gid))
    assert tell(log, Purge(0)) == Purged(1)
    assert find(log, gid) == (None, None)
    sleeper = Decide(gid, "commit", owner, epoch, refs())
    assert tell(log, sleeper) == OwnerGone()
    # Back under its next epoch, it is still not the one that it was.
    assert (enrol(log, owner)).epoch > epoch
    assert tell(log, sleeper) == OwnerGone()
    assert find(log, gid) == (None, None)


def test_an_owner_that_the_log_has_forgotten_goes_on_counting(
    log: TransactionLog,
) -> None:
    owner = new_owner()
    opened = tell(log, OpenOwner(owner, TTL_MS, past=7))
    assert isinstance(opened, OwnerOpened)
    assert opened.epoch == 8
    again = tell(log, OpenOwner(owner, TTL_MS, past=3))
    assert isinstance(again, OwnerOpened)
    assert again.epoch == 9


def test_two_decisions_for_one_gid_in_a_batch_are_one(log: TransactionLog) -> None:
    gid = new_gid()
    results = log.apply([Decide(gid, "abort", "recover1", 1), Decide(gid, "commit", "slowone1", 1)])
    told = [(r.outcome, r.fresh) for r in results if isinstance(r, Decision)]
    assert told == [("abort", True), ("abort", False)]


def test_a_finished_decision_still_stands(log: TransactionLog) -> None:
    gid = new_gid()
    decide(log, gid)
    assert tell(log, Finish(gid)) == Finished()
    assert tell(log, Finish(gid)) == Finished()
    found, _ = find(log, gid)
    assert found is not None
    assert (found.outcome, found.state) == ("commit", "finished")
    again = decide(log, gid, "abort")
    assert (again.outcome, again.state, again.fresh) == ("commit", "finished", False)


def test_a_heuristic_outcome_sticks_with_its_evidence(log: TransactionLog) -> None:
    gid, evidence = new_gid(), "branch 1 is gone: é 'quoted' \U0001f512"
    decide(log, gid)
    assert tell(log, Finish(gid, heuristic=True, evidence=evidence)) == Finished()
    assert tell(log, Finish(gid)) == Finished()
    found, _ = find(log, gid)
    assert found is not None
    assert (found.outcome, found.state, found.evidence) == ("commit", "heuristic", evidence)


def test_a_heuristic_outcome_is_settled_by_hand_and_keeps_its_evidence(
    log: TransactionLog,
) -> None:
    gid, deciding, finished = new_gid(), new_gid(), new_gid()
    for each in (gid, deciding, finished):
        decide(log, each)
    tell(log, Finish(finished))
    tell(log, Finish(gid, True, "branch 2 is gone"))
    settle = Finish(gid, evidence="by hand: bob was paid", by_hand=True)
    for other in (deciding, finished):
        assert isinstance(tell(log, replace(settle, gid=other)), Rejected)
    for wrong in (replace(settle, evidence=""), replace(settle, heuristic=True)):
        assert isinstance(tell(log, wrong), Rejected)
    assert tell(log, Purge(0)) == Purged(1)
    assert tell(log, settle) == Finished()
    decision, _ = find(log, gid)
    assert decision is not None
    assert (decision.outcome, decision.state) == ("commit", "finished")
    assert decision.evidence == "branch 2 is gone\nby hand: bob was paid"
    # Its age counts from now on, and it is listed as unfinished no more.
    assert tell(log, Purge(60_000)) == Purged(0)
    listing = tell(log, Query(True))
    assert isinstance(listing, Listing)
    assert [each.gid for each in listing.decisions] == [deciding]
    assert tell(log, Purge(0)) == Purged(1)


def test_what_a_person_has_to_say_is_never_left_out(log: TransactionLog) -> None:
    gid, full = new_gid(), "x" * EVIDENCE_BYTES_MAX
    decide(log, gid)
    tell(log, Finish(gid, True, full))
    settle = Finish(gid, evidence="by hand: bob was paid", by_hand=True)
    assert isinstance(tell(log, settle), Rejected)
    decision, _ = find(log, gid)
    assert decision is not None
    assert (decision.state, decision.evidence) == ("heuristic", full)


def test_finishing_what_was_never_decided_marks_nothing(log: TransactionLog) -> None:
    gid = new_gid()
    assert tell(log, Finish(gid)) == Finished()
    assert find(log, gid) == (None, None)
    assert (decide(log, gid)).fresh


def test_decisions_outlive_the_log_object(
    log_backend: Backend, another_log: Callable[[], TransactionLog]
) -> None:
    opened = another_log()
    keeper = None if log_backend.promises.survives_restart else another_log()
    owner, committed, aborted, odd = new_owner(), new_gid(), new_gid(), new_gid()
    if keeper is not None:
        keeper.apply([])
    before = enrol(opened, owner)
    decide(opened, committed, "commit", refs())
    decide(opened, aborted, "abort")
    decide(opened, odd, "commit")
    opened.apply([Finish(aborted), Finish(odd, heuristic=True, evidence="why")])
    opened.close()
    opened = another_log()
    states = []
    for gid in (committed, aborted, odd):
        found, _ = find(opened, gid)
        assert found is not None
        states.append((found.outcome, found.state, found.branches, found.evidence))
    assert states == [
        ("commit", "deciding", refs(), ""),
        ("abort", "finished", (), ""),
        ("commit", "heuristic", (), "why"),
    ]
    after = enrol(opened, owner)
    assert (after.log_id, after.epoch) == (before.log_id, before.epoch + 1)
