"""The transaction log's contract: sagas and messages, who may move them, who takes them over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from concordant.drivers.base import AsyncTransactionLog
from concordant.transactions.names import new_gid, new_owner
from concordant.transactions.operations import (
    Advance,
    Claim,
    CloseOwner,
    Conflict,
    Create,
    Listing,
    Load,
    OwnerGone,
    Purge,
    Purged,
    Record,
    SagaState,
)
from tests.contract.aio.asking import TTL_MS, enrol, find, move, start, tell
from tests.provision.backend import Backend
from tests.provision.bridge import async_at_once, async_sleep

# Long enough to create a record in, on a busy machine.
SHORT_MS = 400
OVER_S = SHORT_MS / 1000 + 0.1

ODD = "é \U0001f512 'quoted' \"twice\" \\ \n {} %s ? [1, 2]"


class Owner:
    """An owner with a living epoch."""

    def __init__(self, name: str, epoch: int) -> None:
        self.name = name
        self.epoch = epoch

    @classmethod
    async def enrolled(cls, log: AsyncTransactionLog, ttl_ms: int = TTL_MS) -> Owner:
        name = new_owner()
        return cls(name, (await enrol(log, name, ttl_ms)).epoch)

    @property
    def pair(self) -> tuple[str, int]:
        return self.name, self.epoch


async def claim(log: AsyncTransactionLog, owner: Owner, limit: int = 16) -> list[Record]:
    result = await tell(log, Claim(owner.name, owner.epoch, limit))
    # Whoever is no owner any more is told so, or gets nothing.
    return list(result.records) if isinstance(result, Listing) else []


def same(one: Record | None, other: Record | None) -> bool:
    """Tell whether two readings are of one state of a record: ages and dues run on."""
    if one is None or other is None:
        return one is other
    level = {"age_ms": 0, "due_in_ms": 0, "fresh": False}
    return replace(one, **level) == replace(other, **level)


async def test_a_created_record_is_as_it_was_given(log: AsyncTransactionLog) -> None:
    gid, owner = new_gid(), await Owner.enrolled(log)
    result = await tell(log, Create(gid, "saga", ODD, ODD, *owner.pair))
    assert isinstance(result, Record)
    assert (result.gid, result.kind, result.definition, result.payload) == (gid, "saga", ODD, ODD)
    assert (result.state, result.data, result.fresh) == ("running", "", True)
    assert (result.owner, result.epoch) == owner.pair
    _, found = await find(log, gid)
    assert same(found, result)


@pytest.mark.parametrize("state", ["running", "aborting", "stuck", "committed", "aborted"])
async def test_creating_again_changes_nothing_and_restarts_nothing(
    log: AsyncTransactionLog, state: SagaState
) -> None:
    gid, owner, other = new_gid(), await Owner.enrolled(log), await Owner.enrolled(log)
    record = await move(log, await start(log, gid, *owner.pair, "first"), state)
    again = await tell(log, Create(gid, "saga", "other@2", "second", *other.pair))
    assert isinstance(again, Record)
    assert not again.fresh
    assert same(again, record)
    _, found = await find(log, gid)
    assert same(found, record)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a batch"])
@pytest.mark.parametrize("how", ["run out", "closed", "opened again", "never opened"])
async def test_an_epoch_that_is_over_creates_no_more(
    log: AsyncTransactionLog, how: str, alone: bool
) -> None:
    name, stands, refused, other = new_owner(), new_gid(), new_gid(), await Owner.enrolled(log)
    epoch = 1
    if how != "never opened":
        epoch = (await enrol(log, name, SHORT_MS if how == "run out" else TTL_MS)).epoch
        assert (await start(log, stands, name, epoch)).fresh
    if how == "closed":
        await tell(log, CloseOwner(name, epoch))
    elif how == "opened again":
        await enrol(log, name)
    elif how == "run out":
        await async_sleep(OVER_S)
    late = Create(refused, "saga", "transfer@1", "p", name, epoch)
    if alone:
        assert await tell(log, late) == OwnerGone()
    else:
        lives = Create(new_gid(), "saga", "transfer@1", "p", *other.pair)
        answers = await log.apply([lives, late, Load(refused)])
        assert isinstance(answers[0], Record)
        assert answers[1:] == [OwnerGone(), Listing()]
    assert await find(log, refused) == (None, None)
    if how != "never opened":
        # What it has created stands, and is what it is told when it asks again.
        assert not (await start(log, stands, name, epoch)).fresh


async def test_one_that_slept_through_the_end_of_a_saga_and_its_purge_begins_nothing(
    log: AsyncTransactionLog,
) -> None:
    """Its request to create may have been done before, though it was told nothing."""
    sleeper, heir, gid = await Owner.enrolled(log, SHORT_MS), await Owner.enrolled(log), new_gid()
    await start(log, gid, *sleeper.pair)
    await async_sleep(OVER_S)
    [taken] = await claim(log, heir)
    await move(log, taken, "committed")
    assert await tell(log, Purge(0)) == Purged(1)
    late = Create(gid, "saga", "transfer@1", "p", *sleeper.pair)
    assert await tell(log, late) == OwnerGone()
    # Back under its next epoch, it is still not the one that it was.
    assert (await enrol(log, sleeper.name)).epoch > sleeper.epoch
    assert await tell(log, late) == OwnerGone()
    assert await find(log, gid) == (None, None)


async def test_of_many_creators_at_once_one_is_fresh(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    owner, gid = await Owner.enrolled(logs[0]), new_gid()
    results = await async_at_once(
        [
            lambda log=log, number=number: start(log, gid, *owner.pair, str(number))
            for number, log in enumerate(logs * 2)
        ]
    )
    [winner] = [number for number, record in enumerate(results) if record.fresh]
    assert {record.payload for record in results} == {str(winner)}


async def test_advancing_replaces_the_state_and_raises_the_version(
    log: AsyncTransactionLog,
) -> None:
    owner = await Owner.enrolled(log)
    record = await start(log, new_gid(), *owner.pair, "payload")
    result = await tell(
        log,
        Advance(record.gid, record.version, *owner.pair, "aborting", ODD, 60_000, "because é"),
    )
    assert isinstance(result, Record)
    assert (result.state, result.data, result.evidence) == ("aborting", ODD, "because é")
    assert result.version == record.version + 1
    assert (result.payload, result.definition) == ("payload", record.definition)
    assert 0 < result.due_in_ms <= 60_000
    _, found = await find(log, record.gid)
    assert same(found, result)


@pytest.mark.parametrize("wrong", ["version", "older", "owner", "epoch"])
async def test_advancing_from_anything_but_what_stands_is_a_conflict(
    log: AsyncTransactionLog, wrong: str
) -> None:
    owner, other = await Owner.enrolled(log), await Owner.enrolled(log)
    record = await move(log, await start(log, new_gid(), *owner.pair), "running")
    version, (name, epoch) = record.version, owner.pair
    if wrong == "version":
        version += 1
    elif wrong == "older":
        version -= 1
    elif wrong == "owner":
        name, epoch = other.pair
    else:
        epoch += 1
    result = await tell(log, Advance(record.gid, version, name, epoch, "committed", "x"))
    assert isinstance(result, Conflict)
    assert same(result.current, record)
    _, found = await find(log, record.gid)
    assert same(found, record)


@pytest.mark.parametrize("how", ["expired", "closed", "opened again"])
async def test_nobody_advances_under_an_epoch_that_is_over(
    log: AsyncTransactionLog, how: str
) -> None:
    owner = await Owner.enrolled(log, 150 if how == "expired" else TTL_MS)
    record = await start(log, new_gid(), *owner.pair)
    if how == "expired":
        await async_sleep(0.25)
    elif how == "closed":
        await tell(log, CloseOwner(*owner.pair))
    else:
        await enrol(log, owner.name)
    result = await tell(log, Advance(record.gid, record.version, *owner.pair, "committed", ""))
    assert isinstance(result, Conflict)
    assert same(result.current, record)


async def test_advancing_what_is_not_there_is_a_conflict(log: AsyncTransactionLog) -> None:
    owner = await Owner.enrolled(log)
    result = await tell(log, Advance(new_gid(), 1, *owner.pair, "committed", ""))
    assert result == Conflict(None)


@pytest.mark.parametrize("end", ["committed", "aborted"])
@pytest.mark.parametrize("onward", ["running", "aborting", "stuck", "committed", "aborted"])
async def test_a_final_state_is_never_left(
    log: AsyncTransactionLog, end: SagaState, onward: SagaState
) -> None:
    owner = await Owner.enrolled(log)
    record = await move(log, await start(log, new_gid(), *owner.pair), end)
    result = await tell(log, Advance(record.gid, record.version, *owner.pair, onward, "more"))
    assert isinstance(result, Conflict)
    assert same(result.current, record)


async def test_of_many_who_advance_at_once_one_does(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    owner = await Owner.enrolled(logs[0])
    record = await start(logs[0], new_gid(), *owner.pair)
    asked = [
        Advance(record.gid, record.version, *owner.pair, "running", str(number))
        for number in range(8)
    ]
    results = await async_at_once(
        [lambda log=logs[n % 4], one=one: tell(log, one) for n, one in enumerate(asked)]
    )
    [won] = [result for result in results if isinstance(result, Record)]
    assert all(isinstance(result, Conflict) for result in results if result is not won)
    _, found = await find(logs[0], record.gid)
    assert same(found, won)


# --- taking over --------------------------------------------------------------------------


async def test_only_what_a_dead_owner_left_is_taken_over(log: AsyncTransactionLog) -> None:
    dead, alive, heir = [await Owner.enrolled(log) for _ in range(3)]
    left = await start(log, new_gid(), *dead.pair)
    kept = await start(log, new_gid(), *alive.pair)
    assert await claim(log, heir) == []
    await tell(log, CloseOwner(*dead.pair))
    [taken] = await claim(log, heir)
    assert taken.gid == left.gid
    assert (taken.owner, taken.epoch) == heir.pair
    assert (taken.state, taken.payload) == (left.state, left.payload)
    _, found = await find(log, kept.gid)
    assert same(found, kept)


async def test_the_one_that_was_taken_from_can_do_no_more(log: AsyncTransactionLog) -> None:
    dead, heir = await Owner.enrolled(log), await Owner.enrolled(log)
    left = await start(log, new_gid(), *dead.pair)
    await tell(log, CloseOwner(*dead.pair))
    [taken] = await claim(log, heir)
    # Even back under a new epoch, it is not its record any more.
    epoch = (await enrol(log, dead.name)).epoch
    for version in {left.version, taken.version}:
        for under in (dead.epoch, epoch):
            result = await tell(log, Advance(left.gid, version, dead.name, under, "aborted", ""))
            assert isinstance(result, Conflict)
    assert (await move(log, taken, "committed")).state == "committed"


@pytest.mark.parametrize("state", ["committed", "aborted"])
async def test_what_is_final_is_not_taken_over(log: AsyncTransactionLog, state: SagaState) -> None:
    dead, heir = await Owner.enrolled(log), await Owner.enrolled(log)
    await move(log, await start(log, new_gid(), *dead.pair), state)
    await tell(log, CloseOwner(*dead.pair))
    assert await claim(log, heir) == []


async def test_what_is_not_yet_due_is_not_taken_over(log: AsyncTransactionLog) -> None:
    dead, heir = await Owner.enrolled(log), await Owner.enrolled(log)
    later = await move(log, await start(log, new_gid(), *dead.pair), "running", TTL_MS)
    soon = await move(log, await start(log, new_gid(), *dead.pair), "running", 150)
    await tell(log, CloseOwner(*dead.pair))
    await async_sleep(0.25)
    assert [record.gid for record in await claim(log, heir)] == [soon.gid]
    _, found = await find(log, later.gid)
    assert same(found, later)


async def test_an_owner_finds_its_own_due_records_again(log: AsyncTransactionLog) -> None:
    owner = await Owner.enrolled(log)
    record = await move(log, await start(log, new_gid(), *owner.pair), "aborting")
    later = await move(log, await start(log, new_gid(), *owner.pair), "aborting", TTL_MS)
    found = [found.gid for found in await claim(log, owner)]
    assert record.gid in found
    assert later.gid not in found


async def test_an_owner_back_under_the_next_epoch_takes_up_what_it_left(
    log: AsyncTransactionLog,
) -> None:
    before = await Owner.enrolled(log)
    record = await start(log, new_gid(), *before.pair)
    now = Owner(before.name, (await enrol(log, before.name)).epoch)
    [taken] = await claim(log, now)
    assert (taken.gid, taken.owner, taken.epoch) == (record.gid, *now.pair)
    assert (await move(log, taken, "committed")).state == "committed"


async def test_an_owner_that_is_gone_takes_nothing_over(log: AsyncTransactionLog) -> None:
    dead, gone, heir = [await Owner.enrolled(log) for _ in range(3)]
    record = await start(log, new_gid(), *dead.pair)
    await tell(log, CloseOwner(*dead.pair))
    await tell(log, CloseOwner(*gone.pair))
    assert await claim(log, gone) == []
    assert [found.gid for found in await claim(log, heir)] == [record.gid]


async def test_no_more_is_taken_over_than_was_asked_for(log: AsyncTransactionLog) -> None:
    dead, heir = await Owner.enrolled(log), await Owner.enrolled(log)
    gids = [new_gid() for _ in range(5)]
    for gid in gids:
        await start(log, gid, *dead.pair)
    await tell(log, CloseOwner(*dead.pair))
    taken = await claim(log, heir, limit=2)
    assert len(taken) == 2
    for record in taken:
        await move(log, record, "committed")
    rest = await claim(log, heir)
    assert sorted(record.gid for record in [*taken, *rest]) == sorted(gids)


async def test_of_many_heirs_at_once_each_record_has_one(
    another_log: Callable[[], AsyncTransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    dead = await Owner.enrolled(logs[0])
    gids = [(await start(logs[0], new_gid(), *dead.pair)).gid for _ in range(12)]
    heirs = [await Owner.enrolled(log) for log in logs]
    await tell(logs[0], CloseOwner(*dead.pair))
    taken = await async_at_once(
        [lambda log=log, heir=heir: claim(log, heir) for log, heir in zip(logs, heirs, strict=True)]
    )
    everything = [record.gid for records in taken for record in records]
    assert sorted(everything) == sorted(gids)
    for heir, records in zip(heirs, taken, strict=True):
        assert {(record.owner, record.epoch) for record in records} <= {heir.pair}


async def test_records_outlive_the_log_object(
    log_backend: Backend, another_log: Callable[[], AsyncTransactionLog]
) -> None:
    keeper = another_log()
    if not log_backend.promises.survives_restart:
        await keeper.apply([])
    opened = another_log()
    owner = await Owner.enrolled(opened)
    record = await move(opened, await start(opened, new_gid(), *owner.pair, ODD), "aborting")
    await opened.aclose()
    opened = another_log()
    _, found = await find(opened, record.gid)
    assert same(found, record)
    assert (await move(opened, record, "aborted")).version == record.version + 1
