"""The transaction log's contract: batches, listing what is open, forgetting what is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from concordant.drivers.base import AsyncTransactionLog
from concordant.errors import UsageError
from concordant.locking import limits
from concordant.transactions.names import new_gid, new_owner
from concordant.transactions.operations import (
    Advance,
    Conflict,
    Create,
    Decide,
    Decision,
    Finish,
    Finished,
    Listing,
    Load,
    LogOperation,
    OpenOwner,
    OwnerGone,
    Purge,
    Purged,
    Query,
    Record,
    Rejected,
    RenewOwner,
    SagaState,
)
from tests.contract.aio.asking import TTL_MS, enrol, find, move, start, tell
from tests.contract.parties import refs
from tests.provision.bridge import async_sleep

SAGA_STATES: tuple[SagaState, ...] = ("running", "aborting", "stuck", "committed", "aborted")


async def query(
    log: AsyncTransactionLog, unfinished: bool = True, after: str = "", limit: int = 256
) -> Listing:
    result = await tell(log, Query(unfinished, after, limit))
    assert isinstance(result, Listing), result
    return result


async def one_of_each(log: AsyncTransactionLog) -> dict[str, str]:
    """Put a decision and a record into every state; return state: gid."""
    owner = new_owner()
    epoch = (await enrol(log, owner)).epoch
    gids = {}
    for state in ("deciding", "finished", "heuristic"):
        gids[state] = new_gid()
        await tell(log, Decide(gids[state], "commit", owner, epoch, refs()))
    await tell(log, Finish(gids["finished"]))
    await tell(log, Finish(gids["heuristic"], heuristic=True, evidence="gone"))
    for state in SAGA_STATES:
        record = await start(log, new_gid(), owner, epoch)
        gids[state] = record.gid
        await move(log, record, state)
    return gids


async def test_what_somebody_has_to_act_on_is_listed(log: AsyncTransactionLog) -> None:
    gids = await one_of_each(log)
    listing = await query(log)
    assert {d.gid: d.state for d in listing.decisions} == {
        gids["deciding"]: "deciding",
        gids["heuristic"]: "heuristic",
    }
    assert {r.gid: r.state for r in listing.records} == {
        gids[state]: state for state in ("running", "aborting", "stuck")
    }
    [open_one] = [d for d in listing.decisions if d.state == "deciding"]
    assert open_one.branches == refs()


async def test_everything_is_listed_when_asked_for(log: AsyncTransactionLog) -> None:
    gids = await one_of_each(log)
    listing = await query(log, unfinished=False)
    found = {d.gid: d.state for d in listing.decisions}
    found |= {r.gid: r.state for r in listing.records}
    assert found == {gid: state for state, gid in gids.items()}


async def test_an_empty_log_lists_nothing(log: AsyncTransactionLog) -> None:
    assert await query(log, unfinished=False) == Listing()
    assert await tell(log, Load(new_gid())) == Listing()


@pytest.mark.parametrize("kind", ["decisions", "records", "both"])
@pytest.mark.parametrize("unfinished", [True, False])
async def test_a_listing_comes_in_pages_in_order_of_gid(
    log: AsyncTransactionLog, kind: str, unfinished: bool
) -> None:
    owner = new_owner()
    epoch = (await enrol(log, owner)).epoch
    gids = []
    for number in range(8):
        gid = new_gid()
        if kind == "decisions" or (kind == "both" and number % 3):
            await tell(log, Decide(gid, "abort", owner, epoch))
        else:
            await start(log, gid, owner, epoch)
        gids.append(gid)
        # Made in different milliseconds, they sort by their age as well.
        await async_sleep(0.002)
    found: list[str] = []
    while True:
        listing = await query(log, unfinished, found[-1] if found else "", limit=3)
        page = sorted(entry.gid for entry in (*listing.decisions, *listing.records))
        if not page:
            break
        assert len(page) <= 3
        found += page
    assert found == gids


async def test_ages_run_from_the_decision_on(log: AsyncTransactionLog) -> None:
    owner = new_owner()
    epoch = (await enrol(log, owner)).epoch
    gid, saga = new_gid(), new_gid()
    await tell(log, Decide(gid, "commit", owner, epoch, refs()))
    await start(log, saga, owner, epoch)
    await async_sleep(0.1)
    listing = await query(log)
    [decision], [record] = listing.decisions, listing.records
    assert 100 <= decision.age_ms <= 60_000
    assert 100 <= record.age_ms <= 60_000


# --- forgetting ---------------------------------------------------------------------------


async def test_only_what_is_over_is_forgotten(log: AsyncTransactionLog) -> None:
    gids = await one_of_each(log)
    await async_sleep(0.05)
    assert await tell(log, Purge(1)) == Purged(3)
    listing = await query(log, unfinished=False)
    left = {entry.gid for entry in (*listing.decisions, *listing.records)}
    assert left == {
        gids[state] for state in ("deciding", "heuristic", "running", "aborting", "stuck")
    }
    assert await tell(log, Purge(1)) == Purged(0)


async def test_what_is_younger_is_kept(log: AsyncTransactionLog) -> None:
    gids = await one_of_each(log)
    assert await tell(log, Purge(60_000)) == Purged(0)
    for state in ("finished", "committed", "aborted"):
        assert await find(log, gids[state]) != (None, None)


# --- batches ------------------------------------------------------------------------------


async def test_an_empty_batch_is_answered(log: AsyncTransactionLog) -> None:
    assert await log.apply([]) == []


async def test_each_item_of_a_mixed_batch_gets_its_own_answer(log: AsyncTransactionLog) -> None:
    owner, saga, gid = new_owner(), new_gid(), new_gid()
    epoch = (await enrol(log, owner)).epoch
    record = await start(log, saga, owner, epoch)
    results = await log.apply(
        [
            Decide(gid, "commit", owner, epoch, refs()),
            Advance(saga, record.version + 1, owner, epoch, "committed", ""),
            RenewOwner(owner, epoch + 1, TTL_MS),
            Advance(saga, record.version, owner, epoch, "aborting", "x"),
            Finish(gid),
            Load(gid),
            Load(saga),
            Query(),
        ]
    )
    kinds = [Decision, Conflict, OwnerGone, Record, Finished, Listing, Listing, Listing]
    assert [type(result) for result in results] == kinds
    _, _, _, _, _, decided, moved, still_open = results
    assert isinstance(decided, Listing)
    assert isinstance(moved, Listing)
    assert isinstance(still_open, Listing)
    assert [d.state for d in decided.decisions] == ["finished"]
    assert [r.state for r in moved.records] == ["aborting"]
    assert [r.gid for r in still_open.records] == [saga]


MALFORMED: dict[str, Callable[[str, int], LogOperation]] = {
    "gid of a decision": lambda owner, epoch: Decide("not a gid", "commit", owner, epoch),
    "gid that is empty": lambda owner, epoch: Decide("", "commit", owner, epoch),
    "gid too long": lambda owner, epoch: Decide("g" * 37, "abort", owner, epoch),
    "gid of a record": lambda owner, epoch: Create("a\0b", "saga", "d", "p", owner, epoch),
    "gid that is not ASCII": lambda owner, epoch: Create("é", "saga", "d", "p", owner, epoch),
}


@pytest.mark.parametrize("what", list(MALFORMED))
async def test_a_malformed_item_is_rejected_and_its_neighbours_are_not(
    log: AsyncTransactionLog, what: str
) -> None:
    owner, first, last = new_owner(), new_gid(), new_gid()
    epoch = (await enrol(log, owner)).epoch
    results = await log.apply(
        [
            Decide(first, "commit", owner, epoch),
            MALFORMED[what](owner, epoch),
            Decide(last, "commit", owner, epoch),
        ]
    )
    assert [type(result) for result in results] == [Decision, Rejected, Decision]
    listing = await query(log, unfinished=False)
    assert {decision.gid for decision in listing.decisions} == {first, last}
    assert listing.records == ()


async def test_the_largest_batch_is_applied_whole(log: AsyncTransactionLog) -> None:
    gids = [new_gid() for _ in range(limits.BATCH_MAX)]
    owner = new_owner()
    epoch = (await enrol(log, owner)).epoch
    results = await log.apply([Decide(gid, "commit", owner, epoch) for gid in gids])
    decided = [result.gid for result in results if isinstance(result, Decision) and result.fresh]
    assert decided == gids
    found: list[str] = []
    while page := (await query(log, after=found[-1] if found else "", limit=100)).decisions:
        found += [decision.gid for decision in page]
    assert sorted(found) == sorted(gids)


async def test_a_larger_batch_is_refused_whole(log: AsyncTransactionLog) -> None:
    batch = [Decide(new_gid(), "commit", "decider1", 1) for _ in range(limits.BATCH_MAX + 1)]
    with pytest.raises(UsageError, match="256"):
        await log.apply(batch)
    assert await query(log, unfinished=False) == Listing()


async def test_an_owner_can_be_opened_and_used_in_one_batch(log: AsyncTransactionLog) -> None:
    owner, gid = new_owner(), new_gid()
    first = (await enrol(log, owner)).epoch
    results = await log.apply(
        [
            OpenOwner(owner, TTL_MS),
            Create(gid, "saga", "d@1", "", owner, first + 1),
            RenewOwner(owner, first, TTL_MS),
        ]
    )
    assert isinstance(results[1], Record)
    assert results[2] == OwnerGone()
