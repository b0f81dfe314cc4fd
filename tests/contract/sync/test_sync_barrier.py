# Generated from tests/contract/aio/test_aio_barrier.py by tools/unasync.py; do not edit.
"""The barrier's contract, over every backend: what a saga step's repeats and delays may do."""

from __future__ import annotations

from typing import Any

import pytest

from concordant.errors import ConcordantError, UsageError
from concordant.transactions.barrier import Op
from concordant.transactions.names import new_gid
from tests.contract.banks import BEFORE
from tests.contract.sync.steps import Steps
from tests.provision.bridge import at_once

ODD = "é \U0001f512 'quoted' \"twice\" \\ \n {} %s ? [1, 2]"
TAKEN = BEFORE | {"ada": 70}


def test_work_commits_together_with_its_row(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    assert work.ruling == "run"
    steps.add(work, -30)
    assert steps.balances() == BEFORE
    work.commit('{"left": 70}')
    assert steps.balances() == TAKEN
    assert steps.rows(gid) == {("debit", "action", "done", '{"left": 70}')}


def test_the_row_is_there_before_the_work(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    found = steps.run(work, "SELECT op FROM concordant_barrier WHERE gid = ?", gid)
    assert found == [("action",)]
    work.abandon()


def test_what_has_happened_is_not_done_again_and_answers_alike(steps: Steps) -> None:
    gid = new_gid()
    assert steps.do(gid, "action") == ("run", "")
    for barrier in (steps.barrier, steps.another()):
        assert steps.do(gid, "action", barrier) == ("skip", '"action"')
    assert steps.balances() == TAKEN


def test_abandoned_work_leaves_nothing_and_can_be_done_anew(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    steps.add(work, -30)
    work.abandon()
    work.abandon()
    assert steps.balances() == BEFORE
    assert steps.rows(gid) == set()
    assert (steps.do(gid, "action"))[0] == "run"
    assert steps.balances() == TAKEN


def test_a_refusal_undoes_the_work_and_is_given_again(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    steps.add(work, -500)
    work.refuse(ODD)
    assert steps.balances() == BEFORE
    for barrier in (steps.barrier, steps.another()):
        assert steps.do(gid, "action", barrier) == ("refuse", ODD)
    assert (steps.do(gid, "compensation"))[0] == "note"
    assert steps.do(gid, "action") == ("refuse", ODD)
    assert steps.balances() == BEFORE


def test_a_compensation_undoes_its_action_once(steps: Steps) -> None:
    gid = new_gid()
    steps.do(gid, "action")
    assert (steps.do(gid, "compensation"))[0] == "run"
    assert (steps.do(gid, "compensation", steps.another()))[0] == "skip"
    assert steps.balances() == BEFORE


def test_a_compensation_without_its_action_is_noted_and_does_nothing(steps: Steps) -> None:
    gid = new_gid()
    assert (steps.do(gid, "compensation"))[0] == "note"
    assert (steps.do(gid, "compensation"))[0] == "skip"
    assert steps.balances() == BEFORE
    assert {row[:3] for row in steps.rows(gid)} == {
        ("debit", "action", "void"),
        ("debit", "compensation", "done"),
    }


@pytest.mark.parametrize("acted", [True, False])
def test_an_action_that_comes_after_its_compensation_is_refused(steps: Steps, acted: bool) -> None:
    gid = new_gid()
    if acted:
        steps.do(gid, "action")
    steps.do(gid, "compensation")
    for barrier in (steps.barrier, steps.another()):
        ruling, why = steps.do(gid, "action", barrier)
        assert ruling == "refuse"
        assert "after its compensation" in why
    assert steps.balances() == BEFORE


def test_gids_and_steps_have_barriers_of_their_own(steps: Steps) -> None:
    gid = new_gid()
    steps.do(gid, "action")
    assert (steps.do(gid, "action", step="other"))[0] == "run"
    assert (steps.do(new_gid(), "action"))[0] == "run"
    assert steps.balances() == BEFORE | {"ada": 10}


def test_of_many_calls_at_once_one_does_the_work(steps: Steps) -> None:
    gid = new_gid()
    barriers = [steps.barrier, steps.another(), steps.another()]
    said = at_once([lambda each=each: steps.do(gid, "action", each) for each in barriers * 2])
    assert sorted(ruling for ruling, _ in said) == ["run"] + ["skip"] * 5
    assert steps.balances() == TAKEN


def test_an_action_and_its_compensation_at_once_come_to_nothing(steps: Steps) -> None:
    for _ in range(10):
        gid, ops = new_gid(), ("action", "compensation") * 2
        barriers = [steps.barrier, steps.another()] * 2
        calls: list[tuple[Op, Any]] = [
            ("action" if op == "action" else "compensation", barriers[n])
            for n, op in enumerate(ops)
        ]
        at_once([lambda gid=gid, op=op, each=each: steps.do(gid, op, each) for op, each in calls])
        assert steps.balances() == BEFORE


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_work_cannot_be_ended_by_who_does_it(steps: Steps, end: str) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    steps.add(work, -30)
    with pytest.raises(Exception, match=end):
        getattr(work.connection, end)()
    work.abandon()
    assert steps.balances() == BEFORE
    assert steps.rows(gid) == set()


def test_work_that_is_over_ends_only_once(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    work.abandon()
    with pytest.raises(UsageError):
        work.commit("1")
    with pytest.raises(UsageError):
        work.refuse("no")
    with pytest.raises((ConcordantError, *_errors(steps))):
        steps.add(work, -30)
    assert steps.balances() == BEFORE
    assert steps.rows(gid) == set()


def _errors(steps: Steps) -> tuple[type[Exception], ...]:
    assert steps.backend.dialect is not None
    return (steps.backend.dialect.error,)


def test_work_that_cannot_commit_leaves_nothing(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    with pytest.raises((ConcordantError, *_errors(steps))):
        steps.run(work, "INSERT INTO account VALUES ('ada', 1, NULL)")
    work.abandon()
    assert steps.rows(gid) == set()
    assert (steps.do(gid, "action"))[0] == "run"


def test_closing_rolls_back_what_is_under_way(steps: Steps) -> None:
    gid, doomed = new_gid(), steps.another()
    work = doomed.enter(gid, "debit", "action")
    steps.add(work, -30)
    doomed.close()
    assert steps.balances() == BEFORE
    assert steps.rows(gid) == set()
    with pytest.raises(UsageError):
        doomed.enter(gid, "debit", "action")
    assert (steps.do(gid, "action"))[0] == "run"


def test_results_are_kept_exactly(steps: Steps) -> None:
    gid = new_gid()
    work = steps.barrier.enter(gid, "debit", "action")
    work.commit(ODD)
    assert steps.do(gid, "action") == ("skip", ODD)
