"""A PostgreSQL server that is really killed between a vote and its end, or restored after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash.books import AMOUNT, BEFORE
from tests.crash.combos import COMBOS, param
from tests.crash.doubts import branch_at, kept_for_a_person
from tests.crash.harness import Child
from tests.crash.scenarios import POINTS, Run
from tests.crash.stage import ALIVE_S, DEAD_SOON_S, Combo, Stage
from tests.crash.theatre import Theatre
from tests.crash.victim import Victim

BY_NAME = {point.name: point for point in POINTS}
ON_SERVERS = [
    combo for combo in COMBOS if "postgresql" in {each.name for each in combo.participants}
]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Victim]:
    """A server that only these tests use; the logs and the other places are on another one."""
    server = Victim()
    server.start()
    yield server
    server.close()


@pytest.fixture
def victim(own_server: Victim) -> Iterator[Victim]:
    """The server, which runs before each test, and after it, too."""
    yield own_server
    if not own_server.running:
        own_server.restart()


def place_of(stage: Stage, victim: Victim) -> int:
    """Return which of the two places is on the victim."""
    (number,) = [i for i, place in enumerate(stage.places) if f":{victim.port}/" in place.url]
    return number


def voted(stage: Stage, ended: str) -> Child:
    """Start a transfer, and return when all have voted: it is decided unless it is to abort."""
    point = BY_NAME["A4-voted" if ended == "abort" else "A6-decided"]
    if ended == "living":
        child = Run(stage, point, "aio").start("hold", ALIVE_S)
        child.wait_reached()
    else:
        child = Run(stage, point, "sync").start("crash", DEAD_SOON_S)
        child.crashed()
        stage.wait_dead()
    return child


# --- A13: killed after its vote -----------------------------------------------------------


@pytest.mark.parametrize(
    ("combo", "how"),
    [
        param(combo, how, name=name)
        for combo in ON_SERVERS
        for name, how in (("committed", "living"), ("commit", "dead"), ("abort", "abort"))
    ],
)
def test_a_server_that_is_killed_after_its_vote_is_told_when_it_is_back(
    combo: Combo, how: str, victim: Victim, theatre: Theatre, tmp_path: Path
) -> None:
    outcome = "abort" if how == "abort" else "commit"
    with theatre.stage_with(combo, tmp_path, victim.participant_url()) as stage:
        number = place_of(stage, victim)
        child = voted(stage, how)
        left = branch_at(stage, number)
        victim.kill()
        ended = None
        if how == "living":
            child.release()
            ended = child.ended()["ended"]
            # It is decided, and whoever was told so may rely on it.
            assert ended == "committed"
        recover_without(stage, victim, number, left, outcome)
        victim.restart()
        assert branch_at(stage, number) == left
        stage.settle()
        stage.check(child.job, ended, outcome)


def recover_without(stage: Stage, victim: Victim, number: int, left: str, outcome: str) -> None:
    """Recover while the server is gone: the other place obeys, and nothing is forgotten."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(victim.url("postgres"), connect_timeout=2)
    with stage.coordinator() as coordinator:
        for _ in range(3):
            coordinator.recover()
            coordinator.purge(0)
        doubts = {doubt.branch: doubt.verdict for doubt in coordinator.doubts()}
        # What is in doubt on a server that is gone is known by a decision to commit alone.
        assert doubts.get(left) == ("commit" if outcome == "commit" else None)
    moved = {"bob": AMOUNT} if number == 0 else {"ada": -AMOUNT}
    shares = {name: BEFORE[name] + amount for name, amount in moved.items()}
    books = stage.books[1 - number]
    assert books.balances() == BEFORE | (shares if outcome == "commit" else {})


# --- A14: restored from before its vote ---------------------------------------------------


@pytest.mark.parametrize(
    ("combo", "how"),
    [param(combo, how, name=how) for combo in ON_SERVERS for how in ("dead", "living")],
)
def test_a_server_restored_from_before_its_vote_is_kept_for_a_person(
    combo: Combo,
    how: str,
    victim: Victim,
    theatre: Theatre,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with theatre.stage_with(combo, tmp_path, victim.participant_url()) as stage:
        number = place_of(stage, victim)
        victim.save()
        child = voted(stage, how)
        lost = branch_at(stage, number)
        victim.put_back()
        if how == "living":
            child.release()
            assert child.ended()["ended"] == "HeuristicOutcome"
        kept_for_a_person(stage, child.job.gid, lost)
        if how == "dead":
            # Nobody is there to be told by an exception.
            (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
            assert child.job.gid in told.getMessage()
        # Whoever could obey has obeyed; what was restored has nothing of it.
        assert stage.books[number].balances() == BEFORE
        moved = {"ada": BEFORE["ada"] - AMOUNT} if number else {"bob": BEFORE["bob"] + AMOUNT}
        assert stage.books[1 - number].balances() == BEFORE | moved
        assert stage.in_doubt() == [[], []]
