# Generated from tests/contract/aio/test_aio_participant.py by tools/unasync.py; do not edit.
"""The participant's contract, over every backend: from prepare to the end of a branch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from concordant.drivers.base import Participant
from concordant.transactions.names import BranchId, new_owner
from tests.contract.banks import BEFORE, open_bank
from tests.contract.parties import new_branch
from tests.contract.sync.bank import Bank
from tests.provision.backend import Backend
from tests.provision.bridge import at_once, sleep


def test_a_resource_has_one_lasting_id_of_its_own(
    bank: Bank,
    participant_backend: Backend,
    resource_url: Callable[[], str],
    opened: Callable[[str], Participant],
) -> None:
    resource = bank.participant.resource()
    assert resource
    assert bank.participant.resource() == resource
    assert bank.another().resource() == resource
    other = opened(open_bank(participant_backend, resource_url()))
    assert other.resource() != resource


def test_a_place_is_what_a_person_calls_it(bank: Bank) -> None:
    place = bank.participant.place
    assert place.startswith(bank.url.partition("://")[0])
    assert "@" not in place


def test_a_branch_reads_what_it_wrote_and_nobody_else_does(bank: Bank) -> None:
    branch = bank.participant.begin(new_branch())
    bank.put(branch, "ada", 70)
    found = bank.run(branch, "SELECT balance FROM account WHERE id = ?", "ada")
    assert found == [(70,)]
    assert bank.balances() == BEFORE
    branch.abandon()


def test_a_prepared_branch_commits_when_told(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    assert bank.balances() == BEFORE
    assert bank.participant.resolve(name, True) == "done"
    assert bank.balances() == BEFORE | {"ada": 70}
    assert bank.participant.in_doubt() == []


def test_a_prepared_branch_rolls_back_when_told(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    assert bank.participant.resolve(name, False) == "done"
    assert bank.balances() == BEFORE
    assert bank.participant.in_doubt() == []
    # Nothing of it stands in the way of the next one.
    bank.set_outside("ada", 99)
    again = bank.prepared("ada", 80)
    assert bank.participant.resolve(again, True) == "done"
    assert bank.balances() == BEFORE | {"ada": 80}


def test_every_kind_of_change_is_committed_exactly(bank: Bank) -> None:
    name, odd = new_branch(), "é \U0001f512 'quoted' \"twice\" \\ \n %s ? {}"
    branch = bank.participant.begin(name)
    bank.run(branch, "UPDATE account SET balance = balance - 30 WHERE id = 'ada'")
    bank.run(branch, "UPDATE account SET balance = balance - 5 WHERE id = 'ada'")
    bank.run(branch, "DELETE FROM account WHERE id = 'eve'")
    largest = 2**63 - 1
    bank.run(branch, "INSERT INTO account VALUES (?, ?, ?)", "zoë", largest, odd)
    bank.run(branch, "INSERT INTO account VALUES ('gone', 1, NULL)")
    bank.run(branch, "DELETE FROM account WHERE id = 'gone'")
    bank.run(branch, "UPDATE account SET id = 'bert' WHERE id = 'bob'")
    assert (branch.prepare()).kind == "prepared"
    assert bank.another().resolve(str(name), True) == "done"
    assert bank.backend.dialect is not None
    found = bank.backend.dialect.outside(bank.url, "SELECT id, balance, note FROM account")
    assert set(found) == {("ada", 65, None), ("bert", 50, None), ("zoë", largest, odd)}


def test_a_branch_that_changed_nothing_leaves_at_the_vote(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    assert bank.run(branch, "SELECT balance FROM account WHERE id = 'ada'") == [(100,)]
    assert (branch.prepare()).kind == "read-only"
    assert bank.participant.in_doubt() == []
    assert bank.participant.resolve(str(name), True) == "missing"
    bank.set_outside("ada", 1)


def test_telling_twice_is_harmless_and_told(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    assert bank.participant.resolve(name, True) == "done"
    bank.set_outside("ada", 5)
    assert bank.participant.resolve(name, True) == "already"
    assert bank.another().resolve(name, True) == "already"
    # Too late to roll back, and the answer says so.
    assert bank.participant.resolve(name, False) == "already"
    assert bank.balances()["ada"] == 5
    assert bank.participant.committed(name)


@pytest.mark.parametrize("commit", [True, False])
def test_a_branch_that_rolled_back_is_missing(bank: Bank, commit: bool) -> None:
    name = bank.prepared()
    bank.participant.resolve(name, False)
    assert bank.participant.resolve(name, commit) == "missing"
    assert bank.balances() == BEFORE


@pytest.mark.parametrize("commit", [True, False])
def test_a_branch_that_never_was_is_missing(bank: Bank, commit: bool) -> None:
    assert bank.participant.resolve(str(new_branch()), commit) == "missing"


def test_of_many_that_tell_at_once_one_is_obeyed(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    tellers = [bank.another() for _ in range(4)]
    told = at_once([lambda one=one: one.resolve(name, True) for one in tellers])
    assert sorted(told) == ["already", "already", "already", "done"]
    assert bank.balances()["ada"] == 70


# --- crashes ------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [True, False])
def test_a_prepared_branch_survives_its_participant(bank: Bank, commit: bool) -> None:
    name = bank.prepared("ada", 70)
    bank.participant.close()
    recoverer = bank.another()
    assert [found.branch for found in recoverer.in_doubt()] == [name]
    assert bank.balances() == BEFORE
    assert recoverer.resolve(name, commit) == "done"
    assert bank.balances()["ada"] == (70 if commit else 100)


def test_evidence_of_a_commit_survives_its_participant(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    bank.participant.resolve(name, True)
    bank.participant.close()
    recoverer = bank.another()
    assert recoverer.resolve(name, True) == "already"
    assert recoverer.committed(name)


def test_a_branch_that_was_not_prepared_is_gone_with_its_participant(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    bank.participant.close()
    recoverer = bank.another()
    assert recoverer.in_doubt() == []
    assert recoverer.resolve(str(name), True) == "missing"
    assert bank.balances() == BEFORE
    bank.set_outside("ada", 1)


# --- in doubt -----------------------------------------------------------------------------


def test_branches_in_doubt_are_listed_oldest_first_foreign_ones_too(bank: Bank) -> None:
    mine = new_branch(log_id="cmine111")
    foreign = BranchId("cother22", new_owner(), 999, 63, "G" * 36)
    for number, name in enumerate((mine, foreign)):
        bank.prepared("ada" if number == 0 else "bob", 7, name)
        sleep(0.1)
    first, second = bank.another().in_doubt()
    assert (first.branch, second.branch) == (str(mine), str(foreign))
    assert 0.1 <= second.age_s < first.age_s < 60
    bank.participant.resolve(str(mine), True)
    assert [found.branch for found in bank.participant.in_doubt()] == [str(foreign)]
    assert bank.balances() == BEFORE | {"ada": 7}


def test_what_a_prepared_branch_changed_is_kept_for_it(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    with pytest.raises(bank.refusals):
        bank.set_outside("ada", 1)
    bank.set_outside("bob", 1)
    assert bank.participant.resolve(name, True) == "done"
    assert bank.balances() == BEFORE | {"ada": 70, "bob": 1}
    bank.set_outside("ada", 2)


def test_branches_on_other_rows_do_not_hinder_each_other(bank: Bank) -> None:
    first = bank.prepared("ada", 1)
    second = bank.prepared("bob", 2)
    assert bank.participant.resolve(second, True) == "done"
    assert bank.balances() == BEFORE | {"bob": 2}
    assert bank.participant.resolve(first, True) == "done"
    assert bank.balances() == BEFORE | {"ada": 1, "bob": 2}


def test_two_resources_go_the_same_way(
    bank: Bank,
    participant_backend: Backend,
    resource_url: Callable[[], str],
    opened: Callable[[str], Participant],
) -> None:
    other = Bank(participant_backend, open_bank(participant_backend, resource_url()), opened)
    for commit in (False, True):
        gid = new_branch().gid
        # Both branches are under way at the same time, as a coordinator has them.
        names = [new_branch(index, gid=gid) for index in range(2)]
        branches = [
            place.participant.begin(name) for place, name in zip((bank, other), names, strict=True)
        ]
        bank.put(branches[0], "ada", 60)
        other.put(branches[1], "eve", 40)
        assert [(branch.prepare()).kind for branch in branches] == ["prepared"] * 2
        told = [
            place.participant.resolve(str(name), commit)
            for place, name in zip((bank, other), names, strict=True)
        ]
        assert told == ["done", "done"]
    assert bank.balances() == BEFORE | {"ada": 60}
    assert other.balances() == BEFORE | {"eve": 40}
