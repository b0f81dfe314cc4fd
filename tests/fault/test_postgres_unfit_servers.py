"""Servers, users and settings that cannot give what was asked, and how that is said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from concordant import Client, Coordinator
from concordant.drivers import registry
from concordant.drivers.base import Participant
from concordant.drivers.postgres.guard import ensure_guard, guard
from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    GuaranteeUnavailable,
    TransactionAborted,
    UsageError,
)
from concordant.locking.operations import Acquire, Granted, Inspect, View
from concordant.transactions.operations import Decide, Listing, Load, OpenOwner
from tests.contract.parties import new_branch, strangers
from tests.fault.postgres_trouble import TroubledServer, troubled
from tests.provision.command_line import Shell

pytestmark = pytest.mark.server

CALLS: dict[str, Callable[[Any], Any]] = {
    "lock_store": lambda store: store.apply([Acquire("a", *strangers(1), 1000)]),
    "transaction_log": lambda log: log.apply([Load("g")]),
    "participant": lambda participant: participant.begin(new_branch()).abandon(),
    "barrier": lambda barrier: barrier.enter("g", "s", "action").abandon(),
}


@dataclass(frozen=True)
class Fence:
    """What a guard has to know of a lease."""

    fence: int
    owner: str


FENCE = Fence(7, "someone")


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def changed(server: TroubledServer) -> Iterator[Callable[..., None]]:
    """What restarts the server with other settings, until the test is over."""
    # What a test that failed has left prepared would keep the server from starting with less.
    postgres = server.url("postgres")
    for gid, database in server.ask(postgres, "SELECT gid, database FROM pg_prepared_xacts"):
        with closing(psycopg.connect(server.url(database), autocommit=True)) as plain:
            plain.execute(f"ROLLBACK PREPARED {psycopg.sql.Literal(gid).as_string(plain)}")
    yield server.restart_with
    server.restart_with()


def use(port: str, url: str) -> None:
    """Do the simplest thing that the port offers."""
    with closing(getattr(registry, port)(url)) as driver:
        CALLS[port](driver)


def as_user(url: str, user: str) -> str:
    """Return the URL for another user."""
    return url.replace("//postgres@", f"//{user}@")


# --- settings -----------------------------------------------------------------------------


def test_a_server_that_cannot_prepare_is_refused_at_once(
    server: TroubledServer, changed: Callable[..., None]
) -> None:
    url = server.fresh()
    changed("max_prepared_transactions=0")
    with closing(registry.participant(url)) as participant:
        for call in (participant.resource, lambda: participant.begin(new_branch())):
            with pytest.raises(GuaranteeUnavailable, match="max_prepared_transactions is 0; set"):
                call()
    with Coordinator(url) as coordinator:
        with pytest.raises(GuaranteeUnavailable), coordinator.transaction(url):
            pass
    # It can do all the rest.
    for port in ("lock_store", "transaction_log", "barrier"):
        use(port, url)


def test_a_full_table_of_votes_is_a_no(
    server: TroubledServer, changed: Callable[..., None]
) -> None:
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    changed("max_prepared_transactions=1")
    with closing(registry.participant(url)) as participant:
        first, second = new_branch(), new_branch()
        assert voted(participant, first, 1) == ("prepared", "")
        kind, reason = voted(participant, second, 2)
        assert kind == "refused"
        assert "maximum number of prepared transactions" in reason
        assert participant.resolve(str(second), True) == "missing"
        # One phase needs no place in the table.
        alone = participant.begin(new_branch())
        alone.connection.execute("INSERT INTO note VALUES (3)")
        alone.commit_one_phase()
        assert participant.resolve(str(first), True) == "done"
        assert voted(participant, second, 2) == ("prepared", "")
        assert participant.resolve(str(second), True) == "done"
    assert server.ask(url, "SELECT id FROM note ORDER BY id") == [(1,), (2,), (3,)]


def voted(participant: Participant, name: Any, note: int) -> tuple[str, str]:
    branch = participant.begin(name)
    branch.connection.execute("INSERT INTO note VALUES (%s)", (note,))
    vote = branch.prepare()
    return vote.kind, vote.reason


def test_what_was_told_is_durable_although_the_server_does_not_wait(
    server: TroubledServer, changed: Callable[..., None]
) -> None:
    """With synchronous_commit off, a commit is written up to three times this delay later."""
    url = server.fresh()
    lazy = ("synchronous_commit=off", "wal_writer_delay=10s")
    changed(*lazy)
    [owner] = strangers(1)
    with (
        closing(registry.lock_store(url)) as store,
        closing(registry.transaction_log(url)) as log,
        closing(registry.barrier(url)) as barrier,
    ):
        log.apply([OpenOwner("owner001", 600_000)])
        barrier.enter("g", "0", "action").abandon()
        [granted] = store.apply([Acquire("a", owner, 60_000)])
        assert isinstance(granted, Granted)
        changed(*lazy)
        [view] = store.apply([Inspect("a")])
        assert isinstance(view, View)
        assert [each.fence for each in view.holders] == [granted.fence]
        log.apply([Decide("g", "commit", "owner001", 1)])
        changed(*lazy)
        # In one statement, and in several.
        log.apply([Decide("h", "abort", "owner001", 1), Load("g")])
        changed(*lazy)
        g, h = log.apply([Load("g"), Load("h")])
        assert isinstance(g, Listing)
        assert isinstance(h, Listing)
        assert [each.outcome for each in (*g.decisions, *h.decisions)] == ["commit", "abort"]
        barrier.enter("g", "1", "action").commit("one")
        changed(*lazy)
        barrier.enter("g", "2", "action").refuse("two")
        changed(*lazy)
        found = [barrier.enter("g", step, "action") for step in ("1", "2")]
        assert [each.ruling for each in found] == ["skip", "refuse"]
        assert found[0].stored == "one"
        assert "two" in found[1].stored


# --- users --------------------------------------------------------------------------------


@pytest.mark.parametrize("port", list(CALLS))
def test_a_user_who_may_not_create_tables_is_told(server: TroubledServer, port: str) -> None:
    url = server.fresh()
    if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = 'guest'"):
        server.ask(url, "CREATE ROLE guest LOGIN")
    # Since PostgreSQL 15 only the owner of a database may create in its public schema.
    with pytest.raises(UsageError, match=r"may not do that; grant it .*permission denied"):
        use(port, as_user(url, "guest"))
    use(port, url)
    # The tables are there now, and still not for everybody.
    with pytest.raises(UsageError, match="may not do that; grant it"):
        use(port, as_user(url, "guest"))
    server.ask(
        url,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest",
    )
    use(port, as_user(url, "guest"))


@pytest.mark.parametrize("port", list(CALLS))
@pytest.mark.parametrize("whose", ["the database's", "the user's"])
@pytest.mark.parametrize("used", [True, False], ids=["used before", "new"])
def test_a_user_who_only_reads_by_default_is_told(
    server: TroubledServer, port: str, whose: str, used: bool
) -> None:
    """It was set to keep somebody from writing, so nobody writes against it."""
    url = server.fresh()
    if used:
        use(port, url)
    if whose == "the user's":
        if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = 'reader'"):
            server.ask(url, "CREATE ROLE reader SUPERUSER LOGIN")
            server.ask(url, "ALTER ROLE reader SET default_transaction_read_only = on")
        url = as_user(url, "reader")
    else:
        database = url.rpartition("/")[2]
        server.ask(url, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(GuaranteeUnavailable, match="set default_transaction_read_only off"):
        use(port, url)
    assert "set default_transaction_read_only off" in registry.survey(url, port).hindrance


def test_a_guard_in_a_transaction_that_only_reads_is_refused(server: TroubledServer) -> None:
    with closing(psycopg.connect(server.fresh())) as plain:
        ensure_guard(plain)
        plain.commit()
        plain.execute("SET TRANSACTION READ ONLY")
        with pytest.raises(GuaranteeUnavailable, match="begin it READ WRITE"):
            guard(plain, "a", FENCE)


def test_a_branch_of_somebody_else_is_not_ours_to_end(server: TroubledServer) -> None:
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = 'guest'"):
        server.ask(url, "CREATE ROLE guest LOGIN")
    name = new_branch()
    with closing(registry.participant(url)) as participant:
        assert voted(participant, name, 1) == ("prepared", "")
        server.ask(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
        with closing(registry.participant(as_user(url, "guest"))) as guest:
            with pytest.raises(UsageError, match="permission denied"):
                guest.resolve(str(name), True)
            assert [each.detail for each in guest.in_doubt()] == ["user postgres"]
        assert participant.resolve(str(name), True) == "done"


# --- logging in ---------------------------------------------------------------------------


@pytest.fixture
def closed_door(server: TroubledServer) -> Iterator[str]:
    """The URL of a database whose user `locked` needs the password `right-one`."""
    url = server.fresh()
    server.ask(url, "SET password_encryption = 'scram-sha-256'")
    if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = 'locked'"):
        server.ask(url, "CREATE ROLE locked SUPERUSER LOGIN PASSWORD 'right-one'")
    [[path]] = server.ask(url, "SHOW hba_file")
    rules = Path(path).read_text()
    Path(path).write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules}")
    server.ask(url, "SELECT pg_reload_conf()")
    yield url
    Path(path).write_text(rules)
    server.ask(url, "SELECT pg_reload_conf()")


def all_text(error: BaseException | None) -> str:
    """Return the error and all that it says it came from."""
    said = []
    while error is not None:
        said.append(f"{error!r} {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(said)


def test_a_wrong_password_is_told_without_the_password(
    server: TroubledServer, closed_door: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    right = as_user(closed_door, "locked:right-one")
    for port in CALLS:
        use(port, right)
    for secret in ("hush-hush", "h%C3%BCsh%40hush"):
        url = as_user(closed_door, f"locked:{secret}")
        for port in CALLS:
            with pytest.raises(UsageError, match="user or password was refused") as raised:
                use(port, url)
            assert "hush" not in all_text(raised.value)
        with pytest.raises(UsageError, match="user or password was refused"), Client(url) as client:
            client.lock("a", timeout_s=0).acquire()
        shell = Shell(tmp_path)
        done = shell.run("lock", "ls", "--url", url)
        assert done.returncode == 64
        assert "refused" in done.stderr
        assert "hush" not in done.stderr
    assert "right-one" not in caplog.text
    assert "hush" not in caplog.text
    with pytest.raises(UsageError, match="wants a password"):
        use("lock_store", as_user(closed_door, "locked"))


def test_a_database_or_user_that_is_not_there_is_told(server: TroubledServer) -> None:
    for url in (server.url("nowhere"), as_user(server.fresh(), "nobody")):
        with pytest.raises(UsageError, match="no such database or user"):
            use("lock_store", url)


def test_a_server_that_is_full_may_have_room_later(server: TroubledServer) -> None:
    url = server.fresh()
    database = url.rpartition("/")[2]
    if not server.ask(url, "SELECT 1 FROM pg_roles WHERE rolname = 'single'"):
        server.ask(url, "CREATE ROLE single LOGIN CONNECTION LIMIT 1")
    server.ask(
        url, f"GRANT ALL ON DATABASE {database} TO single; GRANT ALL ON SCHEMA public TO single"
    )
    with closing(psycopg.connect(as_user(url, "single"))):
        with pytest.raises(BackendUnavailable, match="too many connections"):
            use("lock_store", as_user(url, "single"))
    use("transaction_log", url)


# --- standbys -----------------------------------------------------------------------------


def test_a_standby_is_refused_by_everything_that_writes() -> None:
    primary = TroubledServer()
    primary.start()
    try:
        used, fresh = primary.fresh(), primary.fresh()
        for port in CALLS:
            use(port, used)
        primary.restart_as_standby()
        for url in (used, fresh):
            for port in CALLS:
                with pytest.raises(ConcordantError, match="name the primary") as raised:
                    use(port, url)
                assert type(raised.value) is GuaranteeUnavailable, (port, raised.value)
        with closing(registry.participant(used)) as participant:
            with pytest.raises(GuaranteeUnavailable, match="is a standby"):
                participant.resource()
    finally:
        primary.close()


def test_a_transaction_on_a_full_server_is_rolled_back(
    server: TroubledServer, changed: Callable[..., None]
) -> None:
    urls = [server.fresh() for _ in range(2)]
    for url in urls:
        server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    changed("max_prepared_transactions=1")

    def work(coordinator: Coordinator) -> None:
        with coordinator.transaction(*urls) as connections:
            for connection in connections:
                connection.execute("INSERT INTO note VALUES (1)")

    with Coordinator(urls[0], participants=urls) as coordinator:
        with pytest.raises(TransactionAborted, match="maximum number of prepared transactions"):
            work(coordinator)
    for url in urls:
        assert server.ask(url, "SELECT * FROM note") == []
    assert server.prepared(urls[0]) == []
