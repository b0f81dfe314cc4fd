"""What may happen to a database between its vote and its end, and to a branch before that."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from concordant import Coordinator, TransactionAborted
from concordant.drivers import registry
from concordant.drivers.base import InDoubt
from concordant.drivers.urls import file_path
from concordant.errors import ConcordantError
from concordant.transactions.operations import BranchRef
from tests.crash.books import BEFORE, dialect_of
from tests.crash.combos import COMBOS, param
from tests.crash.doubts import branch_at, kept_for_a_person
from tests.crash.job import Fault, Place
from tests.crash.scenarios import POINTS, Run
from tests.crash.stage import ALIVE_S, DEAD_SOON_S, Combo, Stage
from tests.crash.theatre import Theatre
from tests.provision.bridge import rows

BY_NAME = {point.name: point for point in POINTS}
ALL = [param(combo) for combo in COMBOS]
ALL_SQLITE = [
    param(combo) for combo in COMBOS if {each.name for each in combo.participants} == {"sqlite"}
]
SOME_SQLITE = [
    param(combo) for combo in COMBOS if "sqlite" in {each.name for each in combo.participants}
]


def resolve_by_hand(place: Place, branch: str, commit: bool) -> None:
    """End a branch as an operator may, whatever was decided."""
    with closing(registry.participant(place.url)) as participant:
        assert participant.resolve(branch, commit) == "done"


# --- A13: gone for a while ----------------------------------------------------------------


def unreachable(branch: str) -> Any:
    """Return an executor for which the branch's database does not answer."""

    def execute(machine: str, state: str, command: object, action: Callable[[], Any]) -> Any:
        named = command.branch if isinstance(command, InDoubt | BranchRef) else ""
        if named == branch:
            raise ConnectionRefusedError("nobody is there")
        return action()

    return execute


