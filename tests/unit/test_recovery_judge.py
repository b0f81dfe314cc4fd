"""What a recoverer does with a branch, and when a decision is over: every row of both tables."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from concordant.drivers.base import Resolution
from concordant.transactions.names import BranchId
from concordant.transactions.operations import BranchRef, Decision, Outcome
from concordant.transactions.recovery import Verdict, judge, weigh

LOG = "cabc1234"
OURS = BranchId(LOG, "owner123", 4, 1, "g-1")
OTHER_LOG = BranchId("cother22", "owner123", 4, 1, "g-1")
SIBLING = str(BranchId(LOG, "owner123", 4, 0, "g-1"))


def decided(outcome: Outcome, *branches: str) -> Decision:
    refs = tuple(BranchRef(branch, "resource", "place") for branch in branches)
    return Decision("g-1", outcome, "owner123", 4, refs, "deciding", 0)


NONE = None
COVERED = decided("commit", SIBLING, str(OURS))
# Another attempt: of another process, of another epoch, or without this branch.
UNCOVERED = (
    decided("commit", SIBLING),
    decided("commit"),
    decided("commit", str(BranchId(LOG, "owner999", 4, 1, "g-1"))),
    decided("commit", str(BranchId(LOG, "owner123", 5, 1, "g-1"))),
)
ABORTED = (decided("abort"), decided("abort", str(OURS)))
ALL = (NONE, COVERED, *UNCOVERED, *ABORTED)

# Of a branch of this log whose owner is dead: what is in the log, and what to do.
DEAD: list[tuple[Decision | None, Verdict]] = [
    (NONE, "undecided"),
    (COVERED, "commit"),
    *((decision, "abort") for decision in (*UNCOVERED, *ABORTED)),
]


@pytest.mark.parametrize(("decision", "verdict"), DEAD)
def test_a_branch_of_a_dead_owner_goes_as_was_decided(
    decision: Decision | None, verdict: Verdict
) -> None:
    assert judge(OURS, str(OURS), LOG, False, decision) == verdict


@pytest.mark.parametrize("decision", ALL)
def test_a_branch_of_a_living_owner_is_left_to_it(decision: Decision | None) -> None:
    assert judge(OURS, str(OURS), LOG, True, decision) == "live"


@pytest.mark.parametrize(("alive", "decision"), list(product((True, False), ALL)))
@pytest.mark.parametrize("branch", [None, OTHER_LOG])
def test_a_foreign_branch_is_never_touched(
    branch: BranchId | None, alive: bool, decision: Decision | None
) -> None:
    text = "anything at all" if branch is None else str(branch)
    assert judge(branch, text, LOG, alive, decision) == "foreign"


@pytest.mark.parametrize("state", ["deciding", "finished", "heuristic"])
def test_a_decision_holds_whatever_has_become_of_it(state: str) -> None:
    marked = Decision("g-1", "commit", "o", 1, COVERED.branches, state, 0)  # type: ignore[arg-type]
    assert judge(OURS, str(OURS), LOG, False, marked) == "commit"


ANSWERS = (*get_args(Resolution), "unreached")


def test_every_answer_is_known() -> None:
    assert set(ANSWERS) == {"done", "already", "missing", "unreached"}


@pytest.mark.parametrize("answers", [*product(ANSWERS, repeat=1), *product(ANSWERS, repeat=3)])
def test_a_decision_is_over_once_every_branch_has_answered(answers: tuple[str, ...]) -> None:
    named = {f"branch-{number}": answer for number, answer in enumerate(answers)}
    obeyed = weigh(named)  # type: ignore[arg-type]
    gone = [branch for branch, answer in named.items() if answer == "missing"]
    if "unreached" in answers:
        assert (obeyed.finished, obeyed.heuristic, obeyed.evidence) == (False, False, "")
    else:
        assert obeyed.finished
        assert obeyed.heuristic == bool(gone)
        assert bool(obeyed.evidence) == bool(gone)
        assert all((branch in obeyed.evidence) == (branch in gone) for branch in named)


def test_a_decision_over_no_branches_is_over() -> None:
    obeyed = weigh({})
    assert obeyed.finished
    assert not obeyed.heuristic
