"""From the vote to the end: evidence, in doubt, turns, changed schemas, forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from concordant.clock import ManualClock
from concordant.drivers.sqlite import branches
from concordant.drivers.sqlite.manager import SqliteParticipant
from concordant.errors import (
    BackendUnavailable,
    OutcomeUnknown,
    TransactionAborted,
    TransactionStuck,
    UsageError,
)
from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one')"
WEEK_S = 7 * 24 * 3600


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "f.db", SCHEMA)


def test_the_file_shows_what_is_prepared_to_anybody(file: File) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    query = "SELECT branch, state FROM concordant_branch WHERE state = 'prepared'"
    assert file.rows(query) == [(name, "prepared")]
    (found,) = file.participant.in_doubt()
    assert found.branch == name
    assert f"process {os.getpid()}" in found.detail
    assert "t 1" in found.detail
    file.resolve(name)
    assert file.rows(query) == []
    assert file.rows("SELECT count(*) FROM concordant_reservation") == [(0,)]
    assert file.rows("SELECT state, redo FROM concordant_branch") == [("committed", None)]


def test_what_a_branch_commits_by_itself_is_synced_before_others_see_it(file: File) -> None:
    branch = file.begin()
    assert branch.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert branch.connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert file.rows("PRAGMA journal_mode") == [("wal",)]


def test_evidence_is_purged_after_a_week_and_prepared_branches_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "PURGE_EVERY", 1)
    clock = ManualClock()
    file = File(tmp_path / "f.db", SCHEMA, clock)

    def commit(name: str) -> None:
        assert file.participant.resolve(name, True) == "done"

    stuck = file.prepared("INSERT INTO t VALUES (100, 'stuck')")
    late = file.prepared("INSERT INTO t VALUES (101, 'late')")
    early = file.prepared("INSERT INTO t VALUES (102, 'early')")
    commit(early)
    clock.advance_s(WEEK_S - 1)
    commit(late)
    assert file.participant.resolve(early, True) == "already"
    clock.advance_s(2)
    commit(file.prepared("INSERT INTO t VALUES (103, 'now')"))
    assert file.participant.resolve(early, True) == "missing"
    # Its week starts with its commit, not with its prepare.
    assert file.participant.resolve(late, True) == "already"
    clock.advance_s(WEEK_S * 9)
    commit(file.prepared("INSERT INTO t VALUES (104, 'now')"))
    assert file.participant.resolve(late, True) == "missing"
    (found,) = file.participant.in_doubt()
    assert (found.branch, round(found.age_s)) == (stuck, WEEK_S * 10 + 1)
    assert file.participant.resolve(stuck, True) == "done"


def test_one_phase_purges_too_and_in_small_amounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "PURGE_EVERY", 1)
    monkeypatch.setattr(branches, "PURGE_ROWS", 3)
    clock = ManualClock()
    file = File(tmp_path / "f.db", SCHEMA, clock)
    for number in range(10, 18):
        file.prepared(f"INSERT INTO t VALUES ({number}, 'old')")
    for name in file.in_doubt():
        file.resolve(name)
    file.rows("UPDATE concordant_branch SET created_us = ?", clock.wall_us())
    clock.advance_s(WEEK_S + 1)
    counts = [8]
    while counts[-1] and len(counts) < 20:
        branch = file.begin()
        branch.connection.execute("INSERT INTO t(v) VALUES ('new')")
        branch.commit_one_phase()
        query = "SELECT count(*) FROM concordant_branch WHERE created_us < ?"
        counts += [count for (count,) in file.rows(query, clock.wall_us())]
    assert counts[-1] == 0
    assert all(0 <= one - two <= 3 for one, two in pairwise(counts))
    assert len(file.rows("SELECT * FROM concordant_branch")) == len(counts) - 1


def test_a_no_is_a_promise(file: File) -> None:
    name = new_branch()
    assert not file.participant.committed(str(name))
    branch = file.begin(name)
    branch.connection.execute("UPDATE t SET v = 'late'")
    with pytest.raises(TransactionAborted):
        branch.commit_one_phase()
    assert file.vote("UPDATE t SET v = 'late'", name=name).kind == "refused"
    assert not file.participant.committed(str(name))
    assert file.resolve(str(name), True) == "missing"
    assert file.rows("SELECT v FROM t") == [("one",)]


def test_whether_a_prepared_branch_has_committed_is_open(file: File) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    with pytest.raises(OutcomeUnknown):
        file.participant.committed(name)
    file.resolve(name)
    assert file.participant.committed(name)


def test_whether_a_branch_under_way_has_committed_waits_for_it(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.2)
    name = new_branch()
    branch = file.begin(name)
    branch.connection.execute("UPDATE t SET v = 'two'")
    with pytest.raises(BackendUnavailable):
        file.participant.committed(str(name))
    branch.commit_one_phase()
    assert file.participant.committed(str(name))


# --- waiting ------------------------------------------------------------------------------


def test_the_wait_to_begin_is_bounded(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.2)
    branch = file.begin()
    for call in (file.begin, lambda: file.resolve("x", True)):
        with pytest.raises(BackendUnavailable, match=f"process {os.getpid()} has"):
            call()
    branch.abandon()
    file.begin().abandon()


def test_the_wait_for_a_program_that_takes_no_turn_is_bounded(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", SCHEMA, wait_s=0.2)
    file.participant.resource()
    with file.plain() as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (file.begin, lambda: file.resolve("x", True)):
            with pytest.raises(BackendUnavailable, match="locked"):
                call()
        other.execute("ROLLBACK")
    file.begin().abandon()


def test_branches_of_many_threads_go_one_after_another(file: File) -> None:
    def add(participant: SqliteParticipant) -> None:
        for _ in range(5):
            name = new_branch()
            # Its row may be in doubt in between; then it is this thread's turn again later.
            while True:
                branch = participant.begin(name)
                try:
                    branch.connection.execute("UPDATE t SET v = v + 1")
                    break
                except sqlite3.IntegrityError:
                    branch.abandon()
                    time.sleep(0.001)
            assert branch.prepare().kind == "prepared"
            assert participant.resolve(str(name), True) == "done"

    file.rows("UPDATE t SET v = 0")
    with closing(SqliteParticipant(file.url)) as second:
        threads = [
            threading.Thread(target=add, args=(participant,))
            for participant in (file.participant, second)
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert file.rows("SELECT v FROM t") == [(30,)]


def test_reading_waits_for_nobody(file: File) -> None:
    name = file.prepared("UPDATE t SET v = 'two'")
    branch = file.begin()
    assert file.in_doubt() == [name]
    assert file.rows("SELECT v FROM t") == [("one",)]
    branch.abandon()


# --- schemas that change ------------------------------------------------------------------


def test_triggers_follow_the_schema(file: File) -> None:
    file.done("UPDATE t SET v = 'two'")
    with file.plain() as connection:
        connection.execute("ALTER TABLE t ADD COLUMN w DEFAULT 'w'")
        connection.execute("CREATE TABLE u(k TEXT PRIMARY KEY, x)")
    file.done("UPDATE t SET w = 'new'", "INSERT INTO u VALUES ('k', 1)")
    assert file.rows("SELECT * FROM t, u") == [(1, "two", "new", "k", 1)]
    with file.plain() as connection:
        connection.execute("DROP TABLE u")
        connection.execute("CREATE TABLE u(x, k INTEGER, PRIMARY KEY (k, x))")
    file.done("INSERT INTO u VALUES ('x', 2)")
    assert file.rows("SELECT * FROM u") == [("x", 2)]


CHANGED = {
    "dropped": "DROP TABLE t",
    "renamed": "ALTER TABLE t RENAME TO u",
    "a column less": "ALTER TABLE t DROP COLUMN v",
    "a unique index more": "CREATE UNIQUE INDEX one ON t(v)",
    "a trigger more": "CREATE TRIGGER r AFTER UPDATE ON t BEGIN SELECT 1; END",
    "another key": "DROP TABLE t; CREATE TABLE t(id, v PRIMARY KEY)",
}
MENDED = {
    "renamed": "ALTER TABLE u RENAME TO t",
    "a unique index more": "DROP INDEX one",
    "a trigger more": "DROP TRIGGER r",
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_schema_that_no_longer_takes_the_rows_keeps_the_branch(change: str, file: File) -> None:
    name = file.prepared("UPDATE t SET v = 'two'", "INSERT INTO t VALUES (5, 'five')")
    with file.plain() as connection:
        connection.executescript(CHANGED[change])
    for _ in range(2):
        with pytest.raises(TransactionStuck, match=name):
            file.participant.resolve(name, True)
    assert file.in_doubt() == [name]
    if change in MENDED:
        file.rows(MENDED[change])
        assert file.participant.resolve(name, True) == "done"
        assert file.rows("SELECT v FROM t") == [("two",), ("five",)]
    else:
        assert file.participant.resolve(name, False) == "done"
    assert file.rows("SELECT count(*) FROM concordant_reservation") == [(0,)]


def test_a_column_more_is_no_hindrance(file: File) -> None:
    name = file.prepared("UPDATE t SET v = 'two'", "INSERT INTO t VALUES (5, 'five')")
    file.rows("ALTER TABLE t ADD COLUMN w DEFAULT 'w'")
    assert file.participant.resolve(name, True) == "done"
    assert file.rows("SELECT * FROM t") == [(1, "two", "w"), (5, "five", "w")]


# --- files and processes ------------------------------------------------------------------


def test_a_file_that_was_replaced_is_not_written_any_more(file: File, tmp_path: Path) -> None:
    file.done("UPDATE t SET v = 'two'")
    aside = tmp_path / "aside.db"
    os.replace(file.path, aside)
    File(file.path, SCHEMA)
    with pytest.raises(BackendUnavailable, match="replaced"):
        file.begin()
    assert file.rows("SELECT v FROM t") == [("one",)]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 100)
    for path, error in (("text.db", UsageError), ("no/such/folder/f.db", UsageError)):
        with pytest.raises(error, match=path):
            SqliteParticipant(f"sqlite://{tmp_path}/{path}").resource()


def test_a_forked_child_neither_ends_nor_holds_the_parents_branch(file: File) -> None:
    file.done("UPDATE t SET v = 'two'")
    branch = file.begin()
    branch.connection.execute("UPDATE t SET v = 'three'")
    name = branch._name
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        refused = 0
        for call in (file.begin, file.participant.in_doubt, branch.prepare):
            try:
                call()
            except UsageError:
                refused += 1
        os.write(writer, bytes([refused]))
        # Stay alive, so that a lock it had inherited would be held.
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(reader, 1) == b"\x03"
        assert branch.prepare().kind == "prepared"
        assert file.participant.resolve(name, True) == "done"
        assert file.rows("SELECT v FROM t") == [("three",)]
        file.begin().abandon()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
