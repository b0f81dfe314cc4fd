"""What a branch wrote is what its commit writes: every value, every kind of table and key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.contract.parties import new_branch
from tests.provision.sqlite_branches import File

VALUES: list[Any] = [
    None,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**53 + 1,
    0.0,
    -0.0,
    0.1,
    5e-324,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    1e22,
    3.0,
    "",
    "é \U0001f512 'q' \"d\" \\ \n\t",
    "nul\0inside",
    "\ufeff\u2028\x7f\x01",
    '{"blob": "00"}',
    "123",
    b"",
    b"\x00\xff'\"{}",
    bytes(range(256)) * 40,
]


def exact(value: Any) -> tuple[str, str]:
    """What tells -0.0 from 0.0, 3 from 3.0 and text from blobs."""
    return type(value).__name__, repr(value)


@pytest.mark.parametrize("declared", ["", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC"])
def test_every_value_comes_back_exactly(declared: str, tmp_path: Path) -> None:
    schema = f"CREATE TABLE t(id INTEGER PRIMARY KEY, v {declared})"
    file, twin = File(tmp_path / "f.db", schema), File(tmp_path / "twin.db", schema)
    name = new_branch()
    branch = file.begin(name)
    insert = "INSERT INTO t(v) VALUES (?)"
    branch.connection.executemany(insert, [(value,) for value in VALUES])
    assert branch.prepare().kind == "prepared"
    assert file.resolve(str(name)) == "done"
    with twin.plain() as connection:
        connection.executemany(insert, [(value,) for value in VALUES])
    query = "SELECT id, v, typeof(v), CAST(v AS BLOB) FROM t"
    mine, direct = file.rows(query), twin.rows(query)
    assert [list(map(exact, row)) for row in mine] == [list(map(exact, row)) for row in direct]
    assert len(mine) == len(VALUES)


@pytest.mark.parametrize("declared", ["", "INT", "REAL", "TEXT", "BLOB", "TEXT COLLATE RTRIM"])
@pytest.mark.parametrize("rowid", ["", "WITHOUT ROWID"])
def test_every_value_can_be_a_key(declared: str, rowid: str, tmp_path: Path) -> None:
    schema = f"CREATE TABLE t(k {declared} NOT NULL PRIMARY KEY, n) {rowid}"
    file, twin = File(tmp_path / "f.db", schema), File(tmp_path / "twin.db", schema)
    keys = [(value,) for value in VALUES if value is not None]
    steps = [
        ("INSERT OR IGNORE INTO t VALUES (?, 1)", keys),
        ("UPDATE t SET n = n + 1 WHERE k = ?", keys),
        ("DELETE FROM t WHERE k = ?", keys[::3]),
    ]
    for statement, parameters in steps:
        name = new_branch()
        branch = file.begin(name)
        branch.connection.executemany(statement, parameters)
        assert branch.prepare().kind == "prepared"
        assert file.resolve(str(name)) == "done"
        with twin.plain() as connection:
            connection.executemany(statement, parameters)
        query = "SELECT k, n FROM t ORDER BY typeof(k), k"
        mine, direct = file.rows(query), twin.rows(query)
        assert [list(map(exact, row)) for row in mine] == [list(map(exact, row)) for row in direct]
    assert file.rows("SELECT count(*) FROM concordant_reservation") == [(0,)]


ODD = [
    "select",
    'quo"te',
    "apo'strophe",
    "space and ünï",
    "semi;--",
    "[brackets]",
    "%s ? :x $y",
    "new\nline",
    "insert_t",
    "123",
    "concordan",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_quoted(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    file = File(
        tmp_path / "f.db",
        f"CREATE TABLE {quoted}({quoted} TEXT, other INT, PRIMARY KEY (other, {quoted}))"
        " WITHOUT ROWID",
    )
    file.done(f"INSERT INTO {quoted} VALUES ('a', 1), ('b', 2)")
    prepared = file.prepared(
        f"UPDATE {quoted} SET other = 3 WHERE other = 1", f"DELETE FROM {quoted} WHERE other = 2"
    )
    with pytest.raises(Exception, match="concordant: reserved by") as caught:
        file.rows(f"UPDATE {quoted} SET other = 9 WHERE other = 1")
    assert str(caught.value).endswith(name)
    assert file.resolve(prepared) == "done"
    assert file.rows(f"SELECT * FROM {quoted}") == [("a", 3)]


KINDS = {
    "an integer key": "CREATE TABLE t(a INTEGER PRIMARY KEY, b, n)",
    "a descending integer key": "CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b, n)",
    "a text key": "CREATE TABLE t(a TEXT PRIMARY KEY, b, n)",
    "a composite key": "CREATE TABLE t(n, a, b, PRIMARY KEY (b, a))",
    "no rowid": "CREATE TABLE t(a, b, n, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "strict": "CREATE TABLE t(a INTEGER PRIMARY KEY, b ANY, n INTEGER) STRICT",
    "further plain indexes": "CREATE TABLE t(a PRIMARY KEY, b, n); CREATE INDEX i ON t(n, b)",
    "generated columns": "CREATE TABLE t(a PRIMARY KEY, v AS (n * 2), b, s AS (b || a) STORED, n)",
    "defaults and checks": "CREATE TABLE t(a PRIMARY KEY, b DEFAULT 'd', n CHECK (n < 99))",
    "replace as the rule": "CREATE TABLE t(a PRIMARY KEY ON CONFLICT REPLACE, b, n)",
    "ignore as the rule": "CREATE TABLE t(a PRIMARY KEY ON CONFLICT IGNORE, b, n)",
    "abort as the rule": "CREATE TABLE t(a PRIMARY KEY ON CONFLICT FAIL, b, n)",
    "a key of eight": "CREATE TABLE t(a, b, n, c DEFAULT 1, d DEFAULT 2, e DEFAULT 3,"
    " f DEFAULT 4, g DEFAULT 5, PRIMARY KEY (a, b, c, d, e, f, g, n))",
}
WORK = [
    "INSERT INTO t(a, b, n) VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3), (4, 'four', 4)",
    "UPDATE t SET n = n + 10 WHERE a = 1",
    "UPDATE t SET a = 40 WHERE a = 4",
    "DELETE FROM t WHERE a = 3",
    "REPLACE INTO t(a, b, n) VALUES (2, 'two', 22)",
    "INSERT INTO t(a, b, n) SELECT 5, 'five', 5 WHERE NOT EXISTS (SELECT 1 FROM t WHERE a = 5)",
    "UPDATE OR REPLACE t SET a = 5 WHERE a = 40",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [True, False])
def test_every_kind_of_table_is_written_as_directly(
    kind: str, at_once: bool, tmp_path: Path
) -> None:
    file, twin = (File(tmp_path / name, KINDS[kind]) for name in ("f.db", "twin.db"))
    for statements in [WORK] if at_once else [[statement] for statement in WORK]:
        file.done(*statements)
    with twin.plain() as connection:
        for statement in WORK:
            connection.execute(statement)
    query = "SELECT * FROM t ORDER BY a, b"
    assert file.rows(query) == twin.rows(query)
    assert file.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    "columns",
    [
        "k TEXT COLLATE NOCASE PRIMARY KEY, n",
        "k TEXT, n, PRIMARY KEY (k COLLATE NOCASE)",
        "k TEXT, n, PRIMARY KEY (n, k COLLATE NOCASE)",
    ],
)
def test_keys_that_a_collation_holds_equal_are_one(columns: str, tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", f"CREATE TABLE t({columns})")
    file.done("INSERT INTO t(k, n) VALUES ('Ada', 1), ('bob', 2)")
    prepared = file.prepared(
        "UPDATE t SET k = 'ADA' WHERE n = 1", "REPLACE INTO t(k, n) VALUES ('BOB', 2)"
    )
    for other in ("ADA", "ada", "aDa"):
        with pytest.raises(Exception, match="concordant: reserved"):
            file.rows("INSERT INTO t(k, n) VALUES (?, 1)", other)
    assert file.resolve(prepared) == "done"
    assert file.rows("SELECT k, n FROM t ORDER BY n") == [("ADA", 1), ("BOB", 2)]
    file.rows("UPDATE t SET k = 'ada' WHERE n = 1")


def test_ids_that_a_branch_was_given_are_never_given_again(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
    lost = file.prepared("INSERT INTO t(v) VALUES ('mine')", "INSERT INTO t(v) VALUES ('gone')")
    assert file.rows("INSERT INTO t(v) VALUES ('theirs') RETURNING id") == [(3,)]
    assert file.resolve(lost, False) == "done"
    kept = file.prepared("INSERT INTO t(v) VALUES ('mine')")
    assert file.rows("INSERT INTO t(v) VALUES ('theirs') RETURNING id") == [(5,)]
    assert file.resolve(kept) == "done"
    assert file.rows("SELECT * FROM t") == [(3, "theirs"), (4, "mine"), (5, "theirs")]


def test_the_sequence_is_as_after_the_same_work_done_directly(tmp_path: Path) -> None:
    schema = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v)"
    file, twin = (File(tmp_path / name, schema) for name in ("f.db", "twin.db"))
    work = ["INSERT INTO t(v) VALUES (1), (2), (3)", "DELETE FROM t WHERE id = 3"]
    file.done(*work)
    with twin.plain() as connection:
        for statement in work:
            connection.execute(statement)
    query = "SELECT * FROM sqlite_sequence"
    assert file.rows(query) == twin.rows(query) == [("t", 3)]


def test_a_view_that_writes_tables_is_captured_below(tmp_path: Path) -> None:
    file = File(
        tmp_path / "f.db",
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE VIEW v AS SELECT * FROM t;"
        "CREATE TRIGGER into_v INSTEAD OF INSERT ON v"
        " BEGIN INSERT INTO t VALUES (NEW.a, NEW.b * 2); END",
    )
    file.done("INSERT INTO v VALUES (1, 5)")
    assert file.rows("SELECT * FROM t") == [(1, 10)]


def test_rows_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    file.done("INSERT INTO t VALUES (1, 1)", "DELETE FROM t")
    assert file.rows("SELECT * FROM t") == []
    assert file.vote("DELETE FROM t").kind == "read-only"
    assert file.vote("UPDATE t SET b = 1", "SELECT * FROM t").kind == "read-only"


def test_a_large_branch_is_written_whole(tmp_path: Path) -> None:
    file = File(tmp_path / "f.db", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    file.done(f"{many} INSERT INTO t SELECT i, hex(randomblob(100)) FROM n")
    before = dict(file.rows("SELECT * FROM t"))
    file.done("UPDATE t SET b = b || 'x' WHERE a % 2", "DELETE FROM t WHERE a % 5 = 0")
    expected = {a: b + "x" if a % 2 else b for a, b in before.items() if a % 5}
    assert dict(file.rows("SELECT * FROM t")) == expected
