"""Rows in doubt are kept from every writer of the file, and from nobody else."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, v);
CREATE TABLE pair(a TEXT, b INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four');
INSERT INTO pair VALUES ('x', 1, 0), ('x', 2, 0), ('y', 1, 0);
"""
WORK = [
    "UPDATE t SET v = 'ONE' WHERE id = 1",
    "DELETE FROM t WHERE id = 2",
    "UPDATE t SET id = 30 WHERE id = 3",
    "INSERT INTO t VALUES (50, 'new')",
    "UPDATE pair SET v = 1 WHERE a = 'x' AND b = 1",
]
STOPPED = [
    "UPDATE t SET v = 'other' WHERE id = 1",
    "UPDATE t SET id = 9 WHERE id = 1",
    "DELETE FROM t WHERE id = 1",
    "REPLACE INTO t VALUES (1, 'other')",
    "INSERT OR IGNORE INTO t VALUES (1, 'other')",
    "INSERT INTO t VALUES (1, 'other') ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (1, 'other') ON CONFLICT DO UPDATE SET v = 'other'",
    "DELETE FROM t WHERE id = 2",
    "UPDATE OR IGNORE t SET v = 'other' WHERE id = 2",
    "UPDATE t SET v = 'other' WHERE id = 3",
    "REPLACE INTO t VALUES (3, 'other')",
    "INSERT INTO t VALUES (30, 'other')",
    "UPDATE t SET id = 30 WHERE id = 4",
    "UPDATE OR REPLACE t SET id = 50 WHERE id = 4",
    "INSERT OR REPLACE INTO t VALUES ('50', 'other')",
    "UPDATE t SET v = 'all of them'",
    "DELETE FROM t",
    "UPDATE pair SET v = 9 WHERE a = 'x'",
    "DELETE FROM pair WHERE b = 1",
    "REPLACE INTO pair VALUES ('x', '1', 9)",
    "UPDATE OR REPLACE pair SET a = 'x' WHERE a = 'y'",
]
FREE = [
    "UPDATE t SET v = 'other' WHERE id = 4",
    "REPLACE INTO t VALUES (4, 'other')",
    "INSERT INTO t VALUES (5, 'other')",
    "UPDATE pair SET v = 9 WHERE a = 'x' AND b = 2",
    "INSERT INTO pair VALUES ('1', 1, 0)",
    "DELETE FROM pair WHERE a = 'y'",
]

# A program's connection with recursive_triggers on or off, and the shell where there is one.
WRITERS = ["ON", "OFF", *(["shell"] if shutil.which("sqlite3") else [])]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "f.db", SCHEMA)


def write(file: File, writer: str, statement: str) -> str:
    """Run the statement as this writer would, and return what it is told."""
    if writer == "shell":
        done = subprocess.run(
            ["sqlite3", str(file.path), statement], capture_output=True, text=True, timeout=20
        )
        assert (done.returncode == 0) == (done.stderr == "")
        return done.stderr
    with file.plain() as connection:
        connection.execute(f"PRAGMA recursive_triggers = {writer}")
        connection.execute("BEGIN")
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError as error:
            return str(error)
        finally:
            connection.execute("COMMIT")
    return ""


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("statement", STOPPED)
def test_whoever_writes_a_row_in_doubt_is_stopped(statement: str, writer: str, file: File) -> None:
    name = file.prepared(*WORK)
    before = file.rows("SELECT * FROM t"), file.rows("SELECT * FROM pair")
    assert "concordant: reserved by" in write(file, writer, statement)
    assert (file.rows("SELECT * FROM t"), file.rows("SELECT * FROM pair")) == before
    assert file.resolve(name) == "done"
    expected = [(1, "ONE"), (4, "four"), (30, "three"), (50, "new")]
    assert file.rows("SELECT * FROM t") == expected
    assert write(file, writer, "DELETE FROM t") == ""


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("statement", FREE)
def test_other_rows_are_free(statement: str, writer: str, file: File) -> None:
    name = file.prepared(*WORK)
    assert write(file, writer, statement) == ""
    assert file.resolve(name, False) == "done"
    assert (1, "one") in file.rows("SELECT * FROM t")


@pytest.mark.parametrize("statement", STOPPED)
def test_another_branch_is_stopped_and_told_by_whom(statement: str, file: File) -> None:
    name = file.prepared(*WORK)
    branch = file.begin()
    connection = branch.connection
    connection.execute("INSERT INTO t VALUES (7, 'mine')")
    with pytest.raises(sqlite3.IntegrityError) as caught:
        connection.execute(statement)
    assert str(caught.value).startswith(f"concordant: reserved by {name}")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER
    # The statement alone is undone, and the branch can go on.
    second = branch._name
    assert branch.prepare().kind == "prepared"
    assert file.resolve(name) == file.resolve(second) == "done"
    assert file.rows("SELECT v FROM t WHERE id = 7") == [("mine",)]


def test_many_rows_at_once_are_told_too(file: File) -> None:
    name = file.prepared(*WORK)
    branch = file.begin()
    with pytest.raises(sqlite3.IntegrityError, match=name):
        branch.connection.executemany("DELETE FROM t WHERE id = ?", [(4,), (1,)])
    branch.abandon()


