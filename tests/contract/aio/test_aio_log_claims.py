"""The transaction log's contract, over every backend: what a claim may be narrowed to."""

from __future__ import annotations

import pytest

from concordant.drivers.base import AsyncTransactionLog
from concordant.transactions.names import new_gid, new_owner
from concordant.transactions.operations import (
    Claim,
    CloseOwner,
    Create,
    Listing,
    Record,
    Rejected,
    SagaState,
)
from tests.contract.aio.asking import TTL_MS, enrol, move, tell


async def enrolled(log: AsyncTransactionLog) -> tuple[str, int]:
    name = new_owner()
    return name, (await enrol(log, name)).epoch


async def created(
    log: AsyncTransactionLog, owner: tuple[str, int], definition: str = "transfer/1"
) -> Record:
    record = await tell(log, Create(new_gid(), "saga", definition, "", *owner))
    assert isinstance(record, Record)
    return record


async def claimed(log: AsyncTransactionLog, claim: Claim) -> set[str]:
    listing = await tell(log, claim)
    assert isinstance(listing, Listing), listing
    for record in listing.records:
        assert (record.owner, record.epoch) == (claim.owner, claim.epoch)
    return {record.gid for record in listing.records}


async def test_a_claim_takes_only_the_definitions_that_it_names(log: AsyncTransactionLog) -> None:
    dead, heir = await enrolled(log), await enrolled(log)
    definitions = ["transfer/1", "transfer/2", "order/1", "transfer/10"]
    made = {each: (await created(log, dead, each)).gid for each in definitions}
    await tell(log, CloseOwner(*dead))
    wanted = ("transfer/1", "order/1", "nobody/1")
    assert await claimed(log, Claim(*heir, definitions=wanted)) == {
        made["transfer/1"],
        made["order/1"],
    }
    assert await claimed(log, Claim(*heir, definitions=("nobody/1",))) == set()
    assert await claimed(log, Claim(*heir, own=False)) == {made["transfer/2"], made["transfer/10"]}


async def test_the_limit_counts_only_what_is_taken(log: AsyncTransactionLog) -> None:
    dead, heir = await enrolled(log), await enrolled(log)
    for _ in range(4):
        await created(log, dead, "other/1")
    wanted = {(await created(log, dead)).gid for _ in range(2)}
    await tell(log, CloseOwner(*dead))
    claim = Claim(*heir, 1, ("transfer/1",), own=False)
    first, second = await claimed(log, claim), await claimed(log, claim)
    assert len(first) == len(second) == 1
    assert first | second == wanted


async def test_a_claim_leaves_ones_own_alone_if_told_so(log: AsyncTransactionLog) -> None:
    owner, dead = await enrolled(log), await enrolled(log)
    mine, left = await created(log, owner), await created(log, dead)
    await tell(log, CloseOwner(*dead))
    assert await claimed(log, Claim(*owner, own=False)) == {left.gid}
    assert await claimed(log, Claim(*owner)) == {mine.gid, left.gid}


async def test_what_one_had_under_an_earlier_epoch_is_not_ones_own(
    log: AsyncTransactionLog,
) -> None:
    before = await enrolled(log)
    record = await created(log, before)
    now = (before[0], (await enrol(log, before[0])).epoch)
    assert await claimed(log, Claim(*now, own=False)) == {record.gid}


async def test_a_claim_by_gid_takes_what_is_not_due_yet(log: AsyncTransactionLog) -> None:
    dead, heir = await enrolled(log), await enrolled(log)
    record = await move(log, await created(log, dead), "running", TTL_MS)
    other = await created(log, dead)
    await tell(log, CloseOwner(*dead))
    assert await claimed(log, Claim(*heir, gids=(record.gid, new_gid()))) == {record.gid}
    assert await claimed(log, Claim(*heir, own=False)) == {other.gid}


async def test_a_claim_by_gid_takes_nothing_from_the_living(log: AsyncTransactionLog) -> None:
    alive, heir = await enrolled(log), await enrolled(log)
    record = await created(log, alive)
    assert await claimed(log, Claim(*heir, gids=(record.gid,))) == set()
    assert await claimed(log, Claim(*alive, gids=(record.gid,), own=False)) == set()
    assert await claimed(log, Claim(*alive, gids=(record.gid,))) == {record.gid}


async def test_a_stuck_record_is_taken_by_gid_alone_but_from_anybody(
    log: AsyncTransactionLog,
) -> None:
    alive, heir = await enrolled(log), await enrolled(log)
    record = await move(log, await created(log, alive), "stuck")
    assert await claimed(log, Claim(*heir)) == set()
    assert await claimed(log, Claim(*heir, gids=(record.gid,))) == {record.gid}


@pytest.mark.parametrize("end", ["committed", "aborted"])
async def test_what_is_final_is_not_taken_by_gid(log: AsyncTransactionLog, end: SagaState) -> None:
    dead, heir = await enrolled(log), await enrolled(log)
    record = await move(log, await created(log, dead), end)
    await tell(log, CloseOwner(*dead))
    assert await claimed(log, Claim(*heir, gids=(record.gid,))) == set()


async def test_gids_and_definitions_narrow_together(log: AsyncTransactionLog) -> None:
    dead, heir = await enrolled(log), await enrolled(log)
    record = await created(log, dead)
    await tell(log, CloseOwner(*dead))
    for definitions, taken in ((("other/1",), set()), (("transfer/1",), {record.gid})):
        claim = Claim(*heir, definitions=definitions, gids=(record.gid,))
        assert await claimed(log, claim) == taken


@pytest.mark.parametrize(
    "claim",
    [
        Claim("owner", 1, definitions=("a\0b",)),
        Claim("owner", 1, gids=("no gid!",)),
        Claim("owner", 1, gids=("g",) * 2000),
    ],
)
async def test_a_malformed_claim_is_rejected(log: AsyncTransactionLog, claim: Claim) -> None:
    assert isinstance(await tell(log, claim), Rejected)
