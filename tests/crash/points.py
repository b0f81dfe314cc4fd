"""Which test covers which crash point, on which databases and which log.

The rows are the points at which a coordinator may crash, or a message may be lost; their cells
are what cells.py says. What a new backend brings has to be filled in here before its tests pass.
"""

from __future__ import annotations

from typing import Final

from tests.crash.cells import Covered, Reason, Row, Ways


def _tests(*ids: str) -> Covered:
    return Covered(ids)


def _crash(row: str) -> Covered:
    return _tests(f"test_point[{{combo}}-crash-{row}-*]")


_BY_HAND: Final = "test_a_branch_rolled_back_by_hand_is_kept_for_a_person[{combo}]"
_GONE: Final = "test_a_database_that_is_gone_in_phase_two_is_told_when_it_is_back[{combo}]"
_KILLED: Final = (
    "test_a_server_that_is_killed_after_its_vote_is_told_when_it_is_back[{combo}-committed]",
    "test_a_server_that_is_killed_after_its_vote_is_told_when_it_is_back[{combo}-commit]",
    "test_a_server_that_is_killed_after_its_vote_is_told_when_it_is_back[{combo}-abort]",
)
_FILE_RESTORED: Final = (
    "test_a_database_restored_from_before_its_vote_is_kept_for_a_person[{combo}]"
)
_SERVER_RESTORED: Final = (
    "test_a_server_restored_from_before_its_vote_is_kept_for_a_person[{combo}-dead]",
    "test_a_server_restored_from_before_its_vote_is_kept_for_a_person[{combo}-living]",
)

TABLE: Final[dict[str, Row]] = {
    "A1": Row("the work has begun, nothing is prepared", _crash("A1")),
    "A2": Row(
        "prepare was sent, its answer is lost",
        _tests(
            "test_point[{combo}-crash-A2-*]",
            "test_point[{combo}-lose-A2-first]",
            "test_point[{combo}-lose-A2-last]",
        ),
    ),
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
        _tests(_GONE),
        by_pair={
            "sqlite+postgresql": _tests(_GONE, *_KILLED),
            "postgresql+postgresql": _tests(_GONE, *_KILLED),
        },
    ),
    "A14": Row(
        "a database is restored from before its vote",
        None,
        by_pair={
            "sqlite+sqlite": _tests(_FILE_RESTORED),
            "sqlite+postgresql": _tests(_FILE_RESTORED, *_SERVER_RESTORED),
            "postgresql+postgresql": _tests(*_SERVER_RESTORED),
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

# What a row is about, by the ways in which things go wrong: its cells must name each of them.
WAYS: Final[Ways] = {
    "A1": ["-crash-A1-"],
    "A2": ["-crash-A2-", "-lose-A2-first", "-lose-A2-last"],
    "A3": ["-crash-A3-"],
    "A4": ["-crash-A4-"],
    "A6": ["-crash-A6-"],
    "A7": ["-crash-A7-"],
    "A8": ["-crash-A8-", "-lose-A8-"],
    "A9": ["-crash-A9-"],
    "A11": ["-pause-A4-", "-pause-A6-", "-duel-A4-"],
    "A12": ["-rival-A4-", "-rival-A6-"],
    "A16": ["-crash-A16-"],
    "A18": ["-crash-A18-", "-lose-A18-"],
}
