"""Saga steps on a SQLite file: what they may do, whom they wait for, and what they leave."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers.sqlite.barriers import SqliteBarrier
from concordant.drivers.sqlite.guard import guard
from concordant.drivers.sqlite.stepwork import SqliteStepWork
from concordant.errors import (
    BackendUnavailable,
    StaleFence,
    TransactionAborted,
    UsageError,
)
from tests.provision.sqlite_branches import File

SCHEMA = """
CREATE TABLE account(id TEXT PRIMARY KEY, balance INTEGER NOT NULL);
INSERT INTO account VALUES ('ada', 100), ('bob', 50);
CREATE TABLE parent(id INTEGER PRIMARY KEY);
CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent(id) DEFERRABLE
    INITIALLY DEFERRED);
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path / "bank.db", SCHEMA)
    with closing(made.participant):
        yield made


@pytest.fixture
def barrier(file: File) -> Iterator[SqliteBarrier]:
    with closing(SqliteBarrier(f"sqlite://{file.path}?wait_s=0.3")) as opened:
        yield opened


def debit(barrier: SqliteBarrier, gid: str = "g") -> SqliteStepWork:
    work = barrier.enter(gid, "debit", "action")
    work.connection.execute("UPDATE account SET balance = balance - 30 WHERE id = 'ada'")
    return work


def balance(file: File) -> int:
    [(found,)] = file.rows("SELECT balance FROM account WHERE id = 'ada'")
    return int(found)


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "ROLLBACK",
        "END",
        "ATTACH ':memory:' AS x",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA journal_mode = DELETE",
        "DELETE FROM concordant_barrier",
        "UPDATE concordant_barrier SET verdict = 'void'",
        "INSERT INTO concordant_barrier VALUES ('g', 's', 'action', 'done', '', 0)",
        "DROP TABLE concordant_barrier",
        "ALTER TABLE concordant_barrier ADD COLUMN x",
        "CREATE TRIGGER t AFTER INSERT ON concordant_barrier BEGIN SELECT 1; END",
        "DELETE FROM concordant_meta",
        "SELECT load_extension('x')",
    ],
)
def test_what_would_end_or_undermine_the_step_is_refused(
    file: File, barrier: SqliteBarrier, statement: str
) -> None:
    work = debit(barrier)
    with pytest.raises(UsageError, match="cannot do"):
        work.connection.execute(statement)
    work.commit("1")
    assert balance(file) == 70


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more(x)",
        "CREATE TEMP TABLE scratch(x)",
        "SAVEPOINT s",
        "CREATE INDEX i ON account(balance)",
        "INSERT INTO child VALUES (1, NULL)",
        "PRAGMA table_info(account)",
        "ANALYZE account",
    ],
)
def test_whatever_a_plain_transaction_can_do_is_allowed(
    file: File, barrier: SqliteBarrier, statement: str
) -> None:
    work = debit(barrier)
    work.connection.execute(statement)
    work.commit("1")
    assert balance(file) == 70
    again = barrier.enter("h", "debit", "action")
    temporary = again.connection.execute("SELECT name FROM sqlite_temp_schema").fetchall()
    assert temporary == []
    again.abandon()


def test_a_savepoint_of_the_users_is_the_users(file: File, barrier: SqliteBarrier) -> None:
    work = debit(barrier)
    work.connection.execute("SAVEPOINT s")
    work.connection.execute("UPDATE account SET balance = 0")
    work.connection.execute("ROLLBACK TO s")
    work.connection.execute("RELEASE s")
    work.commit("1")
    assert balance(file) == 70


@pytest.mark.parametrize("end", ["commit", "refuse", "abandon"])
def test_whoever_comes_next_has_the_turn_at_once(
    file: File, barrier: SqliteBarrier, end: str
) -> None:
    work = debit(barrier)
    if end == "abandon":
        work.abandon()
    else:
        getattr(work, end)("1")
    for gid in ("g", "g", "h"):
        entered = barrier.enter(gid, "debit", "action")
        entered.abandon()
    file.rows("UPDATE account SET balance = 1")


def test_a_step_waits_bounded_for_one_that_is_open(file: File, barrier: SqliteBarrier) -> None:
    work = debit(barrier)
    with pytest.raises(BackendUnavailable, match=r"waited 0\.3 s"):
        barrier.enter("h", "debit", "action")
    work.commit("1")
    debit(barrier, "h").commit("1")
    assert balance(file) == 40


