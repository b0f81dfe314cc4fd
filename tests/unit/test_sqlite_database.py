"""A SQLite file as concordant opens it: what is refused, what is rolled back, what is shared."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.sqlite.database import Database, Schema, get_meta, set_meta
from concordant.errors import BackendUnavailable, OutcomeUnknown, UsageError
from concordant.locking.operations import Acquire, Granted
from concordant.transactions.operations import OpenOwner, OwnerOpened

SCHEMA = Schema("test", 1, ("CREATE TABLE note(text TEXT)",), ids={"test.id": lambda: "first"})

Opener = Callable[..., Database]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "file.db")


@pytest.fixture
def opened(path: str) -> Iterator[Opener]:
    made: list[Database] = []

    def make(at: str = path, wait_s: float = 10.0, schema: Schema = SCHEMA) -> Database:
        made.append(Database(at, schema, "NORMAL", wait_s))
        return made[-1]

    yield make
    for database in made:
        database.close()


def write(database: Database, text: str) -> None:
    database.write(lambda c: c.execute("INSERT INTO note VALUES (?)", (text,)))


def read(database: Database) -> list[str]:
    return database.read(lambda c: [text for (text,) in c.execute("SELECT text FROM note")])


def notes(path: str) -> list[str]:
    with closing(sqlite3.connect(path)) as plain:
        return [text for (text,) in plain.execute("SELECT text FROM note ORDER BY rowid")]


# --- opening ------------------------------------------------------------------------------


def test_constructing_does_no_io(tmp_path: Path, opened: Opener) -> None:
    opened(str(tmp_path / "absent" / "file.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path, opened: Opener) -> None:
    database = opened(str(tmp_path / "absent" / "file.db"))
    with pytest.raises(UsageError, match=r"absent does not exist; create it"):
        write(database, "x")
    with pytest.raises(UsageError, match=r"absent does not exist; create it"):
        read(database)


def test_a_folder_is_no_file(tmp_path: Path, opened: Opener) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        write(opened(str(tmp_path)), "x")


def test_what_is_not_sqlite_is_refused_and_left_alone(path: str, opened: Opener) -> None:
    content = b"id,balance\n" * 1000
    Path(path).write_bytes(content)
    with pytest.raises(UsageError, match="not a SQLite file"):
        write(opened(), "x")
    with pytest.raises(UsageError, match="not a SQLite file"):
        read(opened())
    assert Path(path).read_bytes() == content


def test_a_file_of_something_else_is_refused_and_left_alone(path: str, opened: Opener) -> None:
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE users(id)")
        plain.commit()
    with pytest.raises(UsageError, match="holds tables of something else"):
        write(opened(), "x")
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_schema_that_shares_takes_a_file_of_something_else(path: str, opened: Opener) -> None:
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE users(id)")
        plain.commit()
    write(opened(schema=Schema("test", 1, SCHEMA.statements, exclusive=False)), "x")
    assert notes(path) == ["x"]


def test_a_newer_schema_is_refused(path: str, opened: Opener) -> None:
    newer = opened(schema=Schema("test", 2, SCHEMA.statements))
    write(newer, "x")
    with pytest.raises(UsageError, match=r"newer concordant.*schema 2.*knows 1.*upgrade"):
        write(opened(), "y")
    assert notes(path) == ["x"]


def test_locks_and_a_log_can_share_a_file(path: str) -> None:
    url = f"sqlite://{path}"
    with closing(registry.lock_store(url)) as locks, closing(registry.transaction_log(url)) as log:
        assert isinstance(locks.apply([Acquire("a", "o.1", 1000)])[0], Granted)
        assert isinstance(log.apply([OpenOwner("owner001", 1000)])[0], OwnerOpened)
        assert locks.names() == ["a"]


def test_what_is_made_once_is_made_once(path: str, opened: Opener) -> None:
    write(opened(), "x")
    other = opened(schema=Schema("test", 1, SCHEMA.statements, ids={"test.id": lambda: "second"}))
    assert other.read(lambda c: get_meta(c, "test.id")) == "first"
    other.write(lambda c: set_meta(c, "test.id", "third"))
    assert other.read(lambda c: get_meta(c, "test.id")) == "third"
    assert other.read(lambda c: get_meta(c, "absent")) is None


def test_openers_at_once_make_one_schema(path: str, opened: Opener) -> None:
    databases = [opened() for _ in range(8)]
    barrier = threading.Barrier(len(databases))
    failed: list[BaseException] = []

    def first_write(database: Database) -> None:
        barrier.wait()
        try:
            write(database, "x")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=first_write, args=(one,)) for one in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert notes(path) == ["x"] * len(databases)


# --- transactions -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_the_body_raises_rolls_back(
    path: str, opened: Opener, error: type[BaseException]
) -> None:
    database = opened()

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('half')")
        raise error

    with pytest.raises(error):
        database.write(fail)
    write(opened(), "whole")
    write(database, "again")
    assert notes(path) == ["whole", "again"]


def test_a_statement_that_fails_applies_nothing(path: str, opened: Opener) -> None:
    database = opened()

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('half')")
        connection.execute("INSERT INTO absent VALUES (1)")

    with pytest.raises(BackendUnavailable, match="nothing was applied"):
        database.write(fail)
    write(database, "whole")
    assert notes(path) == ["whole"]


def test_a_commit_that_fails_leaves_the_outcome_unknown(path: str, opened: Opener) -> None:
    child = "CREATE TABLE child(id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
    parent = "CREATE TABLE parent(id PRIMARY KEY)"
    database = opened(schema=Schema("test", 1, (*SCHEMA.statements, parent, child)))
    write(database, "before")
    assert database._connection is not None
    database._connection.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(OutcomeUnknown, match="COMMIT failed"):
        database.write(lambda c: c.execute("INSERT INTO child VALUES (1)"))
    write(database, "after")
    assert notes(path) == ["before", "after"]


def test_a_connection_that_cannot_roll_back_is_replaced(path: str, opened: Opener) -> None:
    database = opened()
    write(database, "before")

    def authorize(action: int, operation: str | None, *_: object) -> int:
        refused = action == sqlite3.SQLITE_TRANSACTION and operation == "ROLLBACK"
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    def fail(connection: sqlite3.Connection) -> None:
        connection.set_authorizer(authorize)
        connection.execute("INSERT INTO note VALUES ('half')")
        raise ValueError

    with pytest.raises(OutcomeUnknown, match="ask again"):
        database.write(fail)
    write(database, "after")
    assert notes(path) == ["before", "after"]


def test_a_writer_that_takes_no_turn_is_waited_for_and_then_reported(
    path: str, opened: Opener
) -> None:
    database = opened(wait_s=0.2)
    write(database, "before")
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="locked"):
            write(database, "during")
        plain.execute("COMMIT")
    write(database, "after")
    assert notes(path) == ["before", "after"]


def test_a_read_sees_one_snapshot(path: str, opened: Opener) -> None:
    reader, writer = opened(), opened()
    write(writer, "one")

    def look(connection: sqlite3.Connection) -> list[tuple[int]]:
        counts = []
        for text in ("two", "three"):
            counts.append(connection.execute("SELECT count(*) FROM note").fetchone())
            write(writer, text)
        return counts

    assert reader.read(look) == [(1,), (1,)]
    assert read(reader) == ["one", "two", "three"]


def test_a_read_leaves_no_transaction_when_its_body_raises(opened: Opener) -> None:
    database = opened()

    def fail(connection: sqlite3.Connection) -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        database.read(fail)
    write(database, "x")


def test_a_closed_database_says_so(opened: Opener) -> None:
    database = opened()
    write(database, "x")
    database.close()
    database.close()
    with pytest.raises(UsageError, match="was closed"):
        write(database, "y")
    with pytest.raises(UsageError, match="was closed"):
        read(database)


# --- the file under its users -------------------------------------------------------------


def test_a_file_that_was_deleted_is_not_written_on(path: str, opened: Opener) -> None:
    database = opened()
    write(database, "x")
    os.unlink(path)
    with pytest.raises(BackendUnavailable, match="was it deleted"):
        write(database, "y")
    with pytest.raises(BackendUnavailable, match="was it deleted"):
        read(database)


def test_a_file_that_was_replaced_is_not_written_on(path: str, opened: Opener) -> None:
    database = opened()
    write(database, "old")
    os.rename(path, path + ".old")
    for suffix in ("-wal", "-shm"):
        os.rename(path + suffix, path + ".old" + suffix)
    write(opened(), "new")
    with pytest.raises(BackendUnavailable, match="replaced"):
        write(database, "lost")
    assert notes(path) == ["new"]
