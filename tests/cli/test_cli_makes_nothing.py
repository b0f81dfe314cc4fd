"""Commands that only look leave no trace: no file, no table, no directory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from concordant import Client, Coordinator
from tests.provision import postgres
from tests.provision.command_line import Shell

LOOKS: dict[str, list[str]] = {
    "tx ls": ["tx", "ls"],
    "tx show": ["tx", "show", "gid-1"],
    "lock ls": ["lock", "ls"],
    "lock show": ["lock", "show", "report"],
    "lock break": ["lock", "break", "report", "--all", "--yes"],
    "doctor": ["doctor"],
}
EMPTY: dict[str, Any] = {
    "tx ls": {"log_id": "", "doubts": [], "unreached": []},
    "tx show": {"gid": "gid-1", "known": [], "doubts": [], "unreached": []},
    "lock ls": {"locks": []},
    "lock show": {"name": "report", "fence": 0, "capacity": 1, "holders": [], "waiters": []},
    "lock break": {"name": "report", "broken": 0},
}
looks = pytest.mark.parametrize("look", list(LOOKS))


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return all that is below a folder, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def looked(shell: Shell, look: str, url: str | None) -> str:
    """Look in both forms, which exit with 0; return what the text says."""
    named = [] if url is None else ["--url", url]
    found = shell.json(*LOOKS[look], *named, "-o", "json")
    if look in EMPTY:
        assert found == EMPTY[look]
    else:
        assert found["ok"]
        assert {port["status"] for port in found["ports"]} == {"unused"}
        assert all(port["facts"]["would_make"] for port in found["ports"])
    done = shell.run(*LOOKS[look], *named)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


@looks
def test_where_nothing_is_nothing_is_made(shell: Shell, look: str) -> None:
    said = looked(shell, look, f"sqlite://{shell.folder}/x.db")
    assert everything(shell.folder) == {}
    assert f"sqlite://{shell.folder}/x.db" in said
    del shell.environment["CONCORDANT_URL"]
    # The embedded file, whose directory is not there yet, and is made by the doctor alone.
    looked(shell, look, None)
    made = ["state", "state/concordant"] if look == "doctor" else []
    assert list(everything(shell.folder)) == made


@looks
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_file_of_somebody_else_stays_as_it_is(shell: Shell, look: str, mode: str) -> None:
    with closing(sqlite3.connect(shell.folder / "bank.db")) as plain:
        plain.execute(f"PRAGMA journal_mode = {mode}")
        plain.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY)")
        plain.execute("CREATE TABLE owners (id TEXT PRIMARY KEY)")
        plain.commit()
    before = everything(shell.folder)
    url = f"sqlite://{shell.folder}/bank.db"
    if look == "doctor":
        # As a participant it is welcome, and neither as a log nor for locks.
        assert shell.run("doctor", url).returncode == 78
        found = shell.json("doctor", url, "-p", "participant", "-o", "json")
        assert [port["status"] for port in found["ports"]] == ["unused"]
    else:
        said = looked(shell, look, url)
        assert "holds tables of something else" in said
    assert everything(shell.folder) == before


def test_an_empty_file_stays_empty(shell: Shell) -> None:
    (shell.folder / "x.db").touch()
    for look in LOOKS:
        looked(shell, look, f"sqlite://{shell.folder}/x.db")
    assert everything(shell.folder) == {"x.db": b""}


def test_a_participant_that_never_took_part_gets_no_tables(shell: Shell) -> None:
    log = f"sqlite://{shell.folder}/log.db"
    with Coordinator(log):
        pass
    with closing(sqlite3.connect(shell.folder / "bank.db")) as plain:
        plain.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY)")
        plain.commit()
    before = everything(shell.folder)
    places = ["--log", log, "--participant", f"sqlite://{shell.folder}/bank.db"]
    for look in ("tx ls", "tx show"):
        found = shell.json(*LOOKS[look], *places, "-o", "json")
        assert (found["doubts"], found["unreached"]) == ([], [])
    assert everything(shell.folder) == before


def test_one_use_of_a_file_is_not_made_for_another(shell: Shell) -> None:
    """Locks, log and participant share a table of their ids, and nothing else."""
    with Client(shell.url) as client:
        client.ping()
    before = everything(shell.folder)
    for look in ("tx ls", "tx show"):
        looked(shell, look, shell.url)
    found = shell.json("doctor", shell.url, "-o", "json")
    assert [port["status"] for port in found["ports"]] == ["ok", "unused", "unused"]
    after = everything(shell.folder)
    assert set(after) <= {*before, "locks.db.lock"}
    with closing(sqlite3.connect(shell.folder / "locks.db")) as plain:
        names = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
    assert names == {"concordant_meta", "locks"}


# --- on a server --------------------------------------------------------------------------


def tables(url: str) -> set[str]:
    """Return what stands in the database."""
    rows = postgres.PostgresDialect().outside(
        url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    return {name for (name,) in rows}


@pytest.mark.server
@pytest.mark.slow
def test_a_database_stays_empty(shell: Shell) -> None:
    url = postgres.server().fresh()
    for look in LOOKS:
        looked(shell, look, url)
    shell.json("tx", "ls", "--log", url, "--participant", url, "-o", "json")
    assert tables(url) == set()


@pytest.mark.server
@pytest.mark.slow
def test_doctor_makes_what_it_is_told_to(shell: Shell) -> None:
    url = postgres.server().fresh()
    found = shell.json("doctor", url, "--make", "-p", "log", "-o", "json")
    assert [port["status"] for port in found["ports"]] == ["ok"]
    made = {name for name in tables(url) if "pkey" not in name and "unfinished" not in name}
    logs = {f"concordant_log_{table}" for table in ("owner", "decision", "record")}
    assert made == {"concordant_meta", *logs}
    found = shell.json("doctor", url, "-o", "json")
    assert [port["status"] for port in found["ports"]] == ["unused", "ok", "unused"]


@pytest.mark.server
@pytest.mark.slow
def test_who_may_not_make_tables_is_told_before_they_are_needed(shell: Shell) -> None:
    url = postgres.server().fresh()
    outside = postgres.PostgresDialect().outside
    outside(url, "CREATE ROLE visitor LOGIN")
    try:
        visitor = url.replace("postgres@", "visitor@")
        done = shell.run("doctor", visitor, "-p", "log")
        assert done.returncode == 78
        assert "may not create tables in the schema public" in done.stderr
        # What an administrator makes, others may use.
        shell.json("doctor", url, "--make", "-p", "log", "-o", "json")
        outside(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO visitor")
        found = shell.json("doctor", visitor, "-p", "log", "-o", "json")
        assert [port["status"] for port in found["ports"]] == ["ok"]
    finally:
        outside(url, "DROP OWNED BY visitor")
        outside(url, "DROP ROLE visitor")


def test_make_needs_to_know_what(shell: Shell) -> None:
    assert shell.run("doctor", shell.url, "--make").returncode == 64
    assert everything(shell.folder) == {}
