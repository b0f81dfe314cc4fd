# Generated from tests/contract/aio/test_aio_participant_ends.py by tools/unasync.py; do not edit.
"""The participant's contract: refusals, one phase, and giving up."""

from __future__ import annotations

import pytest

from concordant.drivers.base import Branch
from concordant.errors import BackendUnavailable, OutcomeUnknown, TransactionAborted
from tests.contract.banks import BEFORE
from tests.contract.parties import new_branch
from tests.contract.sync.bank import Bank
from tests.provision.bridge import rows


def fail(bank: Bank, branch: Branch) -> None:
    """Run a statement that the database refuses: the key is taken."""
    with pytest.raises(bank.refusals):
        bank.run(branch, "INSERT INTO account VALUES ('bob', 1, NULL)")


def test_a_branch_with_a_failed_statement_commits_nothing_it_did_not_vote_for(
    bank: Bank,
) -> None:
    assert bank.backend.dialect is not None
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    fail(bank, branch)
    vote = branch.prepare()
    # Where a failed statement fails the whole transaction, the vote must say so.
    expected = "refused" if bank.backend.dialect.failure_is_final else "prepared"
    assert vote.kind == expected
    if vote.kind == "refused":
        assert vote.reason
        assert bank.participant.in_doubt() == []
        assert bank.participant.resolve(str(name), True) == "missing"
        assert bank.balances() == BEFORE
        bank.set_outside("ada", 1)
    else:
        assert bank.participant.resolve(str(name), True) == "done"
        assert bank.balances() == BEFORE | {"ada": 70}


def test_a_refused_branch_never_commits(bank: Bank) -> None:
    assert bank.backend.dialect is not None
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    # Not every database refuses this when it is asked; those that do not must at the vote.
    try:
        rows(branch.connection, bank.backend.dialect.not_preparable)
    except bank.refusals:
        pass
    vote = branch.prepare()
    assert vote.kind == "refused"
    assert vote.reason
    assert bank.participant.in_doubt() == []
    assert bank.participant.resolve(str(name), True) == "missing"
    assert bank.balances() == BEFORE
    bank.set_outside("ada", 1)


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_the_user_cannot_end_the_branch_by_hand(bank: Bank, how: str) -> None:
    branch = bank.participant.begin(new_branch())
    bank.put(branch, "ada", 70)
    end = branch.connection.commit if how == "commit" else branch.connection.rollback
    with pytest.raises(bank.refusals):
        end()
    assert bank.balances() == BEFORE
    branch.abandon()
    assert bank.balances() == BEFORE


def test_a_branch_survives_the_attempt_to_end_it_by_hand(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    with pytest.raises(bank.refusals):
        branch.connection.commit()
    vote = branch.prepare()
    # Voting no is sound as well; half of it is not.
    if vote.kind == "prepared":
        assert bank.balances() == BEFORE
        assert bank.participant.resolve(str(name), True) == "done"
        assert bank.balances() == BEFORE | {"ada": 70}
    else:
        assert vote.kind == "refused"
        assert bank.balances() == BEFORE


# --- one phase ----------------------------------------------------------------------------


def test_an_only_branch_commits_in_one_phase_with_evidence(bank: Bank) -> None:
    name, other = new_branch(), new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    branch.commit_one_phase()
    assert bank.balances() == BEFORE | {"ada": 70}
    assert bank.participant.in_doubt() == []
    assert bank.another().committed(str(name))
    assert not bank.another().committed(str(other))
    bank.set_outside("ada", 1)


def test_evidence_of_one_phase_stays_when_told_once_more(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    branch.commit_one_phase()
    assert bank.participant.resolve(str(name), True) == "already"
    assert bank.participant.resolve(str(name), False) == "already"
    assert bank.balances() == BEFORE | {"ada": 70}


def test_a_branch_that_is_prepared_or_rolled_back_has_not_committed(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    bank.participant.resolve(name, False)
    assert not bank.participant.committed(name)
    gone = new_branch()
    branch = bank.participant.begin(gone)
    bank.put(branch, "ada", 70)
    branch.abandon()
    assert not bank.participant.committed(str(gone))
    assert bank.balances() == BEFORE


def test_what_was_said_not_to_have_committed_never_will(bank: Bank) -> None:
    name = new_branch()
    assert not bank.another().committed(str(name))
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    with pytest.raises(TransactionAborted):
        branch.commit_one_phase()
    assert bank.balances() == BEFORE
    assert not bank.participant.committed(str(name))


def test_a_commit_that_may_still_come_is_not_denied(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    try:
        said_no = not bank.another().committed(str(name))
    except (OutcomeUnknown, BackendUnavailable):
        said_no = False
    try:
        branch.commit_one_phase()
        done = True
    except TransactionAborted:
        done = False
    assert done is not said_no
    assert bank.balances() == (BEFORE | {"ada": 70} if done else BEFORE)
    assert bank.participant.committed(str(name)) is done


def test_of_a_prepared_branch_nobody_knows_whether_it_will_commit(bank: Bank) -> None:
    name = bank.prepared("ada", 70)
    with pytest.raises(OutcomeUnknown):
        bank.another().committed(name)
    assert bank.participant.resolve(name, True) == "done"
    assert bank.another().committed(name)


# --- giving up ----------------------------------------------------------------------------


def test_an_abandoned_branch_leaves_nothing(bank: Bank) -> None:
    name = new_branch()
    branch = bank.participant.begin(name)
    bank.put(branch, "ada", 70)
    branch.abandon()
    branch.abandon()
    assert bank.balances() == BEFORE
    assert bank.participant.in_doubt() == []
    assert bank.participant.resolve(str(name), True) == "missing"
    bank.set_outside("ada", 1)


def test_an_abandoned_branch_after_a_failure_leaves_nothing(bank: Bank) -> None:
    branch = bank.participant.begin(new_branch())
    bank.put(branch, "ada", 70)
    fail(bank, branch)
    branch.abandon()
    assert bank.balances() == BEFORE
    bank.set_outside("ada", 1)


def test_one_branch_after_the_other_starts_clean(bank: Bank) -> None:
    expected = dict(BEFORE)
    for number in range(6):
        name = new_branch()
        branch = bank.participant.begin(name)
        found = bank.run(branch, "SELECT balance FROM account WHERE id = 'ada'")
        assert found == [(expected["ada"],)]
        bank.put(branch, "ada", number)
        if number % 3 == 0:
            branch.abandon()
        elif number % 3 == 1:
            branch.commit_one_phase()
            expected["ada"] = number
        else:
            assert (branch.prepare()).kind == "prepared"
            assert bank.participant.resolve(str(name), True) == "done"
            expected["ada"] = number
        assert bank.balances() == expected
