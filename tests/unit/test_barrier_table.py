"""The barrier's table, tried against every order in which calls of one step can arrive."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from concordant.transactions.barrier import RULINGS, Op, Ruling, Verdict, judge, why_refused


class Table:
    """The two rows of one step, and what its bodies have really done."""

    def __init__(self) -> None:
        self.rows: dict[Op, Verdict] = {}
        self.effects = {"action": 0, "compensation": 0}
        self.answers: list[tuple[Op, Ruling]] = []

    def call(self, op: Op, body: str = "works") -> Ruling:
        """Do what a database does; a body `works`, `refuses`, or is lost before its commit."""
        ruling = judge(op, self.rows.get("action"), self.rows.get("compensation"))
        if ruling == "run" and body == "lost":
            return ruling
        if ruling == "note":
            self.rows.setdefault("action", "void")
            self.rows["compensation"] = "done"
        elif ruling == "run" and body == "refuses":
            self.rows[op] = "failed"
        elif ruling == "run":
            self.rows[op] = "done"
            self.effects[op] += 1
        self.answers.append((op, ruling))
        return ruling

    @property
    def found(self) -> tuple[Verdict | None, Verdict | None]:
        return self.rows.get("action"), self.rows.get("compensation")


CALLS: list[tuple[Op, str]] = [
    ("action", "works"),
    ("action", "refuses"),
    ("action", "lost"),
    ("compensation", "works"),
    ("compensation", "lost"),
]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_in_whatever_order_calls_arrive_the_promises_hold(length: int) -> None:
    for calls in product(CALLS, repeat=length):
        table = Table()
        for op, body in calls:
            before = dict(table.effects)
            late = op == "action" and "compensation" in table.rows
            ruling = table.call(op, body)
            # Late is never taken for done.
            assert not late or ruling == "refuse"
            acted = table.effects["action"] > before["action"]
            # Never the action after its compensation, and none of them twice.
            assert not (acted and table.rows.get("compensation"))
            assert table.effects["action"] <= 1
            assert table.effects["compensation"] <= table.effects["action"]
            if ruling == "refuse":
                assert op == "action"
        if table.rows.get("compensation"):
            # Compensated is as if it had never been: every effect has its opposite.
            assert table.effects["compensation"] == table.effects["action"]


def test_a_verdict_once_given_is_given_again() -> None:
    for calls in product(CALLS, repeat=3):
        table = Table()
        for op, body in calls:
            table.call(op, body)
        for op in get_args(Op):
            if not table.rows.get(op):
                continue
            first = table.call(op)
            assert first != "run"
            assert table.call(op) == first


def test_the_table_has_each_pair_that_can_be_found_and_no_other() -> None:
    found: set[tuple[Op, Verdict | None, Verdict | None]] = set()
    for calls in product(CALLS, repeat=4):
        table = Table()
        for op, body in calls:
            found.add((op, *table.found))
            table.call(op, body)
    # A compensation never leaves a void or failed row alone: it writes both rows at once.
    assert found <= set(RULINGS)
    assert set(RULINGS) - found == {
        ("action", "void", None),
        ("compensation", "void", None),
    }


def test_rows_that_somebody_deleted_let_nothing_through() -> None:
    assert judge("action", None, "done") == "refuse"
    assert judge("compensation", None, "done") == "skip"


def test_the_reason_is_the_one_that_was_stored() -> None:
    assert why_refused("failed", "no funds") == "no funds"
    assert "after its compensation" in why_refused("void", "")
    assert "after its compensation" in why_refused("done", "")