def test_an_id_that_sqlite_chooses_is_not_one_in_doubt(file: File) -> None:
    # The branch's row 51 is not there yet, so SQLite would give 51 to the next one.
    name = file.prepared("INSERT INTO t(v) VALUES ('mine')")
    for recursive in ("ON", "OFF"):
        with file.plain() as connection:
            connection.execute(f"PRAGMA recursive_triggers = {recursive}")
            for verb in ("INSERT", "REPLACE", "INSERT OR IGNORE"):
                with pytest.raises(sqlite3.IntegrityError, match="concordant"):
                    connection.execute(f"{verb} INTO t(v) VALUES ('theirs')")
    assert file.resolve(name) == "done"
    assert file.rows("INSERT INTO t(v) VALUES ('theirs') RETURNING id") == [(6,)]


@pytest.mark.parametrize("column", ["v", "rowid", "oid"])
def test_a_row_in_doubt_cannot_be_replaced_by_its_row_id(column: str, tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", f"CREATE TABLE t(k TEXT PRIMARY KEY, {column})")
    alias = "_rowid_" if column == "rowid" else "rowid"
    file.rows("INSERT INTO t VALUES ('a', 1), ('b', 2)")
    name = file.prepared(f"UPDATE t SET {column} = 5 WHERE k = 'a'")
    for recursive in ("ON", "OFF"):
        for statement in (
            f"REPLACE INTO t({alias}, k) VALUES (1, 'c')",
            f"UPDATE OR REPLACE t SET {alias} = 1 WHERE k = 'b'",
        ):
            assert "concordant: reserved by" in write(file, recursive, statement)
    assert file.resolve(name) == "done"
    # In a branch, such a statement does what it does elsewhere.
    file.done(f"REPLACE INTO t({alias}, k) VALUES (1, 'c')")
    assert file.rows(f"SELECT k, {column} FROM t ORDER BY k") == [("b", 2), ("c", None)]


def test_two_branches_keep_their_own_rows(file: File) -> None:
    first = file.prepared("UPDATE t SET v = 'a' WHERE id = 1")
    second = file.prepared("UPDATE t SET v = 'b' WHERE id = 2")
    branch = file.begin()
    with pytest.raises(sqlite3.IntegrityError, match=f"{min(first, second)} or"):
        branch.connection.execute("DELETE FROM t WHERE id = 1")
    branch.abandon()
    assert file.resolve(first, False) == "done"
    file.rows("UPDATE t SET v = 'free' WHERE id = 1")
    with pytest.raises(sqlite3.IntegrityError):
        file.rows("UPDATE t SET v = 'not free' WHERE id = 2")
    assert file.resolve(second) == "done"
    assert file.rows("SELECT v FROM t WHERE id < 3") == [("free",), ("b",)]


def test_a_connection_that_was_open_before_the_first_prepare_is_stopped(file: File) -> None:
    with file.plain() as early:
        early.execute("UPDATE t SET v = 'early' WHERE id = 1")
        name = file.prepared(*WORK)
        with pytest.raises(sqlite3.IntegrityError, match="concordant"):
            early.execute("UPDATE t SET v = 'early' WHERE id = 1")
    file.resolve(name)


def test_triggers_are_made_once_and_renewed_when_they_are_lost(file: File) -> None:
    file.done("INSERT INTO t VALUES (10, 0)")
    version = file.rows("PRAGMA schema_version")
    file.done("INSERT INTO t VALUES (11, 0)")
    assert file.rows("PRAGMA schema_version") == version
    names = file.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'concordant_keep_%_t'")
    assert len(names) == 4
    file.rows(f"DROP TRIGGER {names[0][0]}")
    name = file.prepared("UPDATE t SET v = 1")
    for statement in ("DELETE FROM t", "UPDATE t SET v = 2", "REPLACE INTO t VALUES (1, 2)"):
        with pytest.raises(sqlite3.IntegrityError):
            file.rows(statement)
    file.resolve(name)


def test_a_renamed_table_keeps_no_rows_of_its_successor(file: File) -> None:
    file.done("INSERT INTO t VALUES (10, 0)")
    with file.plain() as connection:
        connection.execute("ALTER TABLE t RENAME TO old")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    name = file.prepared("INSERT INTO t VALUES (1, 'new')")
    with pytest.raises(sqlite3.IntegrityError):
        file.rows("INSERT INTO t VALUES (1, 'other')")
    assert file.resolve(name) == "done"
    assert file.rows("SELECT * FROM t") == [(1, "new")]


def test_guards_of_the_same_name_are_kept_apart(file: File) -> None:
    name = new_branch()
    branch = file.begin(name)
    insert = "INSERT INTO concordant_guard VALUES (?, 1, 'me')"
    branch.connection.execute(insert, ("account/1",))
    assert branch.prepare().kind == "prepared"
    with pytest.raises(sqlite3.IntegrityError, match="concordant: reserved"):
        file.rows(insert, "account/1")
    file.rows(insert, "account/2")
    assert file.resolve(str(name)) == "done"
    assert len(file.rows("SELECT * FROM concordant_guard")) == 2