@pytest.mark.parametrize("combo", ALL)
def test_a_database_that_is_gone_in_phase_two_is_told_when_it_is_back(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        # From the second commit on nothing gets through, however often it is tried.
        fault = Fault("two-phase", "committing", "Commit", "lose", "before", nth=2, times=0)
        ahead = replace(fault, command="Tell")
        job = stage.job("transfer", "sync", fault, ahead, gid="g-13", owner_ttl_s=ALIVE_S)
        child = stage.start(job)
        ended = child.ended()["ended"]
        assert ended == "committed"
        left = branch_at(stage, 1)
        assert stage.in_doubt() == [[], [left]]
        with stage.coordinator(unreachable(left)) as coordinator:
            for _ in range(3):
                assert coordinator.recover() == 0
                coordinator.purge(0)
            # The decision is listed with all of its branches while one has not obeyed.
            doubts = {doubt.branch: doubt.verdict for doubt in coordinator.doubts()}
            assert left in doubts
            assert set(doubts.values()) == {"commit"}
        stage.settle()
        stage.check(child.job, ended, "commit")


@pytest.mark.parametrize("combo", ALL_SQLITE)
def test_a_file_that_somebody_keeps_locked_is_told_when_it_is_free(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        run = Run(stage, BY_NAME["A6-decided"], "aio")
        child = run.start("crash", DEAD_SOON_S)
        child.crashed()
        stage.wait_dead()
        left = branch_at(stage, 1)
        impatient = [f"{place.url.partition('?')[0]}?wait_s=0.1" for place in stage.places]
        with closing(sqlite3.connect(file_path(stage.places[1].url))) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            with Coordinator(
                stage.log, participants=impatient, recover_every_s=3600
            ) as coordinator:
                coordinator.recover()
                assert stage.in_doubt() == [[], [left]]
                assert left in [doubt.branch for doubt in coordinator.doubts()]
            somebody.rollback()
        run.check(child, None, "commit")


# --- A14: restored from before ------------------------------------------------------------


@pytest.mark.parametrize("combo", SOME_SQLITE)
def test_a_database_restored_from_before_its_vote_is_kept_for_a_person(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        victim = next(i for i, place in enumerate(stage.places) if place.backend == "sqlite")
        live, saved = Path(file_path(stage.places[victim].url)), tmp_path / "saved.db"
        with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(saved)) as target:
            source.backup(target)
        child = Run(stage, BY_NAME["A6-decided"], "sync").start("crash", DEAD_SOON_S)
        child.crashed()
        lost = branch_at(stage, victim)
        for suffix in ("-wal", "-shm"):
            Path(f"{live}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(saved, live)
        kept_for_a_person(stage, child.job.gid, lost)
        # Whoever could obey has obeyed.
        assert stage.books[victim].balances() == BEFORE
        moved = {"ada": 90} if victim else {"bob": 60}
        assert stage.books[1 - victim].balances() == BEFORE | moved
        assert stage.in_doubt() == [[], []]


# --- A15: resolved by hand ----------------------------------------------------------------


@pytest.mark.parametrize("combo", ALL)
def test_a_branch_rolled_back_by_hand_is_kept_for_a_person(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        child = Run(stage, BY_NAME["A6-decided"], "aio").start("crash", DEAD_SOON_S)
        child.crashed()
        branch = branch_at(stage, 1)
        resolve_by_hand(stage.places[1], branch, commit=False)
        kept_for_a_person(stage, child.job.gid, branch)
        assert stage.books[0].balances() == BEFORE | {"ada": 90}
        assert stage.books[1].balances() == BEFORE


@pytest.mark.parametrize("combo", ALL)
def test_a_branch_rolled_back_by_hand_under_the_coordinator_is_kept_for_a_person(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        child = Run(stage, BY_NAME["A6-told"], "sync").start("hold", ALIVE_S)
        child.wait_reached()
        branch = branch_at(stage, 1)
        resolve_by_hand(stage.places[1], branch, commit=False)
        child.release()
        assert child.ended()["ended"] == "HeuristicOutcome"
        kept_for_a_person(stage, child.job.gid, branch)


@pytest.mark.parametrize("combo", ALL)
def test_a_branch_committed_by_hand_before_an_abort_is_kept_for_a_person(
    combo: Combo, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        child = Run(stage, BY_NAME["A4-voted"], "aio").start("pause", ALIVE_S)
        child.paused()
        branch = branch_at(stage, 1)
        resolve_by_hand(stage.places[1], branch, commit=True)
        stage.declare_dead()
        # The recoverer aborts the other one, and finds the evidence of this.
        kept_for_a_person(stage, child.job.gid, branch)
        # Its coordinator finds out by itself, too.
        child.resume()
        assert child.ended()["ended"] == "HeuristicOutcome"
        kept_for_a_person(stage, child.job.gid, branch)
        assert stage.books[0].balances() == BEFORE
        assert stage.books[1].balances() == BEFORE | {"bob": 60}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("combo", ALL)
def test_a_branch_committed_by_hand_after_a_crash_is_kept_for_a_person(
    combo: Combo, number: int, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage:
        child = Run(stage, BY_NAME["A4-voted"], "sync").start("crash", DEAD_SOON_S)
        child.crashed()
        branch = branch_at(stage, number)
        resolve_by_hand(stage.places[number], branch, commit=True)
        kept_for_a_person(stage, child.job.gid, branch)
        assert stage.in_doubt() == [[], []]
        moved = {"bob": 60} if number else {"ada": 90}
        assert stage.books[number].balances() == BEFORE | moved
        assert stage.books[1 - number].balances() == BEFORE


# --- A17: a statement that failed ---------------------------------------------------------


def fail(place: Place, connection: Any, statement: str) -> None:
    """Run a statement that the database refuses, and go on as if nothing had been."""
    with pytest.raises((dialect_of(place).error, ConcordantError)):
        rows(connection, statement)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("combo", ALL)
def test_a_branch_with_a_failed_statement_commits_all_or_nothing(
    combo: Combo, number: int, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage, stage.coordinator() as coordinator:
        final = dialect_of(stage.places[number]).failure_is_final
        ended = "committed"
        try:
            move_and_fail(stage, coordinator, number, "INSERT")
        except TransactionAborted:
            ended = "aborted"
        # Where one failure fails the transaction, a yes would be a commit of nothing.
        assert ended == ("aborted" if final else "committed")
        check_moved(stage, ended == "committed")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("combo", ALL_SQLITE)
def test_a_branch_that_the_database_rolled_back_by_itself_never_votes_yes(
    combo: Combo, number: int, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(combo, tmp_path) as stage, stage.coordinator() as coordinator:
        with pytest.raises(TransactionAborted):
            move_and_fail(stage, coordinator, number, "INSERT OR ROLLBACK")
        check_moved(stage, False)


def move_and_fail(stage: Stage, coordinator: Coordinator, number: int, insert: str) -> None:
    """Move the money, and then run a statement that is refused: the key is taken."""
    with transfer(stage, coordinator) as connections:
        move(stage, connections)
        again = f"{insert} INTO account VALUES ('bob', 1)"
        fail(stage.places[number], connections[number], again)


def transfer(stage: Stage, coordinator: Coordinator) -> Any:
    """Return a transaction over all places."""
    return coordinator.transaction(*(place.url for place in stage.places))


def move(stage: Stage, connections: Any) -> None:
    """Move 10 from the first place to the second."""
    rows(connections[0], "UPDATE account SET balance = balance - 10 WHERE id = 'ada'")
    rows(connections[1], "UPDATE account SET balance = balance + 10 WHERE id = 'bob'")


def check_moved(stage: Stage, moved: bool) -> None:
    """Fail unless it moved at both places, or at none."""
    assert stage.books[0].balances() == BEFORE | ({"ada": 90} if moved else {})
    assert stage.books[1].balances() == BEFORE | ({"bob": 60} if moved else {})
    assert stage.in_doubt() == [[], []]
