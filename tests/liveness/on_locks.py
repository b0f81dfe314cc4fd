"""How long it takes with locks: each function plays one scene and returns the seconds."""

from __future__ import annotations

import asyncio
import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest

from concordant import Client, LockTimeout
from concordant.aio.lock import AsyncLock
from concordant.drivers import registry
from concordant.drivers.urls import file_path
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.operations import Acquire, Cancel, Operation, Queued, Renew
from concordant.sync.lock import Lock
from tests.contract.parties import strangers
from tests.fault.postgres_trouble import troubled
from tests.liveness.scene import (
    LONG_S,
    NAME,
    Scene,
    Victim,
    in_world,
    take,
    until_waiting,
    victim,
)
from tests.provision.redis import RedisServer
from tests.surface.faults import Faults, installed
from tests.surface.together import Background

# What the scenes choose themselves; a bound is counted from these.
TTL_S = 1.0
TIMEOUT_S = 0.5
REPLY_S = 1.0
CANCELS_LOST = 5


@contextmanager
def faulty() -> Iterator[Faults]:
    """Let requests and hints of some clients be lost."""
    with pytest.MonkeyPatch.context() as patch, installed(patch) as faults:
        yield faults


def handed_over(scene: Scene, url: str, waiter_url: str) -> float:
    """Release while one waits, and return how long it takes until it holds."""
    with Client(url) as holder:
        lease = holder.lock(NAME, ttl_s=LONG_S).acquire()
        waiting = Background(lambda: take(scene.world, waiter_url))
        until_waiting(holder, 1)
        released_s = time.monotonic()
        lease.release()
        granted_s: float = waiting.result()
        return granted_s - released_s


def hand_over(scene: Scene) -> float:
    """Hand the lock to who waits."""
    url = scene.lock_url()
    return handed_over(scene, url, url)


def hint_lost(scene: Scene) -> float:
    """Hand the lock to who waits, and lose the hint that says so."""
    url = scene.lock_url()
    with faulty() as faults:
        faults.deaf = True
        return handed_over(scene, url, faults.url(url))


def holder_killed(scene: Scene) -> float:
    """Kill the process that holds, and return how long it takes until another holds."""
    url = scene.lock_url()
    with Client(url) as observer, victim(scene.world, url, TTL_S) as holder:
        holder.held()
        waiting = Background(lambda: take(scene.world, url))
        until_waiting(observer, 1)
        killed_s = holder.kill()
        granted_s: float = waiting.result()
        return granted_s - killed_s


def _second_in_line(scene: Scene, url: str, strike: Callable[[Victim], object]) -> float:
    """Let the head of the queue be struck; return how long after a release the next holds."""
    with Client(url) as holder, victim(scene.world, url) as head:
        lease = holder.lock(NAME, ttl_s=LONG_S).acquire()
        until_waiting(holder, 1)
        waiting = Background(lambda: take(scene.world, url))
        until_waiting(holder, 2)
        strike(head)
        released_s = time.monotonic()
        lease.release()
        granted_s: float = waiting.result()
        return granted_s - released_s


def head_killed(scene: Scene) -> float:
    """Kill the process at the head of the queue, release, and wait for the next one."""
    return _second_in_line(scene, scene.lock_url(), Victim.kill)


def head_stopped(scene: Scene) -> float:
    """Stop the process at the head of the queue, release, and wait for the next one."""
    return _second_in_line(scene, scene.lock_url(), Victim.stop)


def head_silent(scene: Scene) -> float:
    """Let somebody queue up who never asks again, release, and wait for the next one."""
    url = scene.lock_url()
    with Client(url) as holder, closing(registry.lock_store(url)) as store:
        lease = holder.lock(NAME, ttl_s=LONG_S).acquire()
        [queued] = store.apply([Acquire(NAME, strangers(1)[0], 30_000, wait=True)])
        assert isinstance(queued, Queued)
        waiting = Background(lambda: take(scene.world, url))
        until_waiting(holder, 2)
        released_s = time.monotonic()
        lease.release()
        granted_s: float = waiting.result()
        return granted_s - released_s


# --- giving up ----------------------------------------------------------------------------


