"""What comes in between: programs that take no turn, interrupts, and branches that are lost."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers.sqlite import branches, capture
from concordant.drivers.sqlite.branch import SqliteBranch
from tests.provision.sqlite_branches import File

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one')"


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "f.db", SCHEMA)


def at(
    monkeypatch: pytest.MonkeyPatch, branch: SqliteBranch, statement: str, do: Callable[[], object]
) -> None:
    """Do something right after a statement of the branch's own."""
    run = branch._session.run

    def then(text: str, parameters: Any = ()) -> sqlite3.Cursor:
        cursor = run(text, parameters)
        if text == statement:
            do()
        return cursor

    monkeypatch.setattr(branch._session, "run", then)


def test_a_program_that_writes_at_the_moment_of_the_vote_spoils_it(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = v || ' more'")
    at(monkeypatch, branch, "ROLLBACK", lambda: file.rows("UPDATE t SET v = 'theirs'"))
    vote = branch.prepare()
    assert vote.kind == "refused"
    assert "another program" in vote.reason
    assert file.rows("SELECT v FROM t") == [("theirs",)]
    assert file.in_doubt() == []


def test_programs_that_only_read_spoil_nothing(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'two'")
    at(monkeypatch, branch, "ROLLBACK", lambda: file.rows("SELECT * FROM t"))
    assert branch.prepare().kind == "prepared"


def test_a_program_that_stays_in_between_refuses_the_vote_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.2)
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'two'")
    with file.plain() as other:
        at(monkeypatch, branch, "ROLLBACK", lambda: other.execute("BEGIN IMMEDIATE"))
        vote = branch.prepare()
        other.execute("ROLLBACK")
    assert vote.kind == "refused"
    monkeypatch.undo()
    file.done("UPDATE t SET v = 'three'")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("ending", ["prepare", "commit_one_phase"])
@pytest.mark.parametrize(
    "statement", [capture.READ, capture.DISARM, "ROLLBACK", branches.INSERT, "COMMIT"]
)
def test_an_interrupt_leaves_nothing_taken(
    statement: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.5)
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'two'")
    at(monkeypatch, branch, statement, interrupt)
    try:
        getattr(branch, ending)()
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    monkeypatch.undo()
    branch.abandon()
    # Whether it came before COMMIT is unknown to the caller; the file knows.
    if ending == "commit_one_phase":
        assert file.participant.committed(branch._name) == (
            statement == "COMMIT" or not interrupted
        )
    else:
        prepared = statement == "COMMIT" or not interrupted
        assert file.in_doubt() == ([branch._name] if prepared else [])
    for name in file.in_doubt():
        assert file.participant.resolve(name, True) == "done"
    file.done("UPDATE t SET v = 'three'")


def test_a_branch_that_is_lost_gives_up_what_it_held(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.5)
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'two'")
    del branch
    gc.collect()
    file.done("UPDATE t SET v = v || ' three'")
    assert file.rows("SELECT v FROM t") == [("one three",)]
