"""PostgreSQL behind pgbouncer in transaction mode: locks and sagas work, branches are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import psycopg
import pytest

from concordant import AsyncClient, AsyncCoordinator, Client, Coordinator
from concordant.drivers import registry
from concordant.errors import ConcordantError, GuaranteeUnavailable, UsageError
from tests.contract.banks import balances
from tests.provision.pgbouncer import SESSIONS, Pooler
from tests.provision.postgres import POSTGRES, PostgresDialect, server
from tests.surface.aio.standing import until_waiting
from tests.surface.sync.moving import Banks, coordinating
from tests.surface.sync.standing import until_waiting as until_waiting_here
from tests.surface.together import AsyncBackground, Background, together

pytestmark = pytest.mark.server

SESSION_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture(scope="module")
def pooler() -> Iterator[Pooler]:
    with closing(Pooler("extra_float_digits,options")) as started:
        yield started


@pytest.fixture(scope="module")
def strict_pooler() -> Iterator[Pooler]:
    """One as it comes: it refuses connections that ask for settings."""
    with closing(Pooler()) as started:
        yield started


@pytest.fixture
def direct() -> str:
    return server().fresh()


def test_it_is_one(pooler: Pooler, direct: str) -> None:
    # Two connections find themselves in one session, one after the other.
    with (
        psycopg.connect(pooler.through(direct), autocommit=True) as one,
        psycopg.connect(pooler.through(direct), autocommit=True) as other,
    ):
        pids = [each.execute("SELECT pg_backend_pid()").fetchone() for each in (one, other)]
    assert pids[0] == pids[1]


def test_locks_of_threads(pooler: Pooler, direct: str) -> None:
    url = pooler.through(direct)
    with Client(url) as one, Client(url) as other:

        def work(client: Client, own: str) -> None:
            for _ in range(20):
                with client.lock(own) as lease:
                    lease.check()
            with client.lock("shared", timeout_s=60):
                pass

        # More at once than the pooler has sessions.
        calls = [partial(work, (one, other)[number % 2], f"own-{number}") for number in range(6)]
        together(calls)
        held = one.lock("a").acquire()
        waiting = Background(other.lock("a", timeout_s=20).acquire)
        until_waiting_here(one, "a", 1)
        held.release()
        lease = waiting.result()
        assert lease.fence > held.fence
        lease.release()
        assert one.names() == []
    # Nothing of ours stays behind in sessions that others get.
    assert PostgresDialect().outside(direct, SESSION_LOCKS) == [(0,)]
    with ExitStack() as stack:
        for _ in range(SESSIONS):
            # In a transaction, so that each has a session of its own.
            each = stack.enter_context(psycopg.connect(url))
            assert each.execute("SELECT pg_listening_channels()").fetchall() == []


async def test_locks_of_tasks(pooler: Pooler, direct: str) -> None:
    url = pooler.through(direct)
    async with AsyncClient(url) as one, AsyncClient(url) as other:
        for _ in range(20):
            async with one.lock("a"), other.lock("b"):
                pass
        held = await one.lock("a").acquire()
        waiting = AsyncBackground(other.lock("a", timeout_s=20).acquire)
        await until_waiting(one, "a", 1)
        await held.release()
        await (await waiting.result()).release()


def test_a_log_and_sagas(pooler: Pooler, direct: str, tmp_path: Path) -> None:
    banks = Banks(POSTGRES, tmp_path)
    urls = list(banks.urls)
    banks.urls[:] = [pooler.through(url) for url in urls]
    saga = banks.saga()
    with coordinating(pooler.through(direct), saga) as coordinator:
        for number in range(10):
            outcome = coordinator.run(saga, {"amount": 1}, gid=f"g-{number}")
            assert outcome.state == "committed"
    assert [balances(POSTGRES, url) for url in urls] == [
        {"ada": 90, "bob": 50, "eve": 0},
        {"ada": 100, "bob": 60, "eve": 0},
    ]


def refused(url: str, kind: type[ConcordantError]) -> None:
    with closing(registry.participant(url)) as participant:
        with pytest.raises(kind, match=r"pooler.*name the database itself"):
            participant.resource()


def test_branches_are_refused(pooler: Pooler, strict_pooler: Pooler, direct: str) -> None:
    refused(pooler.through(direct), GuaranteeUnavailable)
    refused(strict_pooler.through(direct), UsageError)
    # Nothing was made, so nothing is left.
    assert PostgresDialect().outside(direct, "SELECT to_regclass('concordant_branch')") == [(None,)]
    with Coordinator(direct) as coordinator:
        with pytest.raises(GuaranteeUnavailable, match="pooler"):
            coordinator.transaction(pooler.through(direct), server().fresh()).__enter__()
        assert coordinator.all_running() == frozenset()


async def test_branches_of_tasks_are_refused(pooler: Pooler, direct: str) -> None:
    async with AsyncCoordinator(direct) as coordinator:
        with pytest.raises(GuaranteeUnavailable, match="pooler"):
            async with coordinator.transaction(pooler.through(direct), server().fresh()):
                pass
