"""Walk every reachable state of the two-phase machine and hold its promises in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest

from concordant.transactions import twophase as tp

Walk = tuple[tp.TwoPhase, tuple[tp.Command, ...], tuple[tp.Event, ...], tuple[tp.Command, ...]]


def answers(command: tp.Command) -> Iterator[tp.Event | None]:
    """Everything that can come back from a command."""
    match command:
        case tp.Prepare(index):
            for vote in ("prepared", "read-only", "refused"):
                yield tp.Voted(index, vote)
            yield tp.VoteUnknown(index)
        case tp.WriteDecision():
            yield tp.Decided("commit")
            yield tp.Decided("abort")
            yield tp.DecisionUnknown()
        case tp.Commit(index) | tp.Rollback(index):
            for resolution in ("done", "already", "missing"):
                yield tp.Resolved(index, resolution)
            yield tp.Unreached(index)
        case tp.Abandon(index):
            yield tp.Abandoned(index)
        case tp.CommitOnePhase(_):
            for outcome in ("committed", "aborted", "unknown"):
                yield tp.OnePhase(outcome)
        case tp.WriteFinish() | tp.Ask(_) | tp.Tell(_):
            yield None


def walks(branches: int) -> Iterator[Walk]:
    """Every complete history: final machine, nothing pending, its events and commands."""
    begun = tp.TwoPhase.begun(branches)
    todo: deque[Walk] = deque()
    for first in (tp.BodyDone(), tp.BodyDone(recorded=True), tp.BodyFailed()):
        machine, commands = tp.step(begun, first)
        todo.append((machine, commands, (first,), commands))
    while todo:
        machine, pending, events, issued = todo.pop()
        if not pending:
            yield machine, (), events, issued
            continue
        for answer in answers(pending[0]):
            if answer is None:
                todo.append((machine, pending[1:], events, issued))
                continue
            after, more = tp.step(machine, answer)
            todo.append((after, pending[1:] + more, (*events, answer), issued + more))


@pytest.fixture(scope="module", params=[0, 1, 2, 3])
def histories(request: pytest.FixtureRequest) -> list[Walk]:
    return list(walks(request.param))


def test_every_history_ends_in_a_final_state(histories: list[Walk]) -> None:
    assert all(machine.final for machine, _, _, _ in histories)


def test_nobody_commits_before_the_decision(histories: list[Walk]) -> None:
    for _, _, events, issued in histories:
        if any(isinstance(command, tp.Commit) for command in issued):
            assert tp.Decided("commit") in events
        if tp.Decided("commit") in events:
            assert not any(isinstance(command, tp.Rollback | tp.Abandon) for command in issued)


def test_the_decision_needs_every_vote(histories: list[Walk]) -> None:
    for machine, _, events, issued in histories:
        if tp.WriteDecision() in issued:
            votes = [event for event in events if isinstance(event, tp.Voted)]
            assert len(votes) == len(machine.branches)
            assert all(vote.vote != "refused" for vote in votes)
            assert any(vote.vote == "prepared" for vote in votes)


def test_every_vote_is_awaited_once_it_was_asked_for(histories: list[Walk]) -> None:
    for _, _, events, issued in histories:
        asked = {command.index for command in issued if isinstance(command, tp.Ask)}
        voted = [e.index for e in events if isinstance(e, tp.Voted | tp.VoteUnknown)]
        assert sorted(voted) == sorted(asked)


def test_what_is_sent_ahead_is_had_afterwards(histories: list[Walk]) -> None:
    for _, _, _, issued in histories:
        for ahead, had in ((tp.Ask, tp.Prepare), (tp.Tell, tp.Commit)):
            firsts = [command.index for command in issued if isinstance(command, ahead)]
            seconds = [command.index for command in issued if isinstance(command, had)]
            assert firsts == seconds
            if firsts:
                assert issued.index(ahead(firsts[-1])) < issued.index(had(firsts[0]))


def test_an_abort_reaches_whatever_may_be_prepared(histories: list[Walk]) -> None:
    for machine, _, events, issued in histories:
        if machine.state != "aborted" or len(machine.branches) == 1:
            continue
        for event in events:
            if isinstance(event, tp.VoteUnknown) or (
                isinstance(event, tp.Voted) and event.vote == "prepared"
            ):
                assert tp.Rollback(event.index) in issued


def test_a_heuristic_outcome_is_never_called_success(histories: list[Walk]) -> None:
    for machine, _, events, issued in histories:
        wrong = {
            event.index
            for event in events
            if isinstance(event, tp.Resolved)
            and event.resolution == ("missing" if tp.Decided("commit") in events else "already")
        }
        assert (machine.state == "heuristic") == bool(wrong)
        # Whoever looks later has only the log to find it in.
        assert (tp.WriteFinish(heuristic=True) in issued) == bool(wrong)


def test_the_decision_is_kept_while_a_branch_has_not_obeyed(histories: list[Walk]) -> None:
    for machine, _, _, issued in histories:
        if machine.having("unreached"):
            assert tp.WriteFinish(heuristic=False) not in issued


def test_read_only_branches_need_no_decision() -> None:
    machine, _ = tp.step(tp.TwoPhase.begun(2), tp.BodyDone())
    machine, _ = tp.step(machine, tp.Voted(0, "read-only"))
    machine, commands = tp.step(machine, tp.Voted(1, "read-only"))
    assert (machine.state, commands) == ("committed", ())


def test_a_recorded_branch_alone_never_commits_in_one_phase(histories: list[Walk]) -> None:
    for machine, _, events, issued in histories:
        one_phase = tp.CommitOnePhase(0) in issued
        assert one_phase == (len(machine.branches) == 1 and events[0] == tp.BodyDone())


def test_an_event_out_of_place_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot come"):
        tp.step(tp.TwoPhase.begun(2), tp.Decided("commit"))
