"""Which test covers which crash point of a saga, on which databases and which log.

Its cells are what cells.py says.
"""

from __future__ import annotations

from typing import Final

from tests.crash.cells import Covered, Reason, Row, Ways


def _crash(row: str, *more: str) -> Covered:
    return Covered((f"test_saga_point[{{combo}}-crash-{row}-*]", *more))


def _tests(*ids: str) -> Covered:
    return Covered(ids)


TABLE: Final[dict[str, Row]] = {
    "D1": Row(
        "the saga is stored, the answer is lost",
        _crash("D1", "test_saga_point[{combo}-lose-D1-stored]"),
    ),
    "D2": Row(
        "an action was sent, no answer came",
        _crash("D2", "test_saga_point[{combo}-lose-D2-done]"),
    ),
    "D3": Row("an action has answered, before that is saved", _crash("D3")),
    "D4": Row("an action was refused, before aborting is saved", _crash("D4")),
    "D5": Row("aborting is saved, before the compensations", _crash("D5")),
    "D6": Row(
        "a compensation for an action that never arrived",
        _crash("D6", "test_a_compensation_without_its_action_is_noted[{combo}]"),
    ),
    "D7": Row(
        "an action arrives after its compensation",
        _tests(
            "test_saga_point[{combo}-pause-D6-entering]", "test_saga_point[{combo}-late-D6-sent]"
        ),
    ),
    "D8": Row(
        "a compensation is done, its answer is lost",
        _crash("D8", "test_saga_point[{combo}-lose-D8-undone]"),
    ),
    "D9": Row(
        "a compensation keeps failing",
        _tests(
            "test_a_compensation_that_keeps_failing_waits_for_a_person[{combo}]",
            "test_what_was_not_yet_stored_as_stuck_is_tried_again[{combo}]",
        ),
    ),
    "D10": Row(
        "time is over while an action is under way",
        _tests(
            "test_an_action_under_way_when_time_is_over_is_compensated[sync-{combo}]",
            "test_an_action_under_way_when_time_is_over_is_compensated[aio-{combo}]",
            "test_whether_time_was_over_is_decided_once[entering-{combo}]",
            "test_whether_time_was_over_is_decided_once[saving-{combo}]",
        ),
    ),
    "D11": Row(
        "of several actions at once, one is refused",
        Reason(
            "the steps of a saga run one after another: at most one action is under way, and it"
            " counts as done (D2, D10)"
        ),
    ),
    "D12": Row(
        "two coordinators run the same saga",
        _tests("test_saga_point[{combo}-pause-D3-first]", "test_saga_point[{combo}-rival-D2-done]"),
    ),
    "D13": Row(
        "between reading the subscribers of a topic and saving the saga",
        Reason(
            "a saga has no topics: its steps are named by its definition, and their names are"
            " stored in the one write that creates it"
        ),
    ),
    "D14": Row(
        "the code that goes on is not the code that began",
        _tests("test_a_definition_that_has_changed_is_not_run[{combo}]"),
    ),
    "D15": Row("in the middle of the way back; the rerun would succeed", _crash("D15")),
}

# What a row is about, by the ways in which things go wrong: its cells must name each of them.
WAYS: Final[Ways] = {
    "D1": ["-crash-D1-", "-lose-D1-"],
    "D2": ["-crash-D2-", "-lose-D2-"],
    "D3": ["-crash-D3-"],
    "D4": ["-crash-D4-"],
    "D5": ["-crash-D5-"],
    "D6": ["-crash-D6-"],
    "D7": ["-pause-D6-", "-late-D6-"],
    "D8": ["-crash-D8-", "-lose-D8-"],
    "D12": ["-pause-D3-", "-rival-D2-"],
    "D15": ["-crash-D15-"],
}
