"""What a recoverer does with a branch, and when a decision is over: every row of both tables."""

from __future__ import annotations

from itertools import combinations, product
from typing import get_args

import pytest

from concordant.drivers.base import Resolution
from concordant.transactions.names import BranchId
from concordant.transactions.operations import BranchRef, Decision, Outcome
from concordant.transactions.recovery import Verdict, judge, siblings, weigh

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


# --- where else its branches may be -------------------------------------------------------

KNOWN = ("b", "d", "f")


@pytest.mark.parametrize(
    ("found", "silent", "places"),
    [
        # All that are known of are there.
        ({"b": 0, "d": 1, "f": 2}, 0, []),
        # Numbers have no room for another, or for one.
        ({"b": 0, "d": 1}, 0, [("f", 2)]),
        ({"b": 0, "f": 1}, 0, []),
        ({"b": 0, "f": 2}, 0, [("d", 1)]),
        ({"d": 0}, 0, [("f", 1)]),
        ({"f": 2}, 0, [("b", 0), ("d", 1)]),
        ({"f": 1}, 0, [("b", 0), ("d", 0)]),
        ({"b": 0}, 0, [("d", 1), ("f", 1), ("f", 2)]),
        ({"d": 1}, 0, [("b", 0), ("f", 2)]),
        # One that does not answer may stand before it.
        ({"d": 1}, 1, [("b", 0), ("f", 2), ("f", 3)]),
        ({"b": 1, "f": 3}, 1, [("d", 2)]),
    ],
)
def test_a_sibling_is_looked_for_where_the_order_of_resources_lets_it_be(
    found: dict[str, int], silent: int, places: list[tuple[str, int]]
) -> None:
    assert [tuple(place) for place in siblings(found, KNOWN, silent)] == places


@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("size", range(1, 5))
def test_no_sibling_is_left_out_and_none_is_looked_for_twice(size: int, silent: int) -> None:
    """Whichever resources took part, and whichever of their branches are still prepared."""
    everybody = "abcde"
    for party in combinations(everybody, size):
        numbers = {resource: number for number, resource in enumerate(party)}
        for deaf in combinations(everybody, silent):
            known = [each for each in everybody if each not in deaf]
            heard = {each: number for each, number in numbers.items() if each in known}
            for count in range(1, len(heard) + 1):
                for kept in combinations(heard, count):
                    found = {each: numbers[each] for each in kept}
                    looked = list(siblings(found, known, silent))
                    assert set(heard.items()) - set(found.items()) <= set(looked)
                    assert len(looked) == len(set(looked))