def test_a_step_waits_for_one_of_another_process(file: File, barrier: SqliteBarrier) -> None:
    with closing(SqliteBarrier(file.url)) as patient:
        work = debit(barrier)
        threading.Timer(0.1, work.commit, ("1",)).start()
        entered = patient.enter("g", "debit", "action")
        assert (entered.ruling, entered.stored) == ("skip", "1")


def test_a_step_waits_bounded_for_writers_that_take_no_turn(
    file: File, barrier: SqliteBarrier
) -> None:
    debit(barrier).commit("1")
    with file.plain() as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="locked"):
            barrier.enter("h", "debit", "action")
    debit(barrier, "h").commit("1")
    assert balance(file) == 40


def test_rows_in_doubt_are_kept_from_a_step(file: File, barrier: SqliteBarrier) -> None:
    name = file.prepared("UPDATE account SET balance = 5 WHERE id = 'ada'")
    work = barrier.enter("g", "debit", "action")
    with pytest.raises(sqlite3.IntegrityError, match=f"reserved by {name}"):
        work.connection.execute("UPDATE account SET balance = balance - 30 WHERE id = 'ada'")
    # Rows that nobody keeps are free.
    work.connection.execute("UPDATE account SET balance = 51 WHERE id = 'bob'")
    work.abandon()
    file.participant.resolve(name, True)
    debit(barrier).commit("1")
    assert balance(file) == -25


def test_a_guard_in_a_step_refuses_who_came_later(file: File, barrier: SqliteBarrier) -> None:
    class Lease:
        def __init__(self, fence: int) -> None:
            self.fence = fence
            self.owner = f"owner-{fence}"

    work = barrier.enter("g", "debit", "action")
    guard(work.connection, "ada", Lease(2))
    work.commit("1")
    late = barrier.enter("h", "debit", "action")
    with pytest.raises(StaleFence):
        guard(late.connection, "ada", Lease(1))
    late.abandon()


def test_a_deferred_constraint_fails_the_commit_and_nothing_is_kept(
    file: File, barrier: SqliteBarrier
) -> None:
    work = debit(barrier)
    work.connection.execute("INSERT INTO child VALUES (1, 99)")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        work.commit("1")
    assert balance(file) == 100
    assert file.rows("SELECT * FROM concordant_barrier") == []
    debit(barrier).commit("1")
    assert balance(file) == 70


def test_what_sqlite_rolled_back_by_itself_is_not_committed(
    file: File, barrier: SqliteBarrier
) -> None:
    work = debit(barrier)
    with pytest.raises(sqlite3.IntegrityError):
        work.connection.execute("INSERT OR ROLLBACK INTO account VALUES ('ada', 1)")
    with pytest.raises(TransactionAborted):
        work.connection.execute("UPDATE account SET balance = 1")
    with pytest.raises(BackendUnavailable, match="nothing was applied"):
        work.commit("1")
    assert balance(file) == 100
    assert file.rows("SELECT * FROM concordant_barrier") == []


def test_a_refusal_is_stored_even_if_sqlite_rolled_back_by_itself(
    file: File, barrier: SqliteBarrier
) -> None:
    work = debit(barrier)
    with pytest.raises(sqlite3.IntegrityError):
        work.connection.execute("INSERT OR ROLLBACK INTO account VALUES ('ada', 1)")
    work.refuse("no")
    assert barrier.enter("g", "debit", "action").stored == "no"
    assert balance(file) == 100


def test_a_file_that_was_replaced_is_noticed(file: File, barrier: SqliteBarrier) -> None:
    debit(barrier).commit("1")
    os.rename(file.path, file.path.with_suffix(".old"))
    with sqlite3.connect(file.path) as other:
        other.executescript(SCHEMA)
    other.close()
    with pytest.raises(BackendUnavailable, match="replaced"):
        barrier.enter("h", "debit", "action")


def test_a_forked_child_touches_nothing_of_its_parents(file: File, barrier: SqliteBarrier) -> None:
    work = debit(barrier)
    child = os.fork()
    if not child:
        code = 1
        try:
            try:
                barrier.enter("h", "debit", "action")
            except UsageError:
                code = 0
            work.abandon()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    work.commit("1")
    assert balance(file) == 70


def test_a_connection_kept_past_the_step_does_nothing(file: File, barrier: SqliteBarrier) -> None:
    work = debit(barrier)
    kept = work.connection
    work.commit("1")
    other = debit(barrier, "h")
    with pytest.raises(UsageError, match="over"):
        kept.execute("UPDATE account SET balance = 0")
    other.commit("1")
    assert balance(file) == 40