def cancelled(scene: Scene) -> float:
    """Give up waiting while the store fails again and again; return when the place is free."""
    url = scene.lock_url()
    with faulty() as faults, Client(url) as holder:
        faults.on("refused", Cancel, times=CANCELS_LOST)
        lease = holder.lock(NAME, ttl_s=LONG_S).acquire()

        async def aio(lock: AsyncLock) -> float:
            task = asyncio.ensure_future(lock.acquire())
            await asyncio.to_thread(until_waiting, holder, 1)
            given_up_s = time.monotonic()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            await asyncio.to_thread(until_waiting, holder, 0)
            return time.monotonic() - given_up_s

        def sync(lock: Lock) -> float:
            with pytest.raises(LockTimeout):
                lock.acquire(timeout_s=0.05)
            given_up_s = time.monotonic()
            until_waiting(holder, 0)
            return time.monotonic() - given_up_s

        took_s: float = in_world(scene.world, faults.url(url), aio, sync)
        lease.release()
        return took_s


def timed_out(scene: Scene) -> float:
    """Wait in vain for TIMEOUT_S, and return how long that was."""
    url = scene.lock_url()

    async def aio(lock: AsyncLock) -> float:
        begun_s = time.monotonic()
        with pytest.raises(LockTimeout):
            await lock.acquire(timeout_s=TIMEOUT_S)
        return time.monotonic() - begun_s

    def sync(lock: Lock) -> float:
        begun_s = time.monotonic()
        with pytest.raises(LockTimeout):
            lock.acquire(timeout_s=TIMEOUT_S)
        return time.monotonic() - begun_s

    with Client(url) as holder, holder.lock(NAME, ttl_s=LONG_S):
        took_s: float = in_world(scene.world, url, aio, sync)
    assert took_s >= TIMEOUT_S
    return took_s


# --- a store that does not answer ---------------------------------------------------------


def loss_told(scene: Scene) -> float:
    """Let every renewal hang, and return how long after the grant the holder is told."""
    with faulty() as faults:
        faults.on("hung", Renew, times=1000)
        told = threading.Event()

        async def aio(lock: AsyncLock) -> float:
            asked_s = time.monotonic()
            (await lock.acquire()).on_lost(told.set)
            assert await asyncio.to_thread(told.wait, LONG_S)
            faults.end()
            return time.monotonic() - asked_s

        def sync(lock: Lock) -> float:
            asked_s = time.monotonic()
            lock.acquire().on_lost(told.set)
            assert told.wait(LONG_S)
            faults.end()
            return time.monotonic() - asked_s

        took_s: float = in_world(scene.world, faults.url(scene.lock_url()), aio, sync, ttl_s=TTL_S)
        return took_s


def no_answer(scene: Scene) -> float:
    """Ask a store that stands still, and return how long it takes to be told so."""
    with _standing_still(scene) as (url, freeze):
        batch = [Acquire(NAME, strangers(1)[0], 30_000)]
        if scene.world == "sync":
            return _ask_sync(url, freeze, batch)
        return asyncio.run(_ask_aio(url, freeze, batch))


def _ask_sync(url: str, freeze: Callable[[], object], batch: Sequence[Operation]) -> float:
    with closing(registry.lock_store(url)) as store:
        store.apply([])
        freeze()
        begun_s = time.monotonic()
        with pytest.raises((BackendUnavailable, OutcomeUnknown)):
            store.apply(batch)
        return time.monotonic() - begun_s


async def _ask_aio(url: str, freeze: Callable[[], object], batch: Sequence[Operation]) -> float:
    store = registry.async_lock_store(url)
    try:
        await store.apply([])
        freeze()
        begun_s = time.monotonic()
        with pytest.raises((BackendUnavailable, OutcomeUnknown)):
            await store.apply(batch)
        return time.monotonic() - begun_s
    finally:
        await store.aclose()


_redis: list[RedisServer] = []


@contextmanager
def _standing_still(scene: Scene) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give a store that waits for REPLY_S, and what makes it stand still until the end."""
    assert scene.backend is not None
    if scene.backend.name == "sqlite":
        url = f"{scene.lock_url()}?wait_s={REPLY_S:g}"
        # Somebody has the turn to write, and never gives it back.
        with open(f"{file_path(url)}.lock", "w") as turn:
            yield url, lambda: fcntl.flock(turn, fcntl.LOCK_EX)
    elif scene.backend.name == "redis":
        if not _redis:
            _redis.append(RedisServer())
            _redis[0].start()
        try:
            yield f"{_redis[0].url()}&reply_timeout_s={REPLY_S:g}", _redis[0].stop
        finally:
            _redis[0].go_on()
    else:
        server = troubled()
        with ExitStack() as stack:
            url = f"{server.fresh()}?reply_timeout_s={REPLY_S:g}"
            yield url, lambda: stack.enter_context(server.frozen())
