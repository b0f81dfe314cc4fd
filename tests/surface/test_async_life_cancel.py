"""Cancelled at every await of its beginning and its end, a client or coordinator leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from concordant import AsyncClient, AsyncCoordinator
from concordant.drivers import registry
from concordant.locking.operations import Inspect, View
from tests.provision.backend import Backend
from tests.surface.aio.paying import Places
from tests.surface.choice import embedded_locks, embedded_logs
from tests.surface.leftovers import Leftovers, epochs_running
from tests.surface.stepping import WHENS, When, cancelled_at

STEPS_MAX = 300


async def none_left(before: Leftovers, at: int) -> None:
    """See that nothing is left, from a thread: what goes may need the loop for that."""
    await asyncio.to_thread(before.none, at)


async def threads_of_the_loop() -> Leftovers:
    """Return what is there once the loop has its own threads."""
    await asyncio.to_thread(int)
    return Leftovers()


def locked(url: str) -> bool:
    store = registry.lock_store(url)
    [view] = store.apply([Inspect("a")])
    store.close()
    assert isinstance(view, View)
    return bool(view.holders or view.waiters)


@embedded_locks
@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("when", WHENS)
async def test_a_client(lock_url: str, when: When, waiting: bool) -> None:
    keep = registry.lock_store(lock_url)  # one in memory lives as long as somebody has it open
    before = await threads_of_the_loop()
    for at in range(1, STEPS_MAX):
        client = AsyncClient(lock_url)

        async def live(client: AsyncClient = client) -> None:
            async with client:
                # Held, and perhaps waited for, until the client is left.
                await client.lock("a").acquire()
                if waiting:
                    other = asyncio.ensure_future(client.lock("a").acquire())
                    other.add_done_callback(asyncio.Task.exception)
                    await asyncio.sleep(0)

        was_struck = (await cancelled_at(at, when, live))[1]
        assert not locked(lock_url), at
        await client.aclose()
        await none_left(before, at)
        if not was_struck:
            break
    assert 3 <= at < STEPS_MAX
    keep.close()


@embedded_logs
@pytest.mark.parametrize("when", WHENS)
async def test_a_coordinator(
    log_backend: Backend, log_url: str, tmp_path: Path, when: When
) -> None:
    places = Places(tmp_path)
    before = await threads_of_the_loop()
    for at in range(1, STEPS_MAX):
        coordinator = AsyncCoordinator(log_url, participants=places.urls, recover_every_s=3600)

        async def live(coordinator: AsyncCoordinator = coordinator) -> None:
            async with coordinator:
                assert await coordinator.outcome("g-1") is None

        was_struck = (await cancelled_at(at, when, live))[1]
        assert epochs_running(log_url, coordinator) == frozenset(), at
        await coordinator.__aexit__(None, None, None)
        await none_left(before, at)
        if not was_struck:
            break
    assert 8 <= at < STEPS_MAX
