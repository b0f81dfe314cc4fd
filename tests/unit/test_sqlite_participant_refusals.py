"""What cannot be prepared safely is refused at the vote, with the reason and without a trace."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from concordant.errors import TransactionAborted, UsageError
from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File

WIDE = ", ".join(f"c{i}" for i in range(9))

# schema, statement, what the reason must name
REFUSED = {
    "no primary key": (
        "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)",
        "UPDATE t SET b = 3",
        "no primary key",
    ),
    "a unique constraint": (
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE); INSERT INTO t VALUES (1, 2)",
        "UPDATE t SET b = 3",
        "unique index",
    ),
    "a unique index": (
        "CREATE TABLE t(a TEXT PRIMARY KEY, b); CREATE UNIQUE INDEX one_b ON t(b)",
        "INSERT INTO t VALUES ('x', 1)",
        "one_b",
    ),
    "a partial unique index": (
        "CREATE TABLE t(a TEXT PRIMARY KEY, b); CREATE UNIQUE INDEX i ON t(b) WHERE b > 9",
        "INSERT INTO t VALUES ('x', 1)",
        "unique index",
    ),
    "a foreign key": (
        "CREATE TABLE p(a PRIMARY KEY); CREATE TABLE t(a PRIMARY KEY, b REFERENCES p(a));"
        "INSERT INTO p VALUES (1)",
        "INSERT INTO t VALUES (1, 1)",
        "foreign key",
    ),
    "the parent of a foreign key": (
        'CREATE TABLE "T"(a PRIMARY KEY); CREATE TABLE c(a PRIMARY KEY, b REFERENCES t(a))',
        "INSERT INTO T VALUES (1)",
        "foreign key",
    ),
    "a cascade into another table": (
        "CREATE TABLE p(a INTEGER PRIMARY KEY);"
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b REFERENCES p(a) ON DELETE CASCADE);"
        "INSERT INTO p VALUES (1); INSERT INTO t VALUES (1, 1)",
        "DELETE FROM p",
        "foreign key",
    ),
    "a trigger": (
        "CREATE TABLE t(a PRIMARY KEY, b); CREATE TABLE log(a INTEGER PRIMARY KEY, b);"
        "CREATE TRIGGER audit AFTER INSERT ON t BEGIN INSERT INTO log(b) VALUES (NEW.a); END",
        "INSERT INTO t VALUES (1, 1)",
        "audit",
    ),
    "a virtual table": (
        "CREATE VIRTUAL TABLE t USING fts5(body)",
        "INSERT INTO t VALUES ('words')",
        "t",
    ),
    "the sequence of ids": (
        "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (5)",
        "UPDATE sqlite_sequence SET seq = 100",
        "sqlite_sequence",
    ),
    "NULL in the primary key": (
        "CREATE TABLE t(a TEXT PRIMARY KEY, b)",
        "INSERT INTO t VALUES (NULL, 1)",
        "rows with NULL in their primary key",
    ),
    "a key of nine columns": (
        f"CREATE TABLE t({WIDE}, PRIMARY KEY ({WIDE}))",
        "INSERT INTO t VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9)",
        "more than 8",
    ),
    "text that is not UTF-8": (
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
        "INSERT INTO t VALUES (1, CAST(x'fffe41' AS TEXT))",
        "UTF-8",
    ),
}


def dump(file: File) -> list[str]:
    with file.plain() as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        return list(connection.iterdump())


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason_and_without_a_trace(case: str, tmp_path: Path) -> None:
    schema, statement, reason = REFUSED[case]
    file = File(tmp_path / "f.db", schema + "; CREATE TABLE good(id TEXT PRIMARY KEY, n)")
    file.participant.resource()
    before = dump(file)
    name = new_branch()
    vote = file.vote("INSERT INTO good VALUES ('x', 1)", statement, name=name)
    assert vote.kind == "refused"
    assert reason in vote.reason
    assert str(file.path) in vote.reason
    assert dump(file) == before
    assert file.in_doubt() == []
    assert file.resolve(str(name), True) == "missing"
    # The next branch is not held up by this one, nor blamed for it.
    file.done("INSERT INTO good VALUES ('y', 1)")
    assert file.rows("SELECT id FROM good") == [("y",)]


@pytest.mark.parametrize("case", sorted(set(REFUSED) - {"NULL in the primary key"}))
def test_what_cannot_be_prepared_can_commit_in_one_phase(case: str, tmp_path: Path) -> None:
    schema, statement, _ = REFUSED[case]
    file, twin = (File(tmp_path / name, schema) for name in ("f.db", "twin.db"))
    name = new_branch()
    branch = file.begin(name)
    branch.connection.execute(statement)
    branch.commit_one_phase()
    with twin.plain() as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement)
    assert file.participant.committed(str(name))
    mine = [line for line in dump(file) if "concordant" not in line]
    assert mine == dump(twin)


def test_a_failed_statement_on_the_way_is_no_reason_to_refuse(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b NOT NULL)")
    branch = file.begin()
    connection = branch.connection
    connection.execute("INSERT INTO t VALUES (1, 'kept')")
    for statement in (
        "INSERT INTO t VALUES (2, 'gone'), (3, 'gone'), (1, 'taken')",
        "UPDATE t SET b = NULL",
        "INSERT OR FAIL INTO t VALUES (4, 'kept'), (1, 'taken'), (5, 'never')",
    ):
        with pytest.raises(Exception, match="constraint failed"):
            connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO t VALUES (6, 'kept'), (1, 'ignored')")
    name = branch._name
    assert branch.prepare().kind == "prepared"
    file.resolve(name, True)
    assert file.rows("SELECT * FROM t") == [(1, "kept"), (4, "kept"), (6, "kept")]


def test_changes_that_no_trigger_saw_are_refused(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    file.done("INSERT INTO t VALUES (1, 1), (2, 2)")
    branch = file.begin()
    with branch._session.trust() as raw:
        number = list(branch._session.catalog.tables).index("t")
        raw.execute(f"DROP TRIGGER temp.concordant_touch_update_{number}")
    branch.connection.execute("REPLACE INTO t VALUES (2, 22)")
    branch.connection.execute("UPDATE t SET b = 11")
    vote = branch.prepare()
    assert vote.kind == "refused"
    assert "noted" in vote.reason
    assert file.rows("SELECT * FROM t") == [(1, 1), (2, 2)]


def test_an_attempt_at_ddl_spoils_the_branch_and_no_later_one(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY)")
    branch = file.begin()
    branch.connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(UsageError, match="CREATE INDEX"):
        branch.connection.execute("CREATE INDEX i ON t(a)")
    vote = branch.prepare()
    assert vote.kind == "refused"
    assert "CREATE INDEX" in vote.reason
    file.done("INSERT INTO t VALUES (2)")


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
        "CREATE TABLE t(a INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, b)",
    ],
)
def test_a_branch_that_sqlite_rolled_back_does_nothing_more(schema: str, tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", schema + "; INSERT INTO t VALUES (1, 'there')")
    for ending in ("prepare", "commit_one_phase"):
        branch = file.begin()
        cursor = branch.connection.cursor()
        cursor.execute("INSERT INTO t VALUES (2, 'work')")
        clause = "" if "ROLLBACK" in schema else "OR ROLLBACK"
        with pytest.raises(Exception, match="UNIQUE"):
            cursor.execute(f"INSERT {clause} INTO t VALUES (1, 'taken')")
        for run in (cursor.execute, branch.connection.execute):
            with pytest.raises(TransactionAborted):
                run("INSERT INTO t VALUES (3, 'alone')")
        if ending == "prepare":
            assert branch.prepare().kind == "refused"
        else:
            with pytest.raises(TransactionAborted):
                branch.commit_one_phase()
        assert file.rows("SELECT * FROM t") == [(1, "there")]


def test_even_a_cursor_of_the_real_connection_writes_nothing_after_a_rollback(
    tmp_path: Path,
) -> None:
    # The second line of defence: the capture triggers themselves.
    file = File(tmp_path / "f.db", "CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES (1)")
    branch = file.begin()
    raw = branch._session.raw
    with pytest.raises(Exception, match="UNIQUE"):
        raw.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
    for verb in ("INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"):
        with pytest.raises(Exception, match="rolled back"):
            raw.execute(f"{verb} INTO t VALUES (2)")
    branch.abandon()
    assert file.rows("SELECT * FROM t") == [(1,)]


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY)")
    name = new_branch()
    assert file.vote("INSERT INTO t VALUES (1)", name=name).kind == "prepared"
    assert file.vote("INSERT INTO t VALUES (2)", name=name).kind == "refused"
    assert file.resolve(str(name), True) == "done"
    assert file.vote("INSERT INTO t VALUES (3)", name=name).kind == "refused"
    branch = file.begin(name)
    with pytest.raises(TransactionAborted):
        branch.commit_one_phase()
    assert file.rows("SELECT * FROM t") == [(1,)]


def test_a_constraint_that_waits_for_the_commit_aborts_one_phase(tmp_path: Path) -> None:
    file = File(
        tmp_path / "f.db",
        "CREATE TABLE p(a PRIMARY KEY); CREATE TABLE t(a PRIMARY KEY,"
        " b REFERENCES p(a) DEFERRABLE INITIALLY DEFERRED)",
    )
    name = new_branch()
    branch = file.begin(name)
    branch.connection.execute("INSERT INTO t VALUES (1, 'nobody')")
    with pytest.raises(TransactionAborted, match="FOREIGN KEY"):
        branch.commit_one_phase()
    assert not file.participant.committed(str(name))
    assert file.rows("SELECT * FROM t") == []


def test_closing_the_participant_ends_its_branches(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY)")
    with closing(file.participant):
        branch = file.begin()
        branch.connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(UsageError):
        branch.connection.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(UsageError):
        branch.prepare()
    assert file.rows("INSERT INTO t VALUES (3) RETURNING a") == [(3,)]
    with pytest.raises(UsageError):
        file.begin()
