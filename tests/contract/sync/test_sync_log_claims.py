# Generated from tests/contract/aio/test_aio_log_claims.py by tools/unasync.py; do not edit.
"""The transaction log's contract, over every backend: what a claim may be narrowed to."""

from __future__ import annotations

import pytest

from concordant.drivers.base import TransactionLog
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
from tests.contract.sync.asking import TTL_MS, enrol, move, tell


def enrolled(log: TransactionLog) -> tuple[str, int]:
    name = new_owner()
    return name, (enrol(log, name)).epoch


def created(log: TransactionLog, owner: tuple[str, int], definition: str = "transfer/1") -> Record:
    record = tell(log, Create(new_gid(), "saga", definition, "", *owner))
    assert isinstance(record, Record)
    return record


def claimed(log: TransactionLog, claim: Claim) -> set[str]:
    listing = tell(log, claim)
    assert isinstance(listing, Listing), listing
    for record in listing.records:
        assert (record.owner, record.epoch) == (claim.owner, claim.epoch)
    return {record.gid for record in listing.records}


def test_a_claim_takes_only_the_definitions_that_it_names(log: TransactionLog) -> None:
    dead, heir = enrolled(log), enrolled(log)
    definitions = ["transfer/1", "transfer/2", "order/1", "transfer/10"]
    made = {each: (created(log, dead, each)).gid for each in definitions}
    tell(log, CloseOwner(*dead))
    wanted = ("transfer/1", "order/1", "nobody/1")
    assert claimed(log, Claim(*heir, definitions=wanted)) == {
        made["transfer/1"],
        made["order/1"],
    }
    assert claimed(log, Claim(*heir, definitions=("nobody/1",))) == set()
    assert claimed(log, Claim(*heir, own=False)) == {made["transfer/2"], made["transfer/10"]}


def test_the_limit_counts_only_what_is_taken(log: TransactionLog) -> None:
    dead, heir = enrolled(log), enrolled(log)
    for _ in range(4):
        created(log, dead, "other/1")
    wanted = {(created(log, dead)).gid for _ in range(2)}
    tell(log, CloseOwner(*dead))
    claim = Claim(*heir, 1, ("transfer/1",), own=False)
    first, second = claimed(log, claim), claimed(log, claim)
    assert len(first) == len(second) == 1
    assert first | second == wanted


def test_a_claim_leaves_ones_own_alone_if_told_so(log: TransactionLog) -> None:
    owner, dead = enrolled(log), enrolled(log)
    mine, left = created(log, owner), created(log, dead)
    tell(log, CloseOwner(*dead))
    assert claimed(log, Claim(*owner, own=False)) == {left.gid}
    assert claimed(log, Claim(*owner)) == {mine.gid, left.gid}


def test_what_one_had_under_an_earlier_epoch_is_not_ones_own(
    log: TransactionLog,
) -> None:
    before = enrolled(log)
    record = created(log, before)
    now = (before[0], (enrol(log, before[0])).epoch)
    assert claimed(log, Claim(*now, own=False)) == {record.gid}


def test_a_claim_by_gid_takes_what_is_not_due_yet(log: TransactionLog) -> None:
    dead, heir = enrolled(log), enrolled(log)
    record = move(log, created(log, dead), "running", TTL_MS)
    other = created(log, dead)
    tell(log, CloseOwner(*dead))
    assert claimed(log, Claim(*heir, gids=(record.gid, new_gid()))) == {record.gid}
    assert claimed(log, Claim(*heir, own=False)) == {other.gid}


def test_a_claim_by_gid_takes_nothing_from_the_living(log: TransactionLog) -> None:
    alive, heir = enrolled(log), enrolled(log)
    record = created(log, alive)
    assert claimed(log, Claim(*heir, gids=(record.gid,))) == set()
    assert claimed(log, Claim(*alive, gids=(record.gid,), own=False)) == set()
    assert claimed(log, Claim(*alive, gids=(record.gid,))) == {record.gid}


def test_a_stuck_record_is_taken_by_gid_alone_but_from_anybody(
    log: TransactionLog,
) -> None:
    alive, heir = enrolled(log), enrolled(log)
    record = move(log, created(log, alive), "stuck")
    assert claimed(log, Claim(*heir)) == set()
    assert claimed(log, Claim(*heir, gids=(record.gid,))) == {record.gid}


@pytest.mark.parametrize("end", ["committed", "aborted"])
def test_what_is_final_is_not_taken_by_gid(log: TransactionLog, end: SagaState) -> None:
    dead, heir = enrolled(log), enrolled(log)
    record = move(log, created(log, dead), end)
    tell(log, CloseOwner(*dead))
    assert claimed(log, Claim(*heir, gids=(record.gid,))) == set()


def test_gids_and_definitions_narrow_together(log: TransactionLog) -> None:
    dead, heir = enrolled(log), enrolled(log)
    record = created(log, dead)
    tell(log, CloseOwner(*dead))
    for definitions, taken in ((("other/1",), set()), (("transfer/1",), {record.gid})):
        claim = Claim(*heir, definitions=definitions, gids=(record.gid,))
        assert claimed(log, claim) == taken


@pytest.mark.parametrize(
    "claim",
    [
        Claim("owner", 1, definitions=("a\0b",)),
        Claim("owner", 1, gids=("no gid!",)),
        Claim("owner", 1, gids=("g",) * 2000),
    ],
)
def test_a_malformed_claim_is_rejected(log: TransactionLog, claim: Claim) -> None:
    assert isinstance(tell(log, claim), Rejected)
