"""The bank's plain connections: what an outage comes out as, and what comes after it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from concordant.bank.placing import place
from concordant.bank.plain import Redis, Sql, connect, is_collision
from concordant.bank.ringrow import RingRow
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.placement import Node
from tests.provision.command_line import until
from tests.provision.postgres import server


@contextlib.contextmanager
def opened(url: str) -> Iterator[Sql]:
    with closing(connect(url)) as connection:
        yield Sql(connection)


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        connect(f"sqlite://{tmp_path}/absent/x.db")


def test_a_busy_file_is_unavailable(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/x.db"
    with opened(url) as one, opened(url) as other:
        other.execute("PRAGMA busy_timeout = 0")
        one.begin()
        with pytest.raises(BackendUnavailable, match="locked"):
            other.begin()


def test_a_broken_rule_is_no_outage(tmp_path: Path) -> None:
    with opened(f"sqlite://{tmp_path}/x.db") as sql:
        sql.create("CREATE TABLE notes (id {text} PRIMARY KEY)")
        sql.execute("INSERT INTO notes VALUES ('a')")
        with pytest.raises(sqlite3.IntegrityError) as caught:
            sql.execute("INSERT INTO notes VALUES ('a')")
    assert is_collision(caught.value)
    assert not is_collision(sqlite3.OperationalError("no such table"))


def test_servers_that_refuse_are_unavailable_and_keep_the_secret() -> None:
    with pytest.raises(BackendUnavailable, match="cannot be reached") as caught:
        connect("postgresql://ann:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
    with closing(Redis("redis://ann:secret@127.0.0.1:1/0")) as redis:
        with pytest.raises(BackendUnavailable) as caught:
            redis.get("name")
        assert "secret" not in str(caught.value)
        for ask in (lambda: redis.set_if_absent("a", "b", 100), lambda: redis.eval("", "a")):
            with pytest.raises(OutcomeUnknown):
                ask()


def _end_all_but_mine(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as plain:
        others = " FROM pg_stat_activity WHERE datname = current_database()"
        others += " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        plain.execute(f"SELECT pg_terminate_backend(pid){others}".encode())
        until(lambda: plain.execute(f"SELECT 1{others}".encode()).fetchone() is None, "their end")


@pytest.mark.server
def test_a_connection_that_breaks_leaves_the_outcome_unknown() -> None:
    url = server().fresh()
    with opened(url) as sql:
        sql.create("CREATE TABLE notes (id {text} PRIMARY KEY)")
        assert not sql.broken
        _end_all_but_mine(url)
        with pytest.raises(OutcomeUnknown):
            sql.execute("INSERT INTO notes VALUES ('a')")
        assert sql.broken


@pytest.mark.server
def test_what_the_server_itself_refuses_has_not_happened() -> None:
    url = server().fresh()
    with opened(url) as one, opened(url) as other:
        one.create("CREATE TABLE notes (id {text} PRIMARY KEY)")
        one.begin()
        one.execute("LOCK TABLE notes")
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(BackendUnavailable, match="lock timeout"):
            other.execute("INSERT INTO notes VALUES ('a')")
        one.execute("ROLLBACK")
        other.execute("INSERT INTO notes VALUES ('a')")
        with pytest.raises(psycopg.IntegrityError) as caught:
            other.execute("INSERT INTO notes VALUES ('a')")
        assert is_collision(caught.value)


@pytest.mark.server
def test_the_ring_is_read_again_once_the_server_is_back() -> None:
    url = server().fresh()
    rings = RingRow(url, "bank")
    rings.prepare()
    ring = place([Node("one"), Node("two")], by_modulo=False)
    assert rings.write(1, ring, None)
    _end_all_but_mine(url)
    with pytest.raises(OutcomeUnknown):
        rings.read()
    found = rings.read()
    assert found is not None
    assert found.ring.fingerprint() == ring.fingerprint()
    rings.close()
