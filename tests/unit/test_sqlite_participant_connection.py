"""The connection of a branch does everything but end the branch, or outlive it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers.sqlite.handle import BranchConnection
from concordant.errors import UsageError
from tests.provision.sqlite_branches import File

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one')"


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "f.db", SCHEMA)


REFUSED_SQL = [
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    " commit ; ",
    "END",
    "/* really */ ROLLBACK",
    "SAVEPOINT mine",
    "RELEASE concordant_work",
    "ROLLBACK TO concordant_work",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "CREATE TABLE u(a)",
    "CREATE TEMP TABLE u(a)",
    "CREATE TABLE u AS SELECT 1",
    "CREATE INDEX i ON t(v)",
    "CREATE VIEW w AS SELECT 1",
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE u USING fts5(a)",
    "DROP TABLE t",
    "DROP TRIGGER concordant_touch_insert_0",
    "ALTER TABLE t ADD COLUMN w",
    "REINDEX",
    "ANALYZE",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA synchronous = OFF",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA user_version = 7",
    "PRAGMA wal_checkpoint",
    "PRAGMA optimize",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA defer_foreign_keys = ON",
    "SELECT load_extension('x')",
    "SELECT concordant_tick()",
    "DELETE FROM concordant_branch",
    "DELETE FROM CONCORDANT_RESERVATION",
    "UPDATE concordant_meta SET value = ''",
    "DELETE FROM concordant_touched",
    "DELETE FROM temp.concordant_touched",
]


@pytest.mark.parametrize("statement", REFUSED_SQL)
def test_statements_that_no_branch_can_do(statement: str, file: File) -> None:
    # A branch that ends before leaves compiled statements of ours behind; none may serve.
    for ending in ("prepare", "commit_one_phase", "abandon"):
        earlier = file.begin()
        earlier.connection.execute("UPDATE t SET v = 'two'")
        getattr(earlier, ending)()
        for name in file.in_doubt():
            file.participant.resolve(name, True)
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'three'")
    with pytest.raises(UsageError, match="a branch cannot do"):
        branch.connection.execute(statement)
    assert branch.connection.execute("SELECT v FROM t").fetchall() == [("three",)]
    assert file.rows("SELECT v FROM t") == [("two",)]
    assert branch.prepare().kind == "refused"
    assert file.rows("SELECT v FROM t") == [("two",)]
    assert file.rows("PRAGMA journal_mode") == [("wal",)]


ALLOWED_SQL = [
    "PRAGMA table_info(t)",
    "PRAGMA foreign_keys",
    "PRAGMA main.user_version",
    "SELECT name FROM pragma_table_info('t')",
    "SELECT * FROM json_each('[1]')",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
    "SELECT sql FROM sqlite_master",
    "SELECT * FROM concordant_branch",
    "EXPLAIN QUERY PLAN SELECT * FROM t",
]


@pytest.mark.parametrize("statement", ALLOWED_SQL)
def test_reading_is_free(statement: str, file: File) -> None:
    branch = file.begin()
    branch.connection.execute(statement).fetchall()
    assert branch.prepare().kind == "read-only"


CALLS: dict[str, Callable[[BranchConnection], Any]] = {
    "commit": lambda c: c.commit(),
    "rollback": lambda c: c.rollback(),
    "close": lambda c: c.close(),
    "with": lambda c: c.__enter__(),
    "executescript": lambda c: c.executescript("SELECT 1"),
    "a cursor's executescript": lambda c: c.cursor().executescript("SELECT 1"),
    "isolation_level": lambda c: setattr(c, "isolation_level", "DEFERRED"),
    "no isolation_level": lambda c: setattr(c, "isolation_level", None),
    "a cursor class": lambda c: c.cursor(sqlite3.Cursor),  # type: ignore[arg-type]
    "blobopen": lambda c: c.blobopen("t", "v", 1),
    "create_function": lambda c: c.create_function("f", 0, lambda: 1),
    "set_authorizer": lambda c: c.set_authorizer(None),
    "backup": lambda c: c.backup(sqlite3.connect(":memory:")),
    "deserialize": lambda c: c.deserialize(b""),
    "load_extension": lambda c: c.enable_load_extension(True),
    "call": lambda c: c("SELECT 1"),
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_that_would_end_the_branch_or_outlive_it(call: str, file: File) -> None:
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'two'")
    with pytest.raises(UsageError):
        CALLS[call](branch.connection)
    assert branch.connection.in_transaction
    # Such a call reaches no database, so nothing speaks against preparing.
    name = branch._name
    assert branch.prepare().kind == "prepared"
    assert file.rows("SELECT v FROM t") == [("one",)]
    assert file.resolve(name) == "done"


def test_every_method_of_a_connection_is_decided_on() -> None:
    own = set(vars(BranchConnection))
    inherited = {name for name in vars(sqlite3.Connection) if not name.startswith("__")}
    exceptions = {name for name in inherited if isinstance(getattr(sqlite3, name, None), type)}
    # `__exit__` is never reached, and `autocommit` (Python 3.12) can be read, not set.
    assert inherited - own - exceptions - {"autocommit"} == set()


def test_it_is_a_connection_of_sqlite3(file: File) -> None:
    branch = file.begin()
    connection = branch.connection
    assert isinstance(connection, sqlite3.Connection)
    assert connection.isolation_level is None
    connection.row_factory = sqlite3.Row
    cursor = connection.execute("SELECT id AS number, v FROM t WHERE id = :id", {"id": 1})
    assert cursor.connection is connection
    assert cursor.fetchone()["number"] == 1
    connection.row_factory = None
    assert connection.execute("SELECT id FROM t").fetchone() == (1,)
    connection.text_factory = bytes
    assert connection.execute("SELECT v FROM t").fetchone() == (b"one",)
    before = connection.total_changes
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(2, "b"), (3, "c")])
    assert connection.total_changes > before
    assert connection.execute("INSERT INTO t(v) VALUES ('d') RETURNING id").fetchall() == [(4,)]
    assert connection.execute("UPDATE t SET v = 'e' WHERE id > 2").rowcount == 2
    name = branch._name
    assert branch.prepare().kind == "prepared"
    assert file.resolve(name) == "done"
    # What its user set is not handed to the next one.
    assert file.begin().connection.execute("SELECT v FROM t WHERE id = 4").fetchall() == [("e",)]


@pytest.mark.parametrize("ending", ["prepare", "commit_one_phase", "abandon"])
def test_nothing_works_after_the_end(ending: str, file: File) -> None:
    branch = file.begin()
    connection = branch.connection
    cursor = connection.execute("SELECT * FROM t")
    getattr(branch, ending)()
    following = file.begin()
    for call in (
        lambda: connection.execute("DELETE FROM t"),
        lambda: connection.cursor(),
        lambda: connection.executemany("DELETE FROM t WHERE id = ?", [(1,)]),
        lambda: connection.total_changes,
    ):
        with pytest.raises(UsageError, match="over"):
            call()
    assert not connection.in_transaction
    with pytest.raises((sqlite3.ProgrammingError, UsageError)):
        cursor.execute("DELETE FROM t")
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()
    with pytest.raises(UsageError):
        branch.prepare()
    with pytest.raises(UsageError):
        branch.commit_one_phase()
    branch.abandon()
    assert following.connection.execute("SELECT * FROM t").fetchall() == [(1, "one")]
    assert following.prepare().kind == "read-only"


@pytest.mark.parametrize("ending", ["prepare", "commit_one_phase"])
def test_statements_left_open_do_no_harm(ending: str, file: File) -> None:
    file.rows("INSERT INTO t SELECT value, 'x' FROM json_each('[2, 3, 4, 5]')")
    branch = file.begin()
    reading = branch.connection.execute("SELECT * FROM t")
    assert reading.fetchone() == (1, "one")
    writing = branch.connection.execute("UPDATE t SET v = 'y' WHERE id > 1 RETURNING id")
    assert writing.fetchone() == (2,)
    name = branch._name
    getattr(branch, ending)()
    if ending == "prepare":
        assert file.resolve(name) == "done"
    assert file.rows("SELECT count(*) FROM t WHERE v = 'y'") == [(4,)]
    # The connection has no old snapshot left, so the next branch can write.
    file.done("UPDATE t SET v = 'z'")


def test_a_statement_that_no_trigger_sees_is_remembered_for_its_branch_only(
    tmp_path: Path,
) -> None:
    file = File(tmp_path / "f.db", SCHEMA + "; CREATE VIRTUAL TABLE words USING fts5(w)")
    insert = "INSERT INTO words VALUES ('w')"
    for _ in range(2):
        # The second time the compiled statement could come from the cache, unseen.
        vote = file.vote("UPDATE t SET v = 2", insert)
        assert vote.kind == "refused"
        assert "words" in vote.reason
    file.done("UPDATE t SET v = 3")
    assert file.rows("SELECT * FROM words") == []
