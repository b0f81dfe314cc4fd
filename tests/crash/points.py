"""Which test covers which crash point, on which databases and which log.

The rows are the points at which a coordinator may crash, or a message may be lost. A cell is
what `test_crash_points_table.py` finds for a row and a combination: the ids of its tests, in
which `{combo}` stands for the combination and `*` for anything, or the reason why there is
nothing to test. What a new backend brings has to be filled in here before its tests pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.crash.stage import Combo


@dataclass(frozen=True, slots=True)
class Tests:
    """The ids of the tests that cover a cell."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no test for a cell."""

    why: str


Cell = Tests | Reason


@dataclass(frozen=True, slots=True)
class Row:
    """One crash point: what is special about a pair or a log goes before what is usual."""

    what: str
    usual: Cell | None
    by_pair: dict[str, Cell] = field(default_factory=dict)
    by_log: dict[str, Cell] = field(default_factory=dict)

    def cell(self, combo: Combo) -> Cell | None:
        """Return what covers the row on these databases; None: nobody has said."""
        return self.by_pair.get(combo.pair) or self.by_log.get(combo.log.name) or self.usual


def _tests(*ids: str) -> Tests:
    return Tests(ids)


def _crash(row: str) -> Tests:
    return _tests(f"test_point[{{combo}}-crash-{row}-*]")


_BY_HAND: Final = "test_a_branch_rolled_back_by_hand_is_kept_for_a_person[{combo}]"
_RESTORED: Final = _tests(
    "test_a_database_restored_from_before_its_vote_is_kept_for_a_person[{combo}]"
)

TABLE: Final[dict[str, Row]] = {
    "A1": Row("the work has begun, nothing is prepared", _crash("A1")),
    "A2": Row("prepare was sent, its answer is lost", _crash("A2")),
    "A3": Row("some are prepared, one has voted no", _crash("A3")),
    "A4": Row("all are prepared, before the decision is durable", _crash("A4")),
    "A5": Row(
        "while the decision is written: the record is torn",
        None,
        by_log={
            "sqlite": _tests(
                "test_a_torn_decision_is_none[{combo}-cut_one_byte]",
                "test_a_torn_decision_is_none[{combo}-flip_a_bit]",
            ),
            "postgresql": Reason(
                "the server writes its log in its own process and checks each record's CRC when "
                "it starts; a coordinator that is killed cannot tear it, and sees a commit that "
                "is not answered as in A6"
            ),
        },
    ),
    "A6": Row("the decision is durable, nobody has been told", _crash("A6")),
    "A7": Row("some have committed", _crash("A7")),
    "A8": Row(
        "commit was sent, its answer is lost",
        _tests("test_point[{combo}-crash-A8-*]", "test_point[{combo}-lose-A8-obeyed]"),
    ),
    "A9": Row("all have answered, before that is noted", _crash("A9")),
    "A10": Row(
        "while the log forgets what is over",
        _tests("test_forgetting_that_is_cut_short_keeps_what_is_unfinished[{combo}]"),
    ),
    "A11": Row(
        "the coordinator lives, but was paused, and a recoverer has run",
        _tests(
            "test_point[{combo}-pause-A4-voted]",
            "test_point[{combo}-pause-A6-decided]",
            "test_point[{combo}-duel-A4-voted]",
        ),
    ),
    "A12": Row(
        "two recoverers at once",
        _tests("test_point[{combo}-rival-A4-voted]", "test_point[{combo}-rival-A6-decided]"),
    ),
    "A13": Row(
        "a database is gone after its vote",
        _tests(
            "test_a_database_that_is_gone_in_phase_two_is_told_when_it_is_back[{combo}]",
        ),
    ),
    "A14": Row(
        "a database is restored from before its vote",
        None,
        by_pair={
            "sqlite+sqlite": _RESTORED,
            "sqlite+postgresql": _RESTORED,
            # Nobody can tell it from a branch that was rolled back by hand: the name is not
            # among those that are prepared, and the evidence is not there.
            "postgresql+postgresql": _tests(_BY_HAND),
        },
    ),
    "A15": Row(
        "a branch is resolved by hand",
        _tests(
            _BY_HAND,
            "test_a_branch_rolled_back_by_hand_under_the_coordinator_is_kept_for_a_person[{combo}]",
            "test_a_branch_committed_by_hand_before_an_abort_is_kept_for_a_person[{combo}]",
            "test_a_branch_committed_by_hand_after_a_crash_is_kept_for_a_person[{combo}-*]",
        ),
    ),
    "A16": Row("a branch that only reads", _crash("A16")),
    "A17": Row(
        "a statement failed earlier in the branch",
        _tests("test_a_branch_with_a_failed_statement_commits_all_or_nothing[{combo}-*]"),
    ),
    "A18": Row(
        "one participant alone, the answer to its commit is lost",
        _tests("test_point[{combo}-crash-A18-*]", "test_point[{combo}-lose-A18-done]"),
    ),
    "A19": Row(
        "a last resource without prepare has committed, the decision inside of it",
        Reason("every participant here can prepare, so none joins as a last resource"),
    ),
}
