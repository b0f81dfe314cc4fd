"""What work may do in a branch on PostgreSQL, and what it may not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from concordant import AsyncCoordinator, Coordinator
from concordant.drivers import registry
from concordant.drivers.base import Branch, Participant
from concordant.drivers.postgres.guard import guard
from concordant.errors import BackendUnavailable, StaleFence, TransactionAborted, UsageError
from tests.contract.parties import new_branch
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled, until

pytestmark = pytest.mark.server


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    """The URL of an empty database with a table of notes."""
    url = server.fresh()
    server.ask(url, "CREATE TABLE note (id int PRIMARY KEY)")
    return url


@pytest.fixture
def participant(url: str) -> Iterator[Participant]:
    with closing(registry.participant(url)) as participant:
        yield participant


@pytest.fixture
def notes(server: TroubledServer, url: str) -> Callable[[], list[int]]:
    """What everybody can read of the notes."""
    return lambda: [row[0] for row in server.ask(url, "SELECT id FROM note ORDER BY id")]


def begun(participant: Participant, *statements: str) -> tuple[str, Branch]:
    """Begin a branch and run statements in it."""
    name = new_branch()
    branch = participant.begin(name)
    for statement in statements:
        branch.connection.execute(statement)
    return str(name), branch


def lease(fence: int, owner: str) -> Any:
    """Return as much of a lease as a guard looks at."""
    return SimpleNamespace(fence=fence, owner=owner)


# --- what ends a branch by hand -----------------------------------------------------------


BY_HAND = {
    "commit": ["COMMIT"],
    "rollback": ["ROLLBACK"],
    "commit and begin": ["COMMIT; BEGIN"],
    "rollback and begin": ["ROLLBACK; BEGIN", "INSERT INTO note VALUES (2)"],
    "commit and chain": ["COMMIT AND CHAIN", "INSERT INTO note VALUES (2)"],
    "rollback and chain": ["ROLLBACK AND CHAIN"],
    "prepare": ["PREPARE TRANSACTION 'by hand'"],
    "prepare and begin": ["PREPARE TRANSACTION 'by hand'", "BEGIN"],
}


@pytest.mark.parametrize("statements", BY_HAND.values(), ids=list(BY_HAND))
@pytest.mark.parametrize("one_phase", [False, True], ids=["vote", "one phase"])
def test_a_transaction_that_the_work_has_ended_gets_no_yes(
    server: TroubledServer,
    url: str,
    participant: Participant,
    statements: list[str],
    one_phase: bool,
) -> None:
    name, branch = begun(participant, "INSERT INTO note VALUES (1)", *statements)
    if one_phase:
        with pytest.raises(TransactionAborted, match="ended by the work itself"):
            branch.commit_one_phase()
    else:
        vote = branch.prepare()
        assert vote.kind == "refused"
        assert "ended by the work itself (COMMIT, ROLLBACK)" in vote.reason
    assert name not in [each.branch for each in participant.in_doubt()]
    assert participant.resolve(name, True) == "missing"
    assert not participant.committed(name)
    # What was written after it is gone, and the connection serves the next one.
    assert (2,) not in server.ask(url, "SELECT id FROM note")
    name, branch = begun(participant, "INSERT INTO note VALUES (9)")
    assert branch.prepare().kind == "prepared"
    assert participant.resolve(name, True) == "done"
    for gid in server.prepared(url):
        server.ask(url, f"ROLLBACK PREPARED '{gid}'")


@pytest.mark.parametrize("one_phase", [False, True], ids=["vote", "one phase"])
def test_a_statement_that_failed_gets_no_yes(
    participant: Participant, notes: Callable[[], list[int]], one_phase: bool
) -> None:
    name, branch = begun(participant, "INSERT INTO note VALUES (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        branch.connection.execute("INSERT INTO note VALUES (1)")
    if one_phase:
        with pytest.raises(TransactionAborted, match="an earlier statement"):
            branch.commit_one_phase()
    else:
        vote = branch.prepare()
        assert (vote.kind, vote.reason) == ("refused", "an earlier statement of the branch failed")
    assert participant.resolve(name, True) == "missing"
    assert notes() == []


def test_a_statement_that_failed_inside_a_savepoint_is_the_works_own(
    participant: Participant, notes: Callable[[], list[int]]
) -> None:
    name, branch = begun(participant, "INSERT INTO note VALUES (1)")
    with pytest.raises(psycopg.errors.UniqueViolation), branch.connection.transaction():
        branch.connection.execute("INSERT INTO note VALUES (2), (1)")
    with branch.connection.transaction():
        branch.connection.execute("INSERT INTO note VALUES (3)")
    assert branch.prepare().kind == "prepared"
    assert participant.resolve(name, True) == "done"
    assert notes() == [1, 3]


NOT_PREPARABLE = {
    "a temporary table": "CREATE TEMPORARY TABLE t (id int)",
    "a notification": "NOTIFY somebody",
    "listening": "LISTEN somebody",
    "a cursor that stays": "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "a snapshot that was exported": "SELECT pg_export_snapshot()",
}


@pytest.mark.parametrize("statement", NOT_PREPARABLE.values(), ids=list(NOT_PREPARABLE))
def test_what_cannot_be_prepared_is_refused_with_the_reason(
    participant: Participant, notes: Callable[[], list[int]], statement: str
) -> None:
    name, branch = begun(participant, "INSERT INTO note VALUES (1)", statement)
    vote = branch.prepare()
    assert vote.kind == "refused"
    assert "cannot PREPARE a transaction" in vote.reason
    assert participant.resolve(name, True) == "missing"
    assert participant.in_doubt() == []
    assert notes() == []


def test_tables_can_be_made_and_changed_in_a_branch(
    server: TroubledServer, url: str, participant: Participant
) -> None:
    for commit in (False, True):
        name, branch = begun(
            participant, "ALTER TABLE note ADD text text", "CREATE TABLE more AS SELECT 1 AS id"
        )
        assert branch.prepare().kind == "prepared"
        assert participant.resolve(name, commit) == "done"
    assert server.ask(url, "SELECT id FROM more") == [(1,)]
    assert server.ask(url, "SELECT id, text FROM note") == []


# --- what only reads ----------------------------------------------------------------------


def test_what_only_reads_leaves_no_trace(
    server: TroubledServer, url: str, participant: Participant
) -> None:
    name, branch = begun(participant, "SELECT * FROM note", "SELECT txid_current_if_assigned()")
    assert branch.prepare().kind == "read-only"
    assert server.prepared(url) == []
    assert server.ask(url, "SELECT * FROM concordant_branch") == []
    name, branch = begun(participant, "SELECT * FROM note")
    branch.commit_one_phase()
    assert server.ask(url, "SELECT * FROM concordant_branch") == []
    assert participant.resolve(name, True) == "missing"


def test_what_locks_rows_has_something_to_keep(
    server: TroubledServer, url: str, participant: Participant
) -> None:
    server.ask(url, "INSERT INTO note VALUES (1)")
    name, branch = begun(participant, "SELECT * FROM note FOR UPDATE")
    assert branch.prepare().kind == "prepared"
    with pytest.raises(psycopg.errors.LockNotAvailable):
        server.ask(url, "SELECT * FROM note FOR UPDATE NOWAIT")
    assert participant.resolve(name, True) == "done"


# --- what a branch leaves to the next -----------------------------------------------------


LEFT = {
    "a path": ("SET search_path TO elsewhere", "SHOW search_path", '"$user", public'),
    "a setting of the work's own": (
        "SELECT set_config('app.tenant', 'ann', false)",
        "SELECT coalesce(current_setting('app.tenant', true), '')",
        "",
    ),
    "a role": ("SET ROLE pg_monitor", "SELECT current_user", "postgres"),
    "another user": ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user", "postgres"),
    "a time limit": ("SET statement_timeout = '1h'", "SHOW statement_timeout", "0"),
}


@pytest.mark.parametrize(("set_", "show", "expected"), LEFT.values(), ids=list(LEFT))
@pytest.mark.parametrize("end", ["prepare", "commit_one_phase", "abandon"])
def test_what_a_branch_has_set_does_not_meet_the_next(
    server: TroubledServer,
    url: str,
    participant: Participant,
    set_: str,
    show: str,
    expected: str,
    end: str,
) -> None:
    server.ask(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor")
    participant.resource()
    server.ask(url, "GRANT ALL ON concordant_branch TO pg_monitor")
    name, branch = begun(participant, "INSERT INTO note VALUES (1)", set_)
    [pid] = branch.connection.execute("SELECT pg_backend_pid()").fetchone()
    getattr(branch, end)()
    assert (
        participant.resolve(name, True)
        == ({"prepare": "done", "commit_one_phase": "already", "abandon": "missing"}[end])
    )
    name, branch = begun(participant)
    assert branch.connection.execute(show).fetchone() == (expected,)
    assert branch.connection.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
    branch.abandon()


def test_what_was_set_before_the_work_ended_the_transaction_is_gone_too(
    participant: Participant,
) -> None:
    _, branch = begun(participant, "SET search_path TO elsewhere", "COMMIT")
    assert branch.prepare().kind == "refused"
    _, branch = begun(participant)
    assert branch.connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
    branch.abandon()


def test_how_a_branch_wants_its_rows_does_not_meet_the_next(participant: Participant) -> None:
    name, branch = begun(participant, "INSERT INTO note VALUES (1)")
    branch.connection.row_factory = dict_row
    branch.connection.cursor_factory = psycopg.ClientCursor
    assert branch.connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    assert branch.prepare().kind == "prepared"
    assert [each.branch for each in participant.in_doubt()] == [name]
    assert participant.resolve(name, True) == "done"
    assert participant.resolve(name, True) == "already"
    assert participant.committed(name)
    _, branch = begun(participant)
    assert branch.connection.execute("SELECT 1 AS one").fetchone() == (1,)
    assert type(branch.connection.cursor()) is psycopg.Cursor
    branch.abandon()


async def test_how_a_branch_wants_its_rows_does_not_meet_the_next_in_a_loop(url: str) -> None:
    participant = registry.async_participant(url)
    branch = await participant.begin(new_branch())
    branch.connection.row_factory = dict_row
    await branch.abandon()
    assert not await participant.committed(str(new_branch()))
    branch = await participant.begin(new_branch())
    cursor = await branch.connection.execute("SELECT 1 AS one")
    assert await cursor.fetchone() == (1,)
    await branch.abandon()
    await participant.aclose()


def test_the_evidence_is_written_wherever_the_work_looks_for_its_tables(
    server: TroubledServer, url: str, participant: Participant
) -> None:
    server.ask(url, "CREATE SCHEMA tenant; CREATE TABLE tenant.note (id int)")
    name, branch = begun(
        participant, "SET LOCAL search_path TO tenant", "INSERT INTO note VALUES (1)"
    )
    assert branch.prepare().kind == "prepared"
    assert participant.resolve(name, True) == "done"
    assert participant.resolve(name, True) == "already"
    assert server.ask(url, "SELECT id FROM tenant.note") == [(1,)]


@pytest.mark.parametrize("one_phase", [False, True], ids=["vote", "one phase"])
def test_prepared_statements_that_the_work_drops_are_made_again(
    participant: Participant, notes: Callable[[], list[int]], one_phase: bool
) -> None:
    _, branch = begun(participant, "INSERT INTO note VALUES (1)", "DEALLOCATE ALL")
    if one_phase:
        with pytest.raises(TransactionAborted, match="DEALLOCATE"):
            branch.commit_one_phase()
    else:
        vote = branch.prepare()
        assert vote.kind == "refused"
        assert "DEALLOCATE" in vote.reason
    for number in (2, 3):
        name, branch = begun(participant, f"INSERT INTO note VALUES ({number})")
        assert branch.prepare().kind == "prepared"
        assert participant.resolve(name, True) == "done"
    assert notes() == [2, 3]


# --- time ---------------------------------------------------------------------------------


def test_the_guard_comes_first_waits_and_then_all_is_read_anew(
    server: TroubledServer, url: str
) -> None:
    """The balance that is read after the guard is the one that the predecessor has left."""
    server.ask(url, "CREATE TABLE account (id text PRIMARY KEY, balance int)")
    server.ask(url, "INSERT INTO account VALUES ('ada', 100)")
    with closing(registry.participant(url)) as participant:
        first = new_branch()
        branch = participant.begin(first)
        guard(branch.connection, "ada", lease(1, "one"))
        branch.connection.execute("UPDATE account SET balance = 70")
        assert branch.prepare().kind == "prepared"

        def follow() -> int:
            branch = participant.begin(new_branch())
            guard(branch.connection, "ada", lease(2, "two"))
            [balance] = branch.connection.execute("SELECT balance FROM account").fetchone()
            branch.abandon()
            return int(balance)

        following = Meanwhile(follow)
        server.waiting("wait_event_type = 'Lock'")
        assert participant.resolve(str(first), True) == "done"
        assert following.result() == 70
        late = participant.begin(new_branch())
        with pytest.raises(StaleFence):
            guard(late.connection, "ada", lease(0, "zero"))
        late.abandon()


@pytest.mark.parametrize(
    "bounds",
    ["lock_timeout_s=0.3", "lock_timeout_s=0.6&reply_timeout_s=0.3"],
    ids=["usual", "longer than a reply may take"],
)
def test_the_wait_for_a_predecessor_in_doubt_is_bounded(
    url: str, bounds: str, notes: Callable[[], list[int]]
) -> None:
    with closing(registry.participant(f"{url}?{bounds}")) as participant:
        first = new_branch()
        branch = participant.begin(first)
        branch.connection.execute("INSERT INTO note VALUES (1)")
        guard(branch.connection, "ada", lease(1, "one"))
        assert branch.prepare().kind == "prepared"
        second = participant.begin(new_branch())
        with pytest.raises(BackendUnavailable, match="open or in doubt; roll back and retry"):
            guard(second.connection, "ada", lease(2, "two"))
        second.abandon()
        third = participant.begin(new_branch())
        with pytest.raises(psycopg.errors.LockNotAvailable):
            third.connection.execute("INSERT INTO note VALUES (1)")
        assert third.prepare().kind == "refused"
        assert participant.resolve(str(first), True) == "done"
    assert notes() == [1]


def test_the_wait_of_one_in_two_databases_for_another_ends_by_itself(
    server: TroubledServer, url: str
) -> None:
    """Two transactions that wait for each other over two databases, where no server sees it."""
    other = server.fresh()
    server.ask(other, "CREATE TABLE note (id int PRIMARY KEY)")
    urls = [f"{each}?lock_timeout_s=0.5" for each in (url, other)]
    met = threading.Barrier(2)

    def work(number: int) -> str:
        with Coordinator(url) as coordinator:
            try:
                with coordinator.transaction(*urls) as connections:
                    connections[number].execute("INSERT INTO note VALUES (1)")
                    met.wait(10)
                    connections[1 - number].execute("INSERT INTO note VALUES (1)")
            except psycopg.errors.LockNotAvailable:
                return "gave way"
            except TransactionAborted:
                return "aborted"
            except psycopg.errors.UniqueViolation:
                return "second"
            return "done"

    ends = [each.result() for each in [Meanwhile(lambda n=n: work(n)) for n in range(2)]]
    assert "gave way" in ends
    assert server.prepared(url) == []
    assert server.ask(url, "SELECT id FROM note") == server.ask(other, "SELECT id FROM note")


# --- foreigners ---------------------------------------------------------------------------


WEIRD = ["x' OR '1'='1", 'a "b" c', "back\\slash", "perc%t {} ?", "é \U0001f512", " ", "x" * 199]


def test_what_others_have_prepared_is_listed_and_left_alone(
    server: TroubledServer, url: str
) -> None:
    other = server.fresh()
    with closing(psycopg.connect(url, autocommit=True)) as plain:
        for number, gid in enumerate(WEIRD):
            plain.execute(f"BEGIN; INSERT INTO note VALUES ({number})")
            literal = psycopg.sql.Literal(gid).as_string(plain)
            plain.execute(f"PREPARE TRANSACTION {literal}")  # type: ignore[arg-type]
    with Coordinator(url, participants=[url, other], recover_every_s=0.05) as coordinator:
        coordinator.recover()
        doubts = coordinator.doubts()
        assert [(each.branch, each.verdict) for each in doubts] == [
            (gid, "foreign") for gid in WEIRD
        ]
        with coordinator.transaction(url, other) as (a, _):
            a.execute("INSERT INTO note VALUES (99)")
        coordinator.recover()
    assert server.prepared(url) == WEIRD
    # A person may end each by its name.
    with closing(registry.participant(url)) as participant:
        for number, gid in enumerate(WEIRD):
            assert participant.resolve(gid, number % 2 == 0) == "done"
    with closing(registry.participant(other)) as participant:
        assert participant.in_doubt() == []
    kept = [number for number in range(len(WEIRD)) if number % 2 == 0]
    assert [row[0] for row in server.ask(url, "SELECT id FROM note ORDER BY id")] == [*kept, 99]


# --- after a fork -------------------------------------------------------------------------


def in_child(action: Callable[[], None]) -> int:
    """Run in a forked child; return 0 if it came to its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_ends_nothing_of_its_parents(
    participant: Participant, notes: Callable[[], list[int]]
) -> None:
    voting, voter = begun(participant, "INSERT INTO note VALUES (1)")
    alone, committer = begun(participant, "INSERT INTO note VALUES (2)")

    def meddle() -> None:
        for call in (
            voter.prepare,
            committer.commit_one_phase,
            lambda: participant.begin(new_branch()),
            lambda: participant.resolve(voting, True),
        ):
            with pytest.raises(UsageError, match="fork"):
                call()
        voter.abandon()
        committer.abandon()
        participant.close()

    assert in_child(meddle) == 0
    assert voter.prepare().kind == "prepared"
    committer.commit_one_phase()
    assert participant.committed(alone)
    assert participant.resolve(voting, True) == "done"
    assert notes() == [1, 2]


# --- tasks --------------------------------------------------------------------------------


async def test_a_task_that_is_cancelled_in_its_work_leaves_nothing(
    server: TroubledServer, url: str
) -> None:
    other = server.fresh()
    async with AsyncCoordinator(url, participants=[url, other]) as coordinator:

        async def work() -> None:
            async with coordinator.transaction(url, other) as (a, _):
                await a.execute("INSERT INTO note VALUES (1)")
                await a.execute("SELECT pg_sleep(30)")

        task = asyncio.create_task(work())
        query = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)'"
        await asyncio.to_thread(until, lambda: server.ask(server.url("postgres"), query))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with coordinator.transaction(url, other) as (a, _):
            await a.execute("INSERT INTO note VALUES (1)")
    assert server.ask(url, "SELECT id FROM note") == [(1,)]
    assert server.prepared(url) == []
