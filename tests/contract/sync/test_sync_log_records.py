# Generated from tests/contract/aio/test_aio_log_records.py by tools/unasync.py; do not edit.
"""The transaction log's contract: sagas and messages, who may move them, who takes them over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from concordant.drivers.base import TransactionLog
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
from tests.contract.sync.asking import TTL_MS, enrol, find, move, start, tell
from tests.provision.backend import Backend
from tests.provision.bridge import at_once, sleep

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
    def enrolled(cls, log: TransactionLog, ttl_ms: int = TTL_MS) -> Owner:
        name = new_owner()
        return cls(name, (enrol(log, name, ttl_ms)).epoch)

    @property
    def pair(self) -> tuple[str, int]:
        return self.name, self.epoch


def claim(log: TransactionLog, owner: Owner, limit: int = 16) -> list[Record]:
    result = tell(log, Claim(owner.name, owner.epoch, limit))
    # Whoever is no owner any more is told so, or gets nothing.
    return list(result.records) if isinstance(result, Listing) else []


def same(one: Record | None, other: Record | None) -> bool:
    """Tell whether two readings are of one state of a record: ages and dues run on."""
    if one is None or other is None:
        return one is other
    level = {"age_ms": 0, "due_in_ms": 0, "fresh": False}
    return replace(one, **level) == replace(other, **level)


def test_a_created_record_is_as_it_was_given(log: TransactionLog) -> None:
    gid, owner = new_gid(), Owner.enrolled(log)
    result = tell(log, Create(gid, "saga", ODD, ODD, *owner.pair))
    assert isinstance(result, Record)
    assert (result.gid, result.kind, result.definition, result.payload) == (gid, "saga", ODD, ODD)
    assert (result.state, result.data, result.fresh) == ("running", "", True)
    assert (result.owner, result.epoch) == owner.pair
    _, found = find(log, gid)
    assert same(found, result)


@pytest.mark.parametrize("state", ["running", "aborting", "stuck", "committed", "aborted"])
def test_creating_again_changes_nothing_and_restarts_nothing(
    log: TransactionLog, state: SagaState
) -> None:
    gid, owner, other = new_gid(), Owner.enrolled(log), Owner.enrolled(log)
    record = move(log, start(log, gid, *owner.pair, "first"), state)
    again = tell(log, Create(gid, "saga", "other@2", "second", *other.pair))
    assert isinstance(again, Record)
    assert not again.fresh
    assert same(again, record)
    _, found = find(log, gid)
    assert same(found, record)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a batch"])
@pytest.mark.parametrize("how", ["run out", "closed", "opened again", "never opened"])
def test_an_epoch_that_is_over_creates_no_more(log: TransactionLog, how: str, alone: bool) -> None:
    name, stands, refused, other = new_owner(), new_gid(), new_gid(), Owner.enrolled(log)
    epoch = 1
    if how != "never opened":
        epoch = (enrol(log, name, SHORT_MS if how == "run out" else TTL_MS)).epoch
        assert (start(log, stands, name, epoch)).fresh
    if how == "closed":
        tell(log, CloseOwner(name, epoch))
    elif how == "opened again":
        enrol(log, name)
    elif how == "run out":
        sleep(OVER_S)
    late = Create(refused, "saga", "transfer@1", "p", name, epoch)
    if alone:
        assert tell(log, late) == OwnerGone()
    else:
        lives = Create(new_gid(), "saga", "transfer@1", "p", *other.pair)
        answers = log.apply([lives, late, Load(refused)])
        assert isinstance(answers[0], Record)
        assert answers[1:] == [OwnerGone(), Listing()]
    assert find(log, refused) == (None, None)
    if how != "never opened":
        # What it has created stands, and is what it is told when it asks again.
        assert not (start(log, stands, name, epoch)).fresh


def test_one_that_slept_through_the_end_of_a_saga_and_its_purge_begins_nothing(
    log: TransactionLog,
) -> None:
    """Its request to create may have been done before, though it was told nothing."""
    sleeper, heir, gid = Owner.enrolled(log, SHORT_MS), Owner.enrolled(log), new_gid()
    start(log, gid, *sleeper.pair)
    sleep(OVER_S)
    [taken] = claim(log, heir)
    move(log, taken, "committed")
    assert tell(log, Purge(0)) == Purged(1)
    late = Create(gid, "saga", "transfer@1", "p", *sleeper.pair)
    assert tell(log, late) == OwnerGone()
    # Back under its next epoch, it is still not the one that it was.
    assert (enrol(log, sleeper.name)).epoch > sleeper.epoch
    assert tell(log, late) == OwnerGone()
    assert find(log, gid) == (None, None)


def test_of_many_creators_at_once_one_is_fresh(
    another_log: Callable[[], TransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    owner, gid = Owner.enrolled(logs[0]), new_gid()
    results = at_once(
        [
            lambda log=log, number=number: start(log, gid, *owner.pair, str(number))
            for number, log in enumerate(logs * 2)
        ]
    )
    [winner] = [number for number, record in enumerate(results) if record.fresh]
    assert {record.payload for record in results} == {str(winner)}


def test_advancing_replaces_the_state_and_raises_the_version(
    log: TransactionLog,
) -> None:
    owner = Owner.enrolled(log)
    record = start(log, new_gid(), *owner.pair, "payload")
    result = tell(
        log,
        Advance(record.gid, record.version, *owner.pair, "aborting", ODD, 60_000, "because é"),
    )
    assert isinstance(result, Record)
    assert (result.state, result.data, result.evidence) == ("aborting", ODD, "because é")
    assert result.version == record.version + 1
    assert (result.payload, result.definition) == ("payload", record.definition)
    assert 0 < result.due_in_ms <= 60_000
    _, found = find(log, record.gid)
    assert same(found, result)


@pytest.mark.parametrize("wrong", ["version", "older", "owner", "epoch"])
def test_advancing_from_anything_but_what_stands_is_a_conflict(
    log: TransactionLog, wrong: str
) -> None:
    owner, other = Owner.enrolled(log), Owner.enrolled(log)
    record = move(log, start(log, new_gid(), *owner.pair), "running")
    version, (name, epoch) = record.version, owner.pair
    if wrong == "version":
        version += 1
    elif wrong == "older":
        version -= 1
    elif wrong == "owner":
        name, epoch = other.pair
    else:
        epoch += 1
    result = tell(log, Advance(record.gid, version, name, epoch, "committed", "x"))
    assert isinstance(result, Conflict)
    assert same(result.current, record)
    _, found = find(log, record.gid)
    assert same(found, record)


@pytest.mark.parametrize("how", ["expired", "closed", "opened again"])
def test_nobody_advances_under_an_epoch_that_is_over(log: TransactionLog, how: str) -> None:
    owner = Owner.enrolled(log, 150 if how == "expired" else TTL_MS)
    record = start(log, new_gid(), *owner.pair)
    if how == "expired":
        sleep(0.25)
    elif how == "closed":
        tell(log, CloseOwner(*owner.pair))
    else:
        enrol(log, owner.name)
    result = tell(log, Advance(record.gid, record.version, *owner.pair, "committed", ""))
    assert isinstance(result, Conflict)
    assert same(result.current, record)


def test_advancing_what_is_not_there_is_a_conflict(log: TransactionLog) -> None:
    owner = Owner.enrolled(log)
    result = tell(log, Advance(new_gid(), 1, *owner.pair, "committed", ""))
    assert result == Conflict(None)


@pytest.mark.parametrize("end", ["committed", "aborted"])
@pytest.mark.parametrize("onward", ["running", "aborting", "stuck", "committed", "aborted"])
def test_a_final_state_is_never_left(
    log: TransactionLog, end: SagaState, onward: SagaState
) -> None:
    owner = Owner.enrolled(log)
    record = move(log, start(log, new_gid(), *owner.pair), end)
    result = tell(log, Advance(record.gid, record.version, *owner.pair, onward, "more"))
    assert isinstance(result, Conflict)
    assert same(result.current, record)


def test_of_many_who_advance_at_once_one_does(
    another_log: Callable[[], TransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    owner = Owner.enrolled(logs[0])
    record = start(logs[0], new_gid(), *owner.pair)
    asked = [
        Advance(record.gid, record.version, *owner.pair, "running", str(number))
        for number in range(8)
    ]
    results = at_once(
        [lambda log=logs[n % 4], one=one: tell(log, one) for n, one in enumerate(asked)]
    )
    [won] = [result for result in results if isinstance(result, Record)]
    assert all(isinstance(result, Conflict) for result in results if result is not won)
    _, found = find(logs[0], record.gid)
    assert same(found, won)


# --- taking over --------------------------------------------------------------------------


def test_only_what_a_dead_owner_left_is_taken_over(log: TransactionLog) -> None:
    dead, alive, heir = [Owner.enrolled(log) for _ in range(3)]
    left = start(log, new_gid(), *dead.pair)
    kept = start(log, new_gid(), *alive.pair)
    assert claim(log, heir) == []
    tell(log, CloseOwner(*dead.pair))
    [taken] = claim(log, heir)
    assert taken.gid == left.gid
    assert (taken.owner, taken.epoch) == heir.pair
    assert (taken.state, taken.payload) == (left.state, left.payload)
    _, found = find(log, kept.gid)
    assert same(found, kept)


def test_the_one_that_was_taken_from_can_do_no_more(log: TransactionLog) -> None:
    dead, heir = Owner.enrolled(log), Owner.enrolled(log)
    left = start(log, new_gid(), *dead.pair)
    tell(log, CloseOwner(*dead.pair))
    [taken] = claim(log, heir)
    # Even back under a new epoch, it is not its record any more.
    epoch = (enrol(log, dead.name)).epoch
    for version in {left.version, taken.version}:
        for under in (dead.epoch, epoch):
            result = tell(log, Advance(left.gid, version, dead.name, under, "aborted", ""))
            assert isinstance(result, Conflict)
    assert (move(log, taken, "committed")).state == "committed"


@pytest.mark.parametrize("state", ["committed", "aborted"])
def test_what_is_final_is_not_taken_over(log: TransactionLog, state: SagaState) -> None:
    dead, heir = Owner.enrolled(log), Owner.enrolled(log)
    move(log, start(log, new_gid(), *dead.pair), state)
    tell(log, CloseOwner(*dead.pair))
    assert claim(log, heir) == []


def test_what_is_not_yet_due_is_not_taken_over(log: TransactionLog) -> None:
    dead, heir = Owner.enrolled(log), Owner.enrolled(log)
    later = move(log, start(log, new_gid(), *dead.pair), "running", TTL_MS)
    soon = move(log, start(log, new_gid(), *dead.pair), "running", 150)
    tell(log, CloseOwner(*dead.pair))
    sleep(0.25)
    assert [record.gid for record in claim(log, heir)] == [soon.gid]
    _, found = find(log, later.gid)
    assert same(found, later)


def test_an_owner_finds_its_own_due_records_again(log: TransactionLog) -> None:
    owner = Owner.enrolled(log)
    record = move(log, start(log, new_gid(), *owner.pair), "aborting")
    later = move(log, start(log, new_gid(), *owner.pair), "aborting", TTL_MS)
    found = [found.gid for found in claim(log, owner)]
    assert record.gid in found
    assert later.gid not in found


def test_an_owner_back_under_the_next_epoch_takes_up_what_it_left(
    log: TransactionLog,
) -> None:
    before = Owner.enrolled(log)
    record = start(log, new_gid(), *before.pair)
    now = Owner(before.name, (enrol(log, before.name)).epoch)
    [taken] = claim(log, now)
    assert (taken.gid, taken.owner, taken.epoch) == (record.gid, *now.pair)
    assert (move(log, taken, "committed")).state == "committed"


def test_an_owner_that_is_gone_takes_nothing_over(log: TransactionLog) -> None:
    dead, gone, heir = [Owner.enrolled(log) for _ in range(3)]
    record = start(log, new_gid(), *dead.pair)
    tell(log, CloseOwner(*dead.pair))
    tell(log, CloseOwner(*gone.pair))
    assert claim(log, gone) == []
    assert [found.gid for found in claim(log, heir)] == [record.gid]


def test_no_more_is_taken_over_than_was_asked_for(log: TransactionLog) -> None:
    dead, heir = Owner.enrolled(log), Owner.enrolled(log)
    gids = [new_gid() for _ in range(5)]
    for gid in gids:
        start(log, gid, *dead.pair)
    tell(log, CloseOwner(*dead.pair))
    taken = claim(log, heir, limit=2)
    assert len(taken) == 2
    for record in taken:
        move(log, record, "committed")
    rest = claim(log, heir)
    assert sorted(record.gid for record in [*taken, *rest]) == sorted(gids)


def test_of_many_heirs_at_once_each_record_has_one(
    another_log: Callable[[], TransactionLog],
) -> None:
    logs = [another_log() for _ in range(4)]
    dead = Owner.enrolled(logs[0])
    gids = [(start(logs[0], new_gid(), *dead.pair)).gid for _ in range(12)]
    heirs = [Owner.enrolled(log) for log in logs]
    tell(logs[0], CloseOwner(*dead.pair))
    taken = at_once(
        [lambda log=log, heir=heir: claim(log, heir) for log, heir in zip(logs, heirs, strict=True)]
    )
    everything = [record.gid for records in taken for record in records]
    assert sorted(everything) == sorted(gids)
    for heir, records in zip(heirs, taken, strict=True):
        assert {(record.owner, record.epoch) for record in records} <= {heir.pair}


def test_records_outlive_the_log_object(
    log_backend: Backend, another_log: Callable[[], TransactionLog]
) -> None:
    keeper = another_log()
    if not log_backend.promises.survives_restart:
        keeper.apply([])
    opened = another_log()
    owner = Owner.enrolled(opened)
    record = move(opened, start(opened, new_gid(), *owner.pair, ODD), "aborting")
    opened.close()
    opened = another_log()
    _, found = find(opened, record.gid)
    assert same(found, record)
    assert (move(opened, record, "aborted")).version == record.version + 1
