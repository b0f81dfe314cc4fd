"""Every crash point of a saga, in every way in which it can go wrong.

Each point is tried in each way on some combination of databases and log, and each row of the
table of points on every combination.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from concordant import Coordinator, Saga, TransactionStuck
from concordant._bridge.sync import direct
from concordant.drivers import registry
from concordant.transactions.names import new_gid
from tests.crash.books import AMOUNT
from tests.crash.combos import COMBOS, param
from tests.crash.job import Fault, World
from tests.crash.saga_scenarios import POINTS, VARIANTS, Point, Run, recoveries
from tests.crash.stage import ALIVE_S, Combo, Stage
from tests.crash.sync.saga_actor import saga_of
from tests.crash.theatre import Theatre

BY_NAME = {point.name: point for point in POINTS}

# The rows of the table that are about a way and not about a place: on every combination.
ALWAYS = {
    ("lose", "D1-stored"),
    ("lose", "D2-done"),
    ("lose", "D8-undone"),
    ("late", "D6-sent"),
    ("pause", "D3-first"),
    ("pause", "D6-entering"),
    ("rival", "D2-done"),
}


def combos_for(variant: str, number: int, point: Point) -> list[Combo]:
    """Return where a point is tried in this way."""
    if (variant, point.name) in ALWAYS:
        return COMBOS
    if variant != "crash":
        return [COMBOS[number % len(COMBOS)]]
    # All points on the first combination, and on each other one of each row.
    row = [each.name for each in POINTS if each.row == point.row]
    place = row.index(point.name)
    return [COMBOS[0], *(c for i, c in enumerate(COMBOS[1:]) if i % len(row) == place)]


def every_case() -> Iterator[Any]:
    """Yield the cases, in turns of worlds and of the places where a recoverer fails."""
    worlds: Iterator[World] = cycle(("sync", "aio"))
    for variant in VARIANTS:
        for number, point in enumerate(POINTS):
            choice = recoveries(point, variant)
            for combo in combos_for(variant, number, point) if choice else []:
                recovery = choice[number % len(choice)]
                name = f"{variant}-{point.name}"
                yield param(combo, variant, point, next(worlds), recovery, name=name)


@pytest.mark.parametrize(("combo", "variant", "point", "world", "recovery"), list(every_case()))
def test_saga_point(
    combo: Combo,
    variant: str,
    point: Point,
    world: World,
    recovery: Fault | None,
    theatre: Theatre,
    tmp_path: Path,
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        VARIANTS[variant](Run(stage, point, world, recovery))


def every_recovery() -> Iterator[Any]:
    """Yield each place where a recoverer can fail."""
    combos = cycle(COMBOS)
    for name in ("D2-sent", "D5-saved"):
        for recovery in recoveries(BY_NAME[name], "again"):
            assert recovery is not None
            words = f"{name}-{recovery.state}-{recovery.command}-{recovery.when}"
            yield param(next(combos), BY_NAME[name], recovery, name=words)


@pytest.mark.parametrize(("combo", "point", "recovery"), list(every_recovery()))
@pytest.mark.parametrize("variant", ["again", "rival"])
def test_saga_recovery(
    combo: Combo, point: Point, recovery: Fault, variant: str, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        VARIANTS[variant](Run(stage, point, "sync", recovery))


# --- rows that are no place ---------------------------------------------------------------

EVERY_COMBO = pytest.mark.parametrize("combo", [param(combo) for combo in COMBOS])
WORLDS = pytest.mark.parametrize("world", ["sync", "aio"])


def verdicts(stage: Stage, gid: str) -> set[tuple[int, str, str]]:
    """Return what the barriers hold of the gid: place, direction, verdict."""
    found = set()
    for number, books in enumerate(stage.books):
        # Whoever enters makes the table, if nobody has been here before.
        with closing(registry.barrier(books.place.url)) as barrier:
            barrier.enter(new_gid(), "look", "action").abandon()
        for op, verdict in books.outside(
            "SELECT op, verdict FROM concordant_barrier WHERE gid = ?", gid
        ):
            found.add((number, op, verdict))
    return found


@EVERY_COMBO
def test_a_compensation_without_its_action_is_noted(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, BY_NAME["D6-entering"], "sync")
        child = run.start("crash", 0.25)
        child.crashed()
        run.settle()
        assert verdicts(stage, child.job.gid) == {
            (0, "action", "done"),
            (0, "compensation", "done"),
            (1, "action", "void"),
            (1, "compensation", "done"),
        }
        run.check(child, None, "aborted")


@EVERY_COMBO
def test_a_compensation_that_keeps_failing_waits_for_a_person(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        point = replace(BY_NAME["D5-undoing"], attempts_max=3)
        run = Run(stage, point, "sync")
        broken = Fault("saga", "aborting", "Compensate", "lose", "before", times=0)
        job = replace(run.start("lose", ALIVE_S).job, gid=new_gid(), faults=(broken,))
        child = stage.start(replace(job, folder=f"{job.folder}-stuck"))
        assert child.ended()["ended"] == "TransactionStuck"
        with run.coordinator() as (coordinator, saga):
            for status in coordinator.sagas():
                if status.gid == job.gid:
                    break
            assert (status.state, status.saga) == ("stuck", "transfer/1")
            assert "3 attempts failed" in status.evidence
            assert "compensation of move-1" in status.evidence
            coordinator.recover()
            with pytest.raises(TransactionStuck):
                coordinator.run(saga, {"amount": AMOUNT}, gid=job.gid)
            coordinator.retry(job.gid)
        run.check(child, None, "aborted")


@EVERY_COMBO
def test_what_was_not_yet_stored_as_stuck_is_tried_again(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, replace(BY_NAME["D5-undoing"], attempts_max=3), "aio")
        broken = Fault("saga", "aborting", "Compensate", "lose", "before", times=0)
        fault = Fault("saga", "stuck", "Save", "crash", "before")
        child = stage.start(
            stage.job(
                "saga",
                "aio",
                broken,
                fault,
                shape="refused",
                gid=new_gid(),
                owner_ttl_s=0.25,
                attempts_max=3,
            )
        )
        child.crashed()
        with run.coordinator() as (coordinator, _):
            run.wait_dead()
            coordinator.recover()
            # Its attempts are gone, whoever has made them.
            [status] = coordinator.sagas()
            assert status.state == "stuck"
            coordinator.retry(child.job.gid)
        run.check(child, None, "aborted")


@EVERY_COMBO
@WORLDS
def test_an_action_under_way_when_time_is_over_is_compensated(
    combo: Combo, world: World, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, replace(BY_NAME["D6-entering"], attempts_max=8), world)
        child = run.start("hold", ALIVE_S, timeout_s=0.5)
        ended = child.ended()
        assert (ended["ended"], ended["message"]) == ("aborted", "its time was over")
        run.check(child, "aborted", "aborted")


@EVERY_COMBO
@pytest.mark.parametrize("where", ["entering", "saving"])
def test_whether_time_was_over_is_decided_once(
    combo: Combo, where: str, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        point = BY_NAME["D6-entering" if where == "entering" else "D3-first"]
        run = Run(stage, replace(point, attempts_max=8), "sync")
        child = run.start("pause", ALIVE_S, timeout_s=0.5)
        child.paused()
        time.sleep(0.6)
        run.declare_dead()
        run.settle()
        child.resume()
        # The late action is refused, or the late answer is: the log has it that time was over.
        assert child.ended()["ended"] == "OutcomeUnknown"
        run.check(child, None, "aborted")


@EVERY_COMBO
def test_a_definition_that_has_changed_is_not_run(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, BY_NAME["D3-first"], "sync")
        child = run.start("crash", 0.25)
        child.crashed()
        run.wait_dead()
        before = verdicts(stage, child.job.gid)
        changed = Saga("transfer", attempts_max=8)
        for step in reversed(saga_of(child.job, direct).steps):
            changed.step(step.name, step.action, step.compensation)
        with Coordinator(stage.log, owner_ttl_s=ALIVE_S, recover_every_s=3600) as coordinator:
            coordinator.register(changed)
            coordinator.recover()
            [status] = coordinator.sagas()
            assert status.state == "stuck"
            assert "begun with the steps move-0, move-1" in status.evidence
            assert verdicts(stage, child.job.gid) == before
            coordinator.retry(child.job.gid)
        run.check(child, None, "committed")
