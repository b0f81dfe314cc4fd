"""The transaction log's contract, over every backend: its id, its owners, its decisions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.base import AsyncTransactionLog
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
from tests.contract.aio.asking import TTL_MS, enrol, find, tell
from tests.contract.parties import refs
from tests.provision.backend import Backend
from tests.provision.bridge import async_at_once, async_sleep

SHORT_MS = 150
OVER_S = SHORT_MS / 1000 + 0.1


async def decide(
    log: AsyncTransactionLog,
    gid: str,
    outcome: Outcome = "commit",
    branches: tuple[BranchRef, ...] = (),
) -> Decision:
    if outcome == "commit" and await tell(log, OwnerStates((("decider1", 1),))) == Alive():
        await enrol(log, "decider1")
    result = await tell(log, Decide(gid, outcome, "decider1", 1, branches))
    assert isinstance(result, Decision), result
    return result


async def decide_as(log: AsyncTransactionLog, gid: str, owner: str, epoch: int) -> Decision:
    result = await tell(log, Decide(gid, "commit", owner, epoch, refs(1)))
    assert isinstance(result, Decision), result
    return result


# --- the log itself -----------------------------------------------------------------------


async def test_a_log_has_one_lasting_id(
    log: AsyncTransactionLog, another_log: Callable[[], AsyncTransactionLog]
) -> None:
    first = await enrol(log, new_owner())
    assert re.fullmatch(r"c[a-z0-9]{7}", first.log_id)
    assert (await enrol(log, new_owner())).log_id == first.log_id
    assert (await enrol(another_log(), new_owner())).log_id == first.log_id


async def test_two_logs_have_two_ids(log_backend: Backend, tmp_path: Path) -> None:
    assert log_backend.log_url is not None
    found = set()
    for _ in range(3):
        opened = registry.async_transaction_log(log_backend.log_url(tmp_path))
        found.add((await enrol(opened, "sameowner")).log_id)
        await opened.aclose()
    assert len(found) == 3


async def test_openers_at_once_agree_on_the_log_id(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    logs = [another_log() for _ in range(6)]
    opened = await async_at_once([lambda log=log: enrol(log, new_owner()) for log in logs])
    assert len({owner.log_id for owner in opened}) == 1


# --- owners -------------------------------------------------------------------------------


async def test_an_owner_opened_again_has_the_next_epoch_and_ends_the_last(
    log: AsyncTransactionLog,
) -> None:
    owner = new_owner()
    first = (await enrol(log, owner)).epoch
    assert await tell(log, RenewOwner(owner, first, TTL_MS)) == OwnerAlive()
    second = (await enrol(log, owner)).epoch
    assert second == first + 1
    assert await tell(log, RenewOwner(owner, first, TTL_MS)) == OwnerGone()
    assert await tell(log, RenewOwner(owner, second, TTL_MS)) == OwnerAlive()


async def test_an_owner_that_did_not_renew_is_gone_for_good(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    epoch = (await enrol(log, owner, SHORT_MS)).epoch
    await async_sleep(OVER_S)
    assert await tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()
    assert await tell(log, OwnerStates(((owner, epoch),))) == Alive()
    assert (await enrol(log, owner)).epoch > epoch
    assert await tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()


async def test_renewing_keeps_an_owner_alive(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    epoch = (await enrol(log, owner, 1000)).epoch
    assert await tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerAlive()
    await async_sleep(1.1)
    assert await tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerAlive()


async def test_closing_ends_the_epoch_at_once(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    epoch = (await enrol(log, owner)).epoch
    assert await tell(log, CloseOwner(owner, epoch)) == OwnerAlive()
    assert await tell(log, OwnerStates(((owner, epoch),))) == Alive()
    assert await tell(log, RenewOwner(owner, epoch, TTL_MS)) == OwnerGone()


async def test_closing_an_old_epoch_leaves_the_new_one_alone(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    old = (await enrol(log, owner)).epoch
    new = (await enrol(log, owner)).epoch
    assert await tell(log, CloseOwner(owner, old)) == OwnerGone()
    assert await tell(log, RenewOwner(owner, new, TTL_MS)) == OwnerAlive()


async def test_an_owner_never_opened_is_gone(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    assert await tell(log, RenewOwner(owner, 1, TTL_MS)) == OwnerGone()
    assert await tell(log, CloseOwner(owner, 1)) == OwnerGone()


async def test_owner_states_names_the_living_among_those_asked(log: AsyncTransactionLog) -> None:
    alive, closed, bumped, unasked = (new_owner() for _ in range(4))
    epochs = {owner: (await enrol(log, owner)).epoch for owner in (alive, closed, bumped, unasked)}
    await tell(log, CloseOwner(closed, epochs[closed]))
    await enrol(log, bumped)
    asked = [(owner, epochs[owner]) for owner in (alive, closed, bumped)]
    asked += [(bumped, epochs[bumped] + 1), (alive, epochs[alive] + 1), (new_owner(), 1)]
    expected = frozenset({(alive, epochs[alive]), (bumped, epochs[bumped] + 1)})
    assert await tell(log, OwnerStates(tuple(asked))) == Alive(expected)
    assert await tell(log, OwnerStates(())) == Alive()


async def test_owners_opened_at_once_get_an_epoch_each(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    owner = new_owner()
    logs = [another_log() for _ in range(5)]
    opened = await async_at_once([lambda log=log: enrol(log, owner) for log in logs])
    epochs = sorted(found.epoch for found in opened)
    assert epochs == list(range(epochs[0], epochs[0] + 5))
    states = await tell(logs[0], OwnerStates(tuple((owner, epoch) for epoch in epochs)))
    assert states == Alive(frozenset({(owner, epochs[-1])}))


# --- decisions ----------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["commit", "abort"])
async def test_the_first_decision_stands(log: AsyncTransactionLog, outcome: Outcome) -> None:
    gid, branches = new_gid(), refs(3)
    first = await decide(log, gid, outcome, branches)
    assert (first.gid, first.outcome, first.fresh) == (gid, outcome, True)
    assert (first.owner, first.epoch, first.branches) == ("decider1", 1, branches)
    assert first.state == "deciding"
    assert first.age_ms >= 0
    for other in ("commit", "abort"):
        result = await tell(log, Decide(gid, other, "another1", 2, refs(1)))
        assert isinstance(result, Decision)
        assert (result.outcome, result.fresh) == (outcome, False)
        assert (result.owner, result.epoch, result.branches) == ("decider1", 1, branches)
    found, record = await find(log, gid)
    assert found is not None
    assert (found.outcome, found.branches, found.fresh) == (outcome, branches, False)
    assert record is None


async def test_of_many_deciders_at_once_one_is_fresh_and_all_agree(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    epochs = [(await enrol(logs[0], f"decider{number}")).epoch for number in range(8)]
    for _ in range(5):
        gid = new_gid()
        asked: list[Decide] = [
            Decide(gid, "commit" if number % 2 else "abort", f"decider{number}", epoch)
            for number, epoch in enumerate(epochs)
        ]
        results = await async_at_once(
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
async def test_an_epoch_that_is_over_commits_no_more(
    log: AsyncTransactionLog, how: str, alone: bool
) -> None:
    owner, stands, refused, living = new_owner(), new_gid(), new_gid(), new_gid()
    epoch = 1
    if how != "never opened":
        epoch = (await enrol(log, owner, SHORT_MS if how == "run out" else TTL_MS)).epoch
        before = await tell(log, Decide(stands, "commit", owner, epoch, refs()))
        assert isinstance(before, Decision)
    if how == "closed":
        await tell(log, CloseOwner(owner, epoch))
    elif how == "opened again":
        await enrol(log, owner)
    elif how == "run out":
        await async_sleep(OVER_S)
    late = Decide(refused, "commit", owner, epoch, refs())
    if alone:
        assert await tell(log, late) == OwnerGone()
    else:
        other = new_owner()
        lives = Decide(living, "commit", other, (await enrol(log, other)).epoch)
        answers = await log.apply([lives, late, Finish(refused), Load(refused)])
        assert isinstance(answers[0], Decision)
        assert answers[1:] == [OwnerGone(), Finished(), Listing()]
    assert await find(log, refused) == (None, None)
    if how != "never opened":
        # What it has decided stands, and is what it is told when it asks again.
        again = await decide_as(log, stands, owner, epoch)
        assert (again.outcome, again.branches, again.fresh) == ("commit", refs(), False)
    # A recoverer decides for it, and then it is told that.
    assert (await decide(log, refused, "abort")).fresh
    told = await decide_as(log, refused, owner, epoch)
    assert (told.outcome, told.fresh) == ("abort", False)


async def test_one_that_slept_through_an_abort_and_its_purge_commits_nothing(
    log: AsyncTransactionLog,
) -> None:
    owner, gid = new_owner(), new_gid()
    epoch = (await enrol(log, owner, SHORT_MS)).epoch
    await async_sleep(OVER_S)
    assert (await decide(log, gid, "abort")).fresh
    await tell(log, Finish(gid))
    assert await tell(log, Purge(0)) == Purged(1)
    assert await find(log, gid) == (None, None)
    sleeper = Decide(gid, "commit", owner, epoch, refs())
    assert await tell(log, sleeper) == OwnerGone()
    # Back under its next epoch, it is still not the one that it was.
    assert (await enrol(log, owner)).epoch > epoch
    assert await tell(log, sleeper) == OwnerGone()
    assert await find(log, gid) == (None, None)


async def test_an_owner_that_the_log_has_forgotten_goes_on_counting(
    log: AsyncTransactionLog,
) -> None:
    owner = new_owner()
    opened = await tell(log, OpenOwner(owner, TTL_MS, past=7))
    assert isinstance(opened, OwnerOpened)
    assert opened.epoch == 8
    again = await tell(log, OpenOwner(owner, TTL_MS, past=3))
    assert isinstance(again, OwnerOpened)
    assert again.epoch == 9


async def test_two_decisions_for_one_gid_in_a_batch_are_one(log: AsyncTransactionLog) -> None:
    gid = new_gid()
    results = await log.apply(
        [Decide(gid, "abort", "recover1", 1), Decide(gid, "commit", "slowone1", 1)]
    )
    told = [(r.outcome, r.fresh) for r in results if isinstance(r, Decision)]
    assert told == [("abort", True), ("abort", False)]


async def test_a_finished_decision_still_stands(log: AsyncTransactionLog) -> None:
    gid = new_gid()
    await decide(log, gid)
    assert await tell(log, Finish(gid)) == Finished()
    assert await tell(log, Finish(gid)) == Finished()
    found, _ = await find(log, gid)
    assert found is not None
    assert (found.outcome, found.state) == ("commit", "finished")
    again = await decide(log, gid, "abort")
    assert (again.outcome, again.state, again.fresh) == ("commit", "finished", False)


async def test_a_heuristic_outcome_sticks_with_its_evidence(log: AsyncTransactionLog) -> None:
    gid, evidence = new_gid(), "branch 1 is gone: é 'quoted' \U0001f512"
    await decide(log, gid)
    assert await tell(log, Finish(gid, heuristic=True, evidence=evidence)) == Finished()
    assert await tell(log, Finish(gid)) == Finished()
    found, _ = await find(log, gid)
    assert found is not None
    assert (found.outcome, found.state, found.evidence) == ("commit", "heuristic", evidence)


async def test_a_heuristic_outcome_is_settled_by_hand_and_keeps_its_evidence(
    log: AsyncTransactionLog,
) -> None:
    gid, deciding, finished = new_gid(), new_gid(), new_gid()
    for each in (gid, deciding, finished):
        await decide(log, each)
    await tell(log, Finish(finished))
    await tell(log, Finish(gid, True, "branch 2 is gone"))
    settle = Finish(gid, evidence="by hand: bob was paid", by_hand=True)
    for other in (deciding, finished):
        assert isinstance(await tell(log, replace(settle, gid=other)), Rejected)
    for wrong in (replace(settle, evidence=""), replace(settle, heuristic=True)):
        assert isinstance(await tell(log, wrong), Rejected)
    assert await tell(log, Purge(0)) == Purged(1)
    assert await tell(log, settle) == Finished()
    decision, _ = await find(log, gid)
    assert decision is not None
    assert (decision.outcome, decision.state) == ("commit", "finished")
    assert decision.evidence == "branch 2 is gone\nby hand: bob was paid"
    # Its age counts from now on, and it is listed as unfinished no more.
    assert await tell(log, Purge(60_000)) == Purged(0)
    listing = await tell(log, Query(True))
    assert isinstance(listing, Listing)
    assert [each.gid for each in listing.decisions] == [deciding]
    assert await tell(log, Purge(0)) == Purged(1)


async def test_what_a_person_has_to_say_is_never_left_out(log: AsyncTransactionLog) -> None:
    gid, full = new_gid(), "x" * EVIDENCE_BYTES_MAX
    await decide(log, gid)
    await tell(log, Finish(gid, True, full))
    settle = Finish(gid, evidence="by hand: bob was paid", by_hand=True)
    assert isinstance(await tell(log, settle), Rejected)
    decision, _ = await find(log, gid)
    assert decision is not None
    assert (decision.state, decision.evidence) == ("heuristic", full)


async def test_finishing_what_was_never_decided_marks_nothing(log: AsyncTransactionLog) -> None:
    gid = new_gid()
    assert await tell(log, Finish(gid)) == Finished()
    assert await find(log, gid) == (None, None)
    assert (await decide(log, gid)).fresh


async def test_decisions_outlive_the_log_object(
    log_backend: Backend, another_log: Callable[[], AsyncTransactionLog]
) -> None:
    opened = another_log()
    keeper = None if log_backend.promises.survives_restart else another_log()
    owner, committed, aborted, odd = new_owner(), new_gid(), new_gid(), new_gid()
    if keeper is not None:
        await keeper.apply([])
    before = await enrol(opened, owner)
    await decide(opened, committed, "commit", refs())
    await decide(opened, aborted, "abort")
    await decide(opened, odd, "commit")
    await opened.apply([Finish(aborted), Finish(odd, heuristic=True, evidence="why")])
    await opened.aclose()
    opened = another_log()
    states = []
    for gid in (committed, aborted, odd):
        found, _ = await find(opened, gid)
        assert found is not None
        states.append((found.outcome, found.state, found.branches, found.evidence))
    assert states == [
        ("commit", "deciding", refs(), ""),
        ("abort", "finished", (), ""),
        ("commit", "heuristic", (), "why"),
    ]
    after = await enrol(opened, owner)
    assert (after.log_id, after.epoch) == (before.log_id, before.epoch + 1)
