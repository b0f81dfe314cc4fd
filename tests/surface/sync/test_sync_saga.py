# Generated from tests/surface/aio/test_aio_saga.py by tools/unasync.py; do not edit.
"""Sagas that one coordinator runs: to their end or back, and never twice."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from concordant import (
    OutcomeUnknown,
    Saga,
    SagaOutcome,
    StepContext,
    StepFailed,
    TransactionStuck,
    UsageError,
)
from tests.provision.backend import Backend
from tests.provision.bridge import sleep
from tests.provision.memory import MEMORY
from tests.surface.sync.moving import AMOUNT, BEFORE, MOVED, Banks, coordinating, failing
from tests.surface.together import Background, eventually, together

# What the log has to do with it is held by its contract, and by the tests of recovery.
pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


@pytest.fixture
def banks(barrier_backend: Backend, tmp_path: Path) -> Banks:
    """Two banks with a little money in them."""
    return Banks(barrier_backend, tmp_path)


def nothing(ctx: StepContext) -> None:
    """Do nothing, or undo it."""


PAYLOAD = {"amount": AMOUNT}
TOO_MUCH = {"amount": 500}


def test_a_saga_does_its_steps_in_order(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD, gid="g-1")
        assert outcome == SagaOutcome("g-1", "committed", {"debit": 70, "credit": 80}, True)
        assert coordinator.sagas() == []
    assert banks.balances() == MOVED
    assert banks.works == ["debit", "credit"]


def test_a_step_is_told_what_it_needs(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    with coordinating(log_url, saga) as coordinator:
        coordinator.run(saga, PAYLOAD, gid="g-1")
    debit, credit = banks.contexts
    assert (debit.gid, debit.step, debit.payload, debit.attempt) == ("g-1", "debit", PAYLOAD, 1)
    assert (debit.results, credit.results) == ({}, {"debit": 70})
    assert debit.idempotency_key != credit.idempotency_key
    assert "g-1" in debit.idempotency_key


def test_a_refusal_undoes_what_came_before_and_says_why(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    banks.inside["credit"] = failing(error=StepFailed)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD)
    assert (outcome.state, outcome.results, outcome.fresh) == ("aborted", {}, True)
    assert outcome.reason == "credit: broken by the test"
    assert banks.balances() == BEFORE
    # The refused one is compensated, too; its barrier knows that there is nothing to undo.
    assert banks.calls == ["debit", "credit", "uncredit", "undebit"]
    assert banks.works == ["debit", "undebit"]


def test_a_compensation_sees_the_result_of_its_own_action(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    with coordinating(log_url, saga) as coordinator:
        coordinator.run(saga, PAYLOAD)
    by_key = {ctx.idempotency_key.split("/", 1)[1]: ctx for ctx in banks.contexts}
    assert by_key["debit/compensation"].results == {"debit": 70}
    assert by_key["credit/compensation"].results == {"debit": 70}


@pytest.mark.parametrize("payload", [PAYLOAD, TOO_MUCH])
def test_a_gid_that_has_ended_returns_its_outcome_and_does_nothing(
    log_url: str, banks: Banks, payload: Any
) -> None:
    saga = banks.saga()
    with coordinating(log_url, saga) as coordinator:
        first = coordinator.run(saga, payload, gid="g-1")
        calls, moved = list(banks.calls), banks.balances()
        again = coordinator.run(saga, payload, gid="g-1")
        assert (again.state, again.results, again.reason) == (
            first.state,
            first.results,
            first.reason,
        )
        assert first.fresh
        assert not again.fresh
        other = banks.saga()
        with coordinating(log_url, other) as elsewhere:
            assert elsewhere.run(other, payload, gid="g-1") == again
            assert elsewhere.recover() == 0
    assert (banks.calls, banks.balances()) == (calls, moved)


def test_a_gid_stands_for_one_thing(log_url: str, banks: Banks) -> None:
    saga, newer = banks.saga(), banks.saga(2)
    with coordinating(log_url, saga, newer) as coordinator:
        coordinator.run(saga, PAYLOAD, gid="g-1")
        with pytest.raises(UsageError, match="another payload"):
            coordinator.run(saga, TOO_MUCH, gid="g-1")
        with pytest.raises(UsageError, match="not of transfer/2"):
            coordinator.run(newer, PAYLOAD, gid="g-1")
    assert banks.balances() == MOVED


def test_a_payload_is_the_same_whatever_a_step_does_to_it(log_url: str, banks: Banks) -> None:
    def spoil(ctx: StepContext) -> None:
        ctx.payload["seen"] = True
        ctx.results["debit"] = "spoilt"
        raise RuntimeError("once more")

    saga = banks.saga()
    banks.after["debit"] = spoil
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD)
    assert outcome.results == {"debit": 70, "credit": 80}
    assert "seen" not in banks.contexts[1].payload


# --- what breaks off ----------------------------------------------------------------------


@pytest.mark.parametrize("where", ["before", "inside", "after"])
@pytest.mark.parametrize("word", ["debit", "credit"])
def test_an_action_that_breaks_off_is_tried_again_and_done_once(
    log_url: str, banks: Banks, where: str, word: str
) -> None:
    saga = banks.saga()
    getattr(banks, where)[word] = failing(2)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD)
    assert (outcome.state, outcome.results) == ("committed", {"debit": 70, "credit": 80})
    assert banks.balances() == MOVED
    assert banks.works == ["debit", "credit"]
    # What comes after the work is not done again: the barrier leaves the function there.
    tries = 2 if where == "after" else 3
    assert [ctx.attempt for ctx in banks.contexts if ctx.step == word] == list(range(1, tries + 1))
    assert len({ctx.idempotency_key for ctx in banks.contexts if ctx.step == word}) == 1


@pytest.mark.parametrize("where", ["before", "inside"])
def test_an_action_that_never_works_is_compensated(log_url: str, banks: Banks, where: str) -> None:
    saga = banks.saga()
    getattr(banks, where)["credit"] = failing()
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD)
    assert outcome.state == "aborted"
    assert "3 attempts failed" in outcome.reason
    assert "broken by the test" in outcome.reason
    assert banks.balances() == BEFORE
    assert banks.calls.count("credit") == 3


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_compensation_that_breaks_off_is_tried_again_and_done_once(
    log_url: str, banks: Banks, where: str
) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    getattr(banks, where)["undebit"] = failing(2)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD)
    assert outcome.state == "aborted"
    assert banks.balances() == BEFORE
    assert banks.works == ["debit", "undebit"]


def test_a_compensation_that_never_works_gets_stuck_and_is_listed(
    log_url: str, banks: Banks
) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.inside["undebit"] = failing()
    with coordinating(log_url, saga) as coordinator:
        with pytest.raises(TransactionStuck, match="broken by the test"):
            coordinator.run(saga, PAYLOAD, gid="g-1")
        assert banks.calls.count("undebit") == 3
        [listed] = coordinator.sagas()
        assert (listed.gid, listed.saga, listed.state) == ("g-1", "transfer/1", "stuck")
        assert "compensation of debit" in listed.evidence
        assert "3 attempts failed" in listed.evidence
        # It waits for a person: neither recovery nor another call touches it.
        assert coordinator.recover() == 0
        with pytest.raises(TransactionStuck):
            coordinator.run(saga, PAYLOAD, gid="g-1")
        assert banks.calls.count("undebit") == 3


def test_a_refusal_by_a_compensation_is_no_answer(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.inside["undebit"] = failing(1, StepFailed)
    with coordinating(log_url, saga) as coordinator:
        assert (coordinator.run(saga, PAYLOAD)).state == "aborted"
    assert banks.balances() == BEFORE


def test_a_stuck_saga_goes_on_when_told(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.inside["undebit"] = failing(4)
    with coordinating(log_url, saga) as coordinator:
        with pytest.raises(TransactionStuck):
            coordinator.run(saga, PAYLOAD, gid="g-1")
        coordinator.retry("g-1")
        assert coordinator.recover() == 1
        outcome = coordinator.run(saga, PAYLOAD, gid="g-1")
        assert (outcome.state, outcome.reason) == ("aborted", "credit: broken by the test")
        with pytest.raises(UsageError, match="ended already"):
            coordinator.retry("g-1")
        with pytest.raises(UsageError, match="no saga"):
            coordinator.retry("g-2")
    assert banks.balances() == BEFORE


@pytest.mark.parametrize("end", ["committed", "aborted"])
def test_a_stuck_saga_is_settled_by_hand(log_url: str, banks: Banks, end: Any) -> None:
    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.inside["undebit"] = failing()
    with coordinating(log_url, saga) as coordinator:
        with pytest.raises(TransactionStuck):
            coordinator.run(saga, PAYLOAD, gid="g-1")
        calls = list(banks.calls)
        with pytest.raises(UsageError, match="reason"):
            coordinator.settle_by_hand("g-1", end, " ")
        coordinator.settle_by_hand("g-1", end, "ada was paid in cash")
        assert coordinator.sagas() == []
        assert coordinator.recover() == 0
        outcome = coordinator.run(saga, PAYLOAD, gid="g-1")
        assert outcome.state == end
        with pytest.raises(UsageError, match="ended already"):
            coordinator.settle_by_hand("g-1", "aborted", "again")
    assert banks.calls == calls


# --- time ---------------------------------------------------------------------------------


def test_a_saga_whose_time_is_over_is_compensated_the_action_under_way_too(
    log_url: str, banks: Banks
) -> None:
    release = threading.Event()

    def hang(ctx: StepContext) -> None:
        while not release.is_set():
            sleep(0.01)

    saga = banks.saga()
    banks.before["credit"] = hang
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD, timeout_s=0.3)
        assert (outcome.state, outcome.reason) == ("aborted", "its time was over")
        assert banks.calls == ["debit", "credit", "uncredit", "undebit"]
        assert banks.balances() == BEFORE
        # Where the action could not be stopped it comes late, and its barrier keeps it out.
        release.set()
        sleep(0.1)
    assert banks.works == ["debit", "undebit"]
    assert banks.balances() == BEFORE


def test_time_that_is_over_between_two_tries_ends_the_tries(log_url: str, banks: Banks) -> None:
    saga = banks.saga(attempts_max=100, pause_s=0.05)
    banks.inside["credit"] = failing()
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD, timeout_s=0.4)
    assert (outcome.state, outcome.reason) == ("aborted", "its time was over")
    assert 1 < banks.calls.count("credit") < 20
    assert banks.balances() == BEFORE


def test_the_way_back_has_no_bound(log_url: str, banks: Banks) -> None:
    def dawdle(ctx: StepContext) -> None:
        sleep(0.4)

    saga = banks.saga()
    banks.before["credit"] = failing(error=StepFailed)
    banks.before["undebit"] = dawdle
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga, PAYLOAD, timeout_s=0.3)
    assert (outcome.state, outcome.reason) == ("aborted", "credit: broken by the test")
    assert banks.balances() == BEFORE


# --- at the same time ---------------------------------------------------------------------


def test_one_gid_is_run_by_one_at_a_time(log_url: str, banks: Banks) -> None:
    release = threading.Event()

    def hold(ctx: StepContext) -> None:
        while not release.is_set():
            sleep(0.005)

    saga, other = banks.saga(), banks.saga()
    banks.before["credit"] = hold
    with coordinating(log_url, saga) as one, coordinating(log_url, other) as another:
        first = Background(partial(one.run, saga, PAYLOAD, gid="g-1"))

        def under_way() -> bool:
            return "credit" in banks.calls

        eventually(under_way)
        with pytest.raises(OutcomeUnknown, match="in this process"):
            one.run(saga, PAYLOAD, gid="g-1")
        with pytest.raises(OutcomeUnknown, match="elsewhere"):
            another.run(other, PAYLOAD, gid="g-1")
        with pytest.raises(UsageError, match="under way"):
            another.retry("g-1")
        with pytest.raises(UsageError, match="under way"):
            another.settle_by_hand("g-1", "aborted", "impatience")
        assert one.recover() == another.recover() == 0
        [listed] = another.sagas()
        assert (listed.state, listed.alive) == ("running", True)
        release.set()
        assert (first.result()).state == "committed"
    assert banks.works == ["debit", "credit"]
    assert banks.balances() == MOVED


def test_many_sagas_at_once_keep_the_sum(log_url: str, banks: Banks) -> None:
    saga = banks.saga()
    with coordinating(log_url, saga) as coordinator:
        outcomes = together([partial(coordinator.run, saga, {"amount": 15}) for _ in range(10)])
        assert coordinator.sagas() == []
    states = sorted(outcome.state for outcome in outcomes)
    assert states == ["aborted"] * 4 + ["committed"] * 6
    assert banks.balances() == (10, 140)


# --- what makes no sense ------------------------------------------------------------------


def test_a_step_changes_one_database(log_url: str, banks: Banks) -> None:
    def both(ctx: StepContext) -> None:
        with ctx.local(banks.urls[0]):
            with ctx.local(banks.urls[1]):
                pass

    saga = Saga("both")
    saga.step("both", both, nothing)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga)
    assert outcome.state == "aborted"
    assert "one step changes one database" in outcome.reason


@pytest.mark.parametrize("url", ["memory://m", "nowhere", "sqlite:///x?no=1", "gopher://x"])
def test_a_database_that_cannot_be_meant_aborts_at_once(log_url: str, url: str) -> None:
    calls = []

    def act(ctx: StepContext) -> None:
        calls.append(ctx.attempt)
        with ctx.local(url):
            pass

    saga = Saga("odd")
    saga.step("act", act, nothing)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga)
    assert (outcome.state, calls) == ("aborted", [1])
    assert outcome.reason.startswith("act: ")


@pytest.mark.parametrize("how", ["not JSON", "too large", "not what was stored"])
def test_a_result_that_cannot_be_kept_aborts_at_once(log_url: str, banks: Banks, how: str) -> None:
    results: dict[str, Any] = {"not JSON": {1, 2}, "too large": "x" * 10**6}
    calls = []

    def act(ctx: StepContext) -> Any:
        calls.append(ctx.attempt)
        if how in results:
            return results[how]
        with ctx.local(banks.urls[0]):
            ctx.result = 1
        return 2

    saga = Saga("odd")
    saga.step("act", act, nothing)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga)
    assert outcome.state == "aborted"
    assert calls == [1]


@pytest.mark.parametrize("error", [StepFailed, RuntimeError])
def test_work_that_was_rolled_back_is_never_taken_for_done(
    log_url: str, banks: Banks, error: type[Exception]
) -> None:
    def act(ctx: StepContext) -> int:
        try:
            with ctx.local(banks.urls[0]):
                raise error("swallowed")
        except error:
            return 1

    saga = Saga("careless")
    saga.step("act", act, nothing)
    with coordinating(log_url, saga) as coordinator:
        outcome = coordinator.run(saga)
    assert outcome.state == "aborted"
    expected = "swallowed" if error is StepFailed else "rolled back"
    assert expected in outcome.reason


def test_a_step_without_databases_answers_what_it_returns(log_url: str) -> None:
    seen = []

    def look(ctx: StepContext) -> Any:
        return {"price": 3, "of": ("a", 1)}

    def refuse(ctx: StepContext) -> None:
        seen.append(ctx.results)
        raise StepFailed("no")

    saga = Saga("reading")
    saga.step("look", look, nothing)
    saga.step("refuse", refuse, nothing)
    with coordinating(log_url, saga) as coordinator:
        assert (coordinator.run(saga)).state == "aborted"
    assert seen == [{"look": {"price": 3, "of": ["a", 1]}}]


def test_what_cannot_be_meant_is_refused(log_url: str, banks: Banks) -> None:
    for name in ("", "a b", "x" * 65, "a/b"):
        with pytest.raises(UsageError):
            Saga(name)
        with pytest.raises(UsageError):
            Saga("a").step(name, nothing, nothing)
    for options in ({"version": 0}, {"attempts_max": 0}, {"pause_first_s": 31.0}):
        with pytest.raises(UsageError):
            Saga("a", **options)  # type: ignore[arg-type]
    saga = banks.saga()
    with pytest.raises(UsageError, match="already"):
        saga.step("debit", nothing, nothing)
    with coordinating(log_url) as coordinator:
        with pytest.raises(UsageError, match="register"):
            coordinator.run(saga, PAYLOAD)
        with pytest.raises(UsageError, match="no steps"):
            coordinator.register(Saga("empty"))
        coordinator.register(saga)
        coordinator.register(saga)
        with pytest.raises(UsageError, match="another saga"):
            coordinator.register(banks.saga())
        with pytest.raises(UsageError, match="before"):
            saga.step("more", nothing, nothing)
        for payload in ({1, 2}, float("nan"), "x" * 2**21):
            with pytest.raises(UsageError, match="payload"):
                coordinator.run(saga, payload)
        for timeout_s in (0, -1, 10**9):
            with pytest.raises(UsageError, match="timeout"):
                coordinator.run(saga, PAYLOAD, timeout_s=timeout_s)
        with pytest.raises(UsageError, match="gid"):
            coordinator.run(saga, PAYLOAD, gid="no gid!")
        assert coordinator.sagas() == []
    assert banks.calls == []
