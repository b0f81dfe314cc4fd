"""Fences checked in the file: on plain connections, in branches, and against branches in doubt."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from concordant.drivers.sqlite.guard import ensure_guard, guard
from concordant.errors import BackendUnavailable, StaleFence, UsageError
from tests.provision.sqlite_branches import File


@dataclass(frozen=True)
class Holder:
    """As much of a lease as a guard looks at."""

    fence: int
    owner: str = "me"


@pytest.fixture
def file(tmp_path: Path) -> File:
    file = File(
        tmp_path / "f.db", "CREATE TABLE t(id TEXT PRIMARY KEY, n); INSERT INTO t VALUES ('a', 100)"
    )
    file.participant.resource()
    return file


def pass_guard(file: File, lease: Holder, name: str = "a") -> None:
    with file.plain() as connection:
        connection.execute("BEGIN")
        guard(connection, name, lease)
        connection.execute("COMMIT")


def test_only_newer_fences_and_the_same_holder_pass(file: File) -> None:
    pass_guard(file, Holder(5))
    pass_guard(file, Holder(5))
    pass_guard(file, Holder(7, "other"))
    for stale in (Holder(5), Holder(6), Holder(7, "me")):
        with pytest.raises(StaleFence, match="'a'"):
            pass_guard(file, stale)
    pass_guard(file, Holder(2**53 - 1))
    pass_guard(file, Holder(1), "another name")
    assert file.rows("SELECT * FROM concordant_guard WHERE name = 'a'") == [("a", 2**53 - 1, "me")]


def test_it_commits_and_rolls_back_with_the_write(file: File) -> None:
    with file.plain() as connection:
        connection.execute("BEGIN")
        guard(connection, "a", Holder(5))
        connection.execute("UPDATE t SET n = 0")
        connection.execute("ROLLBACK")
    pass_guard(file, Holder(1))


def test_it_needs_a_transaction(file: File) -> None:
    with file.plain() as connection:
        with pytest.raises(UsageError, match="transaction"):
            guard(connection, "a", Holder(5))
        # sqlite3's own way opens one before the first write.
        connection.isolation_level = "DEFERRED"
        guard(connection, "a", Holder(5))
        assert connection.in_transaction
        connection.rollback()
    assert file.rows("SELECT * FROM concordant_guard") == []


def test_a_file_of_plain_users_needs_its_table_first(tmp_path: Path) -> None:
    file = File(tmp_path / "plain.db")
    with file.plain() as connection:
        connection.execute("BEGIN")
        with pytest.raises(UsageError, match="ensure_guard"):
            guard(connection, "a", Holder(1))
        connection.execute("ROLLBACK")
        ensure_guard(connection)
        ensure_guard(connection)
    pass_guard(file, Holder(1))
    # A participant later takes the table over as it is.
    branch = file.begin()
    with pytest.raises(StaleFence):
        guard(branch.connection, "a", Holder(1, "other"))
    branch.abandon()


def test_a_branch_cannot_make_the_table(file: File) -> None:
    branch = file.begin()
    file.rows("SELECT 1")
    with pytest.raises(UsageError):
        branch.connection.execute("DROP TABLE concordant_guard")
    branch.abandon()


def test_a_locked_file_is_unavailable(file: File) -> None:
    with file.plain(timeout_s=0) as writer, file.plain(timeout_s=0) as connection:
        writer.execute("BEGIN IMMEDIATE")
        connection.execute("BEGIN")
        with pytest.raises(BackendUnavailable, match="locked"):
            guard(connection, "a", Holder(1))


@pytest.mark.parametrize("commit", [True, False])
def test_in_a_branch_it_holds_from_the_vote_on(commit: bool, file: File) -> None:
    pass_guard(file, Holder(3))
    branch = file.begin()
    guard(branch.connection, "a", Holder(5))
    branch.connection.execute("UPDATE t SET n = 0")
    name = branch._name
    assert branch.prepare().kind == "prepared"
    reserved = rf"guard 'a' is reserved by in-doubt branch {name}; roll back and retry"
    with file.plain() as connection:
        connection.row_factory = lambda _cursor, row: {"row": row}
        connection.text_factory = bytes
        connection.execute("BEGIN")
        with pytest.raises(BackendUnavailable, match=reserved):
            guard(connection, "a", Holder(9, "next"))
        connection.execute("ROLLBACK")
    following = file.begin()
    with pytest.raises(BackendUnavailable, match=reserved):
        guard(following.connection, "a", Holder(9, "next"))
    following.abandon()
    pass_guard(file, Holder(1), "b")
    assert file.resolve(name, commit) == "done"
    last = Holder(5 if commit else 3)
    with pytest.raises(StaleFence):
        pass_guard(file, Holder(last.fence, "other"))
    pass_guard(file, last)


def test_the_same_holder_passing_again_is_in_doubt_too(file: File) -> None:
    pass_guard(file, Holder(5))
    branch = file.begin()
    guard(branch.connection, "a", Holder(5))
    name = branch._name
    assert branch.prepare().kind == "prepared"
    with pytest.raises(BackendUnavailable, match=name):
        pass_guard(file, Holder(6, "next"))


def test_other_constraints_keep_their_own_error(file: File) -> None:
    with file.plain() as connection:
        connection.execute("BEGIN")
        holder: Any = Holder(None)  # type: ignore[arg-type]
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            guard(connection, "a", holder)
        connection.execute("ROLLBACK")
