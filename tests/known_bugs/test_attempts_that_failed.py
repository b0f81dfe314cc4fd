"""Hundreds of attempts that fail or are cancelled leave nothing behind, wherever one looks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from concordant import AsyncClient, Client, Coordinator, LockTimeout
from concordant.drivers import registry
from concordant.drivers.urls import file_path
from concordant.locking.operations import Inspect, View
from tests.contract.banks import open_bank
from tests.provision.backend import Backend
from tests.provision.backends import params
from tests.provision.bridge import rows
from tests.provision.postgres import PostgresDialect
from tests.provision.redis import server as redis_server
from tests.surface.leftovers import Leftovers

ATTEMPTS = 300
AT_ONCE = 100


def _of_memory(url: str) -> int:
    with closing(registry.lock_store(url)) as store:
        return len(store.names())


def _of_sqlite(url: str) -> int:
    with closing(sqlite3.connect(file_path(url))) as plain:
        [[found]] = plain.execute("SELECT count(*) FROM locks").fetchall()
    return int(found)


def _of_postgresql(url: str) -> int:
    # The schema of its own, that the test's URL names, is where a plain connection looks too.
    schema = url.rpartition("%3D")[2]
    [[found]] = PostgresDialect().outside(url, f"SELECT count(*) FROM {schema}.concordant_lock")
    return int(found)


def _of_redis(url: str) -> int:
    with closing(redis_server().plain()) as plain:
        return len(plain.keys(url.partition("prefix=")[2] + "*"))


KEPT: dict[str, Callable[[str], int]] = {
    "memory": _of_memory,
    "sqlite": _of_sqlite,
    "postgresql": _of_postgresql,
    "redis": _of_redis,
}


def view(url: str, name: str) -> View:
    with closing(registry.lock_store(url)) as store:
        [found] = store.apply([Inspect(name)])
    assert isinstance(found, View)
    return found


def fail(client: Client, number: int) -> None:
    """Try in vain in one of three ways: not waiting, waiting, and waiting for several."""
    timeout_s = 0.0 if number % 3 == 0 else 0.002
    names = ["b", "a"] if number % 3 == 2 else ["a"]
    with pytest.raises(LockTimeout):
        client.locks(names, timeout_s=timeout_s).acquire()


def test_of_threads(lock_backend: Backend, lock_url: str) -> None:
    kept = KEPT[lock_backend.name]
    with Client(lock_url) as holder, Client(lock_url) as client:
        held = holder.lock("a").acquire()
        # What is opened once and stays: the channel for hints, if an attempt lasts long enough.
        with pytest.raises(LockTimeout):
            client.lock("a", timeout_s=1).acquire()
        for number in range(3):
            fail(client, number)
        stored, before = kept(lock_url), Leftovers()
        for number in range(ATTEMPTS):
            fail(client, number)
        before.none("after the attempts")
        assert kept(lock_url) == stored
        assert view(lock_url, "a").waiters == ()
        assert [each.owner for each in view(lock_url, "a").holders] == [held.owner]
        assert view(lock_url, "b").holders == view(lock_url, "b").waiters == ()
        assert client._session._listener.waits() == []
        assert client._session.still_held() == []
        held.release()
        with client.lock("a", timeout_s=0):
            pass


async def test_of_tasks_that_are_cancelled(lock_backend: Backend, lock_url: str) -> None:
    kept = KEPT[lock_backend.name]
    async with AsyncClient(lock_url) as holder, AsyncClient(lock_url) as client:
        held = await holder.lock("a").acquire()

        async def cancel_many() -> None:
            waiting = [asyncio.ensure_future(client.lock("a").acquire()) for _ in range(AT_ONCE)]
            while len((await client.inspect("a")).waiters) < AT_ONCE:
                await asyncio.sleep(0.005)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
            assert all(each.cancelled() for each in waiting)
            # At once, not after a while.
            assert (await client.inspect("a")).waiters == ()

        await cancel_many()  # what is opened once and stays
        await asyncio.to_thread(int)
        stored, before, tasks = kept(lock_url), Leftovers(), asyncio.all_tasks()
        for _ in range(ATTEMPTS // AT_ONCE):
            await cancel_many()
        assert asyncio.all_tasks() == tasks
        await asyncio.to_thread(before.none, "after the attempts")
        assert kept(lock_url) == stored
        assert client._session._listener.waits() == []
        await held.release()
        async with client.lock("a", timeout_s=0):
            pass


class Broken(Exception):
    """What the body of a transaction raises."""


@pytest.mark.parametrize("backend", params("participant"))
def test_of_transactions(backend: Backend, tmp_path: Path) -> None:
    assert backend.participant_url is not None
    assert backend.log_url is not None
    assert backend.dialect is not None
    urls = [open_bank(backend, backend.participant_url(tmp_path)) for _ in range(2)]
    outside = backend.dialect.outside

    def fail_one(coordinator: Coordinator, number: int) -> None:
        def work() -> None:
            with coordinator.transaction(*urls) as connections:
                for connection in connections[: number % 3]:
                    rows(connection, "UPDATE account SET balance = 0")
                raise Broken

        with pytest.raises(Broken):
            work()

    with Coordinator(backend.log_url(tmp_path), recover_every_s=3600) as coordinator:
        for number in range(3):
            fail_one(coordinator, number)
        before = Leftovers()
        for number in range(ATTEMPTS):
            fail_one(coordinator, number)
        before.none("after the attempts")
        assert coordinator.all_running() == frozenset()
        assert coordinator.doubts() == []
        assert coordinator.journal.unfinished().decisions == ()
        for url in urls:
            assert outside(url, "SELECT count(*) FROM concordant_branch") == [(0,)]
