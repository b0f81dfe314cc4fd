"""The crash tests can fail: they notice points that are not reached, and every kind of harm."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers import registry
from tests.contract.parties import new_branch
from tests.crash.books import AMOUNT, Books
from tests.crash.combos import COMBOS
from tests.crash.job import Fault, Job
from tests.crash.stage import ALIVE_S, Stage
from tests.crash.theatre import Theatre
from tests.provision.bridge import rows

NEVER = Fault("two-phase", "committing", "Commit", "crash", "before", nth=9)


def transferred(stage: Stage) -> Job:
    """Do a transfer that goes well."""
    job = stage.job("transfer", "sync", gid="g-1", owner_ttl_s=ALIVE_S)
    assert stage.start(job).ended() == {"ended": "committed"}
    return job


def test_a_point_that_was_not_reached_fails_the_test(theatre: Theatre, tmp_path: Path) -> None:
    with theatre.stage(COMBOS[0], tmp_path) as stage:
        child = stage.start(stage.job("transfer", "sync", NEVER, gid="g-1"))
        with pytest.raises(AssertionError, match="never reached"):
            child.ended()
        with pytest.raises(AssertionError):
            child.crashed()


def test_a_transfer_that_went_well_passes(theatre: Theatre, tmp_path: Path) -> None:
    with theatre.stage(COMBOS[0], tmp_path) as stage:
        job = transferred(stage)
        stage.settle()
        stage.check(job, "committed", "commit")
        for ended, outcome in (("committed", "abort"), ("TransactionAborted", "commit")):
            with pytest.raises(AssertionError):
                stage.check(job, ended, outcome)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM effect",
        "INSERT INTO effect SELECT 'twice', gid, amount FROM effect",
        "UPDATE account SET balance = balance + 1 WHERE id = 'ada'",
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_harm_to_the_books_is_noticed(
    harm: str, number: int, theatre: Theatre, tmp_path: Path
) -> None:
    with theatre.stage(COMBOS[0], tmp_path) as stage:
        job = transferred(stage)
        stage.books[number].outside(harm)
        with pytest.raises(AssertionError):
            stage.check(job, "committed", "commit")


def test_a_branch_that_is_left_is_noticed(theatre: Theatre, tmp_path: Path) -> None:
    with theatre.stage(COMBOS[0], tmp_path) as stage:
        job = transferred(stage)
        with closing(registry.participant(stage.places[1].url)) as participant:
            branch = participant.begin(new_branch())
            rows(branch.connection, "UPDATE account SET balance = 0 WHERE id = 'ada'")
            assert branch.prepare().kind == "prepared"
        with pytest.raises(AssertionError):
            stage.check(job, "committed", "commit")


def test_the_books_say_what_was_moved(theatre: Theatre, tmp_path: Path) -> None:
    with theatre.stage(COMBOS[0], tmp_path) as stage:
        transferred(stage)
        assert [books.moved() for books in stage.books] == [-AMOUNT, AMOUNT]
        assert stage.applied("g-1", "transfer")
        assert not Books(stage.places[0]).effects("g-2")
