"""Walk every reachable state of the saga machine, crashes included, and hold its promises."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import pytest

from concordant.errors import UsageError
from concordant.transactions import saga as sg
from concordant.transactions.operations import SagaState

LIMITS = sg.Limits(attempts_max=2, pause_first_ms=10, pause_cap_ms=10)


@dataclass(frozen=True)
class World:
    """The machine, the command it waits for, and what has really happened by now.

    `log` is the state and data that stand durably; `acted` and `undone` are the steps whose
    action may have happened and whose compensation has; `crashes` and `failures` bound the
    walk.
    """

    machine: sg.SagaMachine
    pending: tuple[sg.Command, ...]
    log: tuple[str, str]
    acted: frozenset[int] = frozenset()
    undone: tuple[int, ...] = ()
    crashes: int = 0

    def key(self) -> tuple[object, ...]:
        machine = self.machine
        shown = (machine.state, machine.to_json(), machine.rest_ms)
        return (shown, self.pending, self.log, self.acted, self.undone, self.crashes)


def follow(world: World, event: sg.Event, **changes: object) -> World:
    machine, commands = sg.step(world.machine, event)
    assert len(commands) <= 1
    return replace(world, machine=machine, pending=commands, **changes)  # type: ignore[arg-type]


def crashed(world: World) -> Iterator[World]:
    """What a recoverer makes of it: nothing but the log is left."""
    state, data = world.log
    if world.crashes == 3 or state in ("committed", "aborted", "stuck"):
        return
    loaded = sg.SagaMachine.from_json(
        cast(SagaState, state), data, len(world.machine.steps), LIMITS
    )
    again = replace(world, machine=loaded, crashes=world.crashes + 1)
    yield follow(again, sg.Resumed())


def after(world: World) -> Iterator[World]:
    """Everything that can come next."""
    yield from crashed(world)
    if not world.pending:
        return
    machine = world.machine
    match world.pending[0]:
        case sg.Save():
            log = (machine.state, machine.to_json())
            yield from crashed(replace(world, log=log))
            yield follow(world, sg.Saved(), log=log)
            yield follow(world, sg.Overtaken())
            yield follow(world, sg.SaveUnknown())
            yield follow(world, sg.SaveUnknown(), log=log)
        case sg.Act(index, _):
            acted = world.acted | {index}
            yield from crashed(replace(world, acted=acted))
            yield follow(world, sg.Answered(f"r{index}"), acted=acted)
            for broken in (sg.Failed("x"), sg.Refused("no"), sg.TimedOut(started=True)):
                yield follow(world, broken, acted=acted)
                yield follow(world, broken)
            yield follow(world, sg.TimedOut(started=False))
            yield follow(world, sg.Unfit("changed"))
        case sg.Compensate(index, _):
            undone = (*world.undone, index)
            yield from crashed(replace(world, undone=undone))
            yield follow(world, sg.Answered(), undone=undone)
            yield follow(world, sg.Failed("x"), undone=undone)
            yield follow(world, sg.Failed("x"))
        case sg.Rest(_):
            yield follow(world, sg.Rested())
            if machine.state == "running":
                yield follow(world, sg.TimedOut(started=False))


def walk(steps: int) -> list[tuple[World, World]]:
    """Every transition that can be reached, as (before, after)."""
    created = sg.SagaMachine.created(steps, LIMITS)
    stored = World(created, (), ("running", ""))
    todo = deque([follow(stored, sg.Begun()), *crashed(stored)])
    seen = {world.key() for world in todo}
    edges = [(stored, world) for world in todo]
    while todo:
        world = todo.popleft()
        for successor in after(world):
            edges.append((world, successor))
            if successor.key() not in seen:
                seen.add(successor.key())
                todo.append(successor)
    return edges


@pytest.fixture(scope="module", params=[1, 2, 3])
def edges(request: pytest.FixtureRequest) -> list[tuple[World, World]]:
    return walk(request.param)


def test_every_state_of_the_table_is_reached(edges: list[tuple[World, World]]) -> None:
    reached = {world.machine.state for _, world in edges}
    assert reached == {"running", "aborting", "committed", "aborted", "stuck", "left"}


def test_no_compensation_before_aborting_is_stored(edges: list[tuple[World, World]]) -> None:
    for _, world in edges:
        if any(isinstance(command, sg.Compensate) for command in world.pending):
            assert world.log[0] == "aborting"


def test_once_aborting_is_stored_no_action_is_ever_asked_for(
    edges: list[tuple[World, World]],
) -> None:
    for before, world in edges:
        if before.log[0] in ("aborting", "aborted"):
            assert not any(isinstance(command, sg.Act) for command in world.pending)
            assert world.log[0] in ("aborting", "aborted", "stuck")
            assert world.machine.state != "committed"


def test_an_action_waits_for_the_answers_before_it_to_be_stored(
    edges: list[tuple[World, World]],
) -> None:
    for _, world in edges:
        for command in world.pending:
            if isinstance(command, sg.Act):
                state, data = world.log
                log = sg.SagaMachine.from_json(
                    cast(SagaState, state), data, len(world.machine.steps), LIMITS
                )
                assert log.steps[: command.index] == ("done",) * command.index


def test_what_is_called_aborted_has_undone_all_that_may_have_happened_in_reverse(
    edges: list[tuple[World, World]],
) -> None:
    for _, world in edges:
        if world.machine.state == "aborted":
            assert world.acted <= set(world.undone)
            first_time = list(dict.fromkeys(world.undone))
            assert first_time == sorted(first_time, reverse=True)


def test_what_is_proven_un_started_is_not_undone(edges: list[tuple[World, World]]) -> None:
    for _, world in edges:
        started = max((*world.acted, -1))
        for index in world.undone:
            # Only the one step that a process may have begun before it died is in doubt.
            assert index <= started + 1


def test_what_is_called_committed_has_done_everything_and_undone_nothing(
    edges: list[tuple[World, World]],
) -> None:
    for _, world in edges:
        if world.machine.state == "committed":
            assert world.acted == set(range(len(world.machine.steps)))
            assert world.undone == ()
            assert world.machine.results == tuple(
                f"r{index}" for index in range(len(world.machine.steps))
            )


def test_a_final_state_is_never_left_and_asks_for_nothing_once_stored(
    edges: list[tuple[World, World]],
) -> None:
    for before, world in edges:
        if before.log[0] in ("committed", "aborted"):
            assert world.log[0] == before.log[0]
            assert world.pending == ()


def test_a_compensation_that_keeps_failing_gets_stuck_and_says_why(
    edges: list[tuple[World, World]],
) -> None:
    stuck = [world for _, world in edges if world.machine.state == "stuck"]
    assert stuck
    assert all(world.machine.evidence for world in stuck)


def test_no_path_runs_for_ever_without_a_pause_or_an_attempt_counted(
    edges: list[tuple[World, World]],
) -> None:
    # The walk itself ended, so every cycle is one of states that were seen already; none of
    # them may come back to itself but through the log.
    graph: dict[tuple[object, ...], set[tuple[object, ...]]] = {}
    for before, world in edges:
        graph.setdefault(before.key(), set()).add(world.key())
    done: set[tuple[object, ...]] = set()
    path: set[tuple[object, ...]] = set()

    def visit(key: tuple[object, ...]) -> None:
        stack = [(key, iter(graph.get(key, ())))]
        path.add(key)
        while stack:
            current, successors = stack[-1]
            successor = next(successors, None)
            if successor is None:
                path.discard(current)
                done.add(current)
                stack.pop()
            elif successor not in done:
                assert successor not in path, "a cycle"
                path.add(successor)
                stack.append((successor, iter(graph.get(successor, ()))))

    for key in list(graph):
        if key not in done:
            visit(key)


# --- single rules -------------------------------------------------------------------------


def running(steps: int = 3, done: int = 0, limits: sg.Limits = LIMITS) -> sg.SagaMachine:
    machine, _ = sg.step(sg.SagaMachine.created(steps, limits), sg.Begun())
    for index in range(done):
        machine, _ = sg.step(machine, sg.Answered(index))
        machine, _ = sg.step(machine, sg.Saved())
    return machine


def test_the_refused_action_is_compensated_too_and_later_ones_are_not() -> None:
    machine, commands = sg.step(running(done=1), sg.Refused("no funds"))
    assert (machine.state, machine.reason, commands) == ("aborting", "no funds", (sg.Save(),))
    machine, commands = sg.step(machine, sg.Saved())
    assert commands == (sg.Compensate(1, 1),)
    machine, _ = sg.step(machine, sg.Answered())
    machine, commands = sg.step(machine, sg.Saved())
    assert commands == (sg.Compensate(0, 1),)
    machine, commands = sg.step(machine, sg.Answered())
    assert (machine.state, commands) == ("aborted", (sg.Save(),))
    assert sg.step(machine, sg.Saved()) == (machine, ())


def test_a_saga_that_is_late_before_its_first_action_has_nothing_to_undo() -> None:
    machine, _ = sg.step(running(), sg.TimedOut(started=False))
    assert machine.state == "aborted"
    machine, _ = sg.step(running(), sg.TimedOut(started=True))
    assert machine.state == "aborting"


def test_an_action_that_failed_before_counts_as_started_when_time_is_over() -> None:
    machine, _ = sg.step(running(), sg.Failed("x"))
    machine, _ = sg.step(machine, sg.Saved())
    machine, _ = sg.step(machine, sg.TimedOut(started=False))
    assert (machine.state, machine.steps[0]) == ("aborting", "begun")


def test_pauses_double_up_to_the_cap_and_are_stored_as_due() -> None:
    limits = sg.Limits(attempts_max=6, pause_first_ms=10, pause_cap_ms=50)
    machine = running(limits=limits)
    pauses = []
    for attempt in range(2, 7):
        machine, commands = sg.step(machine, sg.Failed("x"))
        [save] = commands
        assert isinstance(save, sg.Save)
        pauses.append(save.due_in_ms)
        machine, commands = sg.step(machine, sg.Saved())
        assert commands == (sg.Rest(save.due_in_ms),)
        machine, commands = sg.step(machine, sg.Rested())
        assert commands == (sg.Act(0, attempt),)
    assert pauses == [10, 20, 40, 50, 50]
    machine, _ = sg.step(machine, sg.Failed("the last"))
    assert machine.state == "aborting"
    assert machine.reason == "6 attempts failed, the last: the last"


def test_the_pause_after_very_many_attempts_is_the_cap() -> None:
    assert sg.Limits().pause_ms(10**9) == sg.Limits().pause_cap_ms


def test_a_step_that_answers_starts_the_next_one_with_all_its_attempts() -> None:
    machine, _ = sg.step(running(), sg.Failed("x"))
    assert machine.attempts == 1
    machine, _ = sg.step(machine, sg.Saved())
    machine, _ = sg.step(machine, sg.Rested())
    machine, _ = sg.step(machine, sg.Answered("a"))
    assert (machine.attempts, machine.trouble) == (0, "")


def test_retrying_goes_on_the_way_it_went() -> None:
    machine, _ = sg.step(running(done=1), sg.Refused("no"))
    machine, _ = sg.step(machine, sg.Saved())
    for _ in range(LIMITS.attempts_max):
        machine, _ = sg.step(machine, sg.Failed("broken"))
    assert machine.state == "stuck"
    stored = sg.SagaMachine.from_json("stuck", machine.to_json(), 3, LIMITS)
    machine, _ = sg.step(stored, sg.Retried())
    assert (machine.state, machine.attempts) == ("aborting", 0)
    assert sg.step(machine, sg.Saved())[1] == (sg.Compensate(1, 1),)
    machine, _ = sg.step(running(done=1), sg.Unfit("changed"))
    assert machine.state == "stuck"
    assert sg.step(machine, sg.Retried())[0].state == "running"


@pytest.mark.parametrize("end", ["committed", "aborted"])
def test_a_person_may_settle_whatever_is_not_final(end: str) -> None:
    settled = sg.SettledByHand("committed" if end == "committed" else "aborted", "as agreed")
    stuck, _ = sg.step(running(), sg.Unfit("changed"))
    for machine in (running(), stuck):
        after, commands = sg.step(machine, settled)
        assert (after.state, commands) == (end, (sg.Save(),))
        assert "as agreed" in after.evidence
        with pytest.raises(ValueError, match="cannot come"):
            sg.step(after, settled)


def test_progress_survives_the_log() -> None:
    machine, _ = sg.step(running(done=2), sg.Refused("no"))
    loaded = sg.SagaMachine.from_json("aborting", machine.to_json(), 3, LIMITS)
    assert loaded == machine
    assert loaded.results == (0, 1, None)


def test_what_a_newer_version_wrote_is_not_guessed_at() -> None:
    text = running().to_json().replace('"format":1', '"format":2')
    with pytest.raises(UsageError, match="upgrade"):
        sg.SagaMachine.from_json("running", text, 3, LIMITS)


def test_an_event_out_of_place_is_refused() -> None:
    machine, _ = sg.step(running(), sg.Refused("no"))
    with pytest.raises(ValueError, match="cannot come"):
        sg.step(machine, sg.Refused("again"))
    with pytest.raises(ValueError, match="cannot come"):
        sg.step(machine, sg.TimedOut(started=True))
    with pytest.raises(ValueError, match="at least one"):
        sg.SagaMachine.created(0, LIMITS)


def test_retrying_what_rests_gives_it_all_its_attempts_at_once() -> None:
    machine, _ = sg.step(running(done=1), sg.Failed("x"))
    machine, commands = sg.step(machine, sg.Retried())
    assert (machine.state, machine.attempts, commands) == ("running", 0, (sg.Save(),))
    assert sg.step(machine, sg.Saved())[1] == (sg.Act(1, 1),)
