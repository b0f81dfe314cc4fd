"""What the driver leaves in Redis, and how it uses its connections."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest
from redis import Redis

from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.drivers.redis.locks import LANES, RedisLockStore
from concordant.drivers.redis.options import RedisOptions
from concordant.drivers.redis.script import APPLY, IDLE_MS
from concordant.errors import GuaranteeUnavailable, UsageError
from concordant.locking import limits
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Granted,
    Inspect,
    Operation,
    Queued,
    Refused,
    Release,
    Renew,
    Result,
    View,
)
from tests.provision.redis import RedisServer, server

pytestmark = pytest.mark.server

TTL_MS = 30_000
_numbers = count()


@pytest.fixture
def prefix() -> str:
    return f"unit-{os.getpid()}-{next(_numbers)}:"


@pytest.fixture
def plain() -> Iterator[Redis]:
    with closing(server().plain()) as client:
        yield client


@pytest.fixture
def opened(prefix: str) -> Iterator[Callable[[], RedisLockStore]]:
    made: list[RedisLockStore] = []

    def make() -> RedisLockStore:
        made.append(RedisLockStore(RedisOptions.parse(server().url(prefix))))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(opened: Callable[[], RedisLockStore]) -> RedisLockStore:
    return opened()


def ask(store: LockStore, operation: Operation) -> Result:
    [result] = store.apply([operation])
    return result


def grab(store: LockStore, name: str, owner: str, ttl_ms: int = TTL_MS) -> int:
    result = ask(store, Acquire(name, owner, ttl_ms))
    assert isinstance(result, Granted), result
    return result.fence


def holders(store: LockStore, name: str) -> list[str]:
    view = ask(store, Inspect(name))
    assert isinstance(view, View)
    return [holder.owner for holder in view.holders]


def new_owner() -> str:
    return owner_id(new_client(), 1)


# --- what is kept -------------------------------------------------------------------------


def test_an_idle_lock_is_forgotten_after_a_day_and_a_busy_one_never(
    store: RedisLockStore, plain: Redis, prefix: str
) -> None:
    key, owner = f"{prefix}lock:a", new_owner()
    fence = grab(store, "a", owner, ttl_ms=100)
    # A policy that evicts what has a TTL must not evict what is held.
    assert plain.pttl(key) == -1
    ask(store, Release("a", owner, fence))
    assert IDLE_MS - 60_000 < plain.pttl(key) <= IDLE_MS
    grab(store, "a", new_owner())
    assert plain.pttl(key) == -1


def test_a_tombstone_is_kept_as_long_as_it_is_needed(
    store: RedisLockStore, plain: Redis, prefix: str
) -> None:
    ask(store, Cancel("a", new_owner(), late=True))
    assert plain.pttl(f"{prefix}lock:a") == -1


def test_what_changes_nothing_writes_nothing(
    store: RedisLockStore, plain: Redis, prefix: str
) -> None:
    store.apply(
        [
            Inspect("a"),
            Release("a", new_owner(), 1),
            Renew("a", new_owner(), 1, TTL_MS),
            Cancel("a", new_owner()),
        ]
    )
    assert plain.exists(f"{prefix}lock:a") == 0
    owner = new_owner()
    ask(store, Release("a", owner, grab(store, "a", owner)))
    before = plain.pttl(f"{prefix}lock:a")
    time.sleep(0.02)
    ask(store, Release("a", owner, 1))
    assert plain.pttl(f"{prefix}lock:a") < before


def test_a_forgotten_lock_still_gives_rising_fences(
    store: RedisLockStore, plain: Redis, prefix: str
) -> None:
    owner = new_owner()
    fence = grab(store, "a", owner)
    ask(store, Release("a", owner, fence))
    plain.delete(f"{prefix}lock:a")
    assert grab(store, "a", new_owner()) > fence


def test_a_fence_ahead_of_the_clock_rises_one_by_one(
    store: RedisLockStore, plain: Redis, prefix: str
) -> None:
    # As after the server's clock was set back; and at the end of what a double holds.
    script = "redis.call('SET', KEYS[1], cmsgpack.pack({1, tonumber(ARGV[1]), 1, {}, {}, {}}))"
    last = limits.FENCE_MAX - 2
    plain.eval(script, 1, f"{prefix}lock:a", last)
    for step in (1, 2):
        owner = new_owner()
        assert grab(store, "a", owner) == last + step
        view = ask(store, Inspect("a"))
        assert isinstance(view, View)
        assert (view.fence, view.holders[0].fence) == (last + step, last + step)
        ask(store, Release("a", owner, last + step))


@pytest.mark.parametrize("kind", ["hash", "list", "text", "number", "another version"])
def test_a_key_that_is_no_lock_is_refused_and_left_alone(
    store: RedisLockStore, plain: Redis, prefix: str, kind: str
) -> None:
    key = f"{prefix}lock:odd"
    if kind == "hash":
        plain.hset(key, "a", "b")
    elif kind == "list":
        plain.rpush(key, "a")
    elif kind == "another version":
        plain.eval("redis.call('SET', KEYS[1], cmsgpack.pack({99, 1, 1, {}, {}, {}}))", 1, key)
    else:
        plain.set(key, "hello" if kind == "text" else 7)
    before = plain.dump(key)
    results = store.apply([Acquire("odd", new_owner(), TTL_MS), Acquire("b", new_owner(), TTL_MS)])
    assert [type(result) for result in results] == [Refused, Granted]
    assert plain.dump(key) == before
    assert store.names() == ["b"]


def test_prefixes_are_apart(opened: Callable[[], RedisLockStore], prefix: str) -> None:
    # The second looks like a pattern that covers the first.
    stores = [
        RedisLockStore(RedisOptions.parse(server().url(f"{prefix}{more}")))
        for more in ("", "%5Ba-z%5D*%3F%5C:", "x:")
    ]
    for number, store in enumerate(stores):
        grab(store, f"name-{number}", new_owner())
    for number, store in enumerate(stores):
        assert store.names() == [f"name-{number}"]
        store.close()


def test_databases_are_apart(prefix: str) -> None:
    url = server().url(prefix)
    with (
        closing(registry.lock_store(url)) as zero,
        closing(registry.lock_store(url.replace("/0?", "/1?"))) as one,
    ):
        grab(zero, "a", new_owner())
        assert one.names() == []
        grab(one, "a", new_owner())


def test_a_flushed_script_is_sent_again(store: RedisLockStore, plain: Redis) -> None:
    grab(store, "a", new_owner())
    plain.script_flush()
    grab(store, "b", new_owner())
    assert plain.script_exists(APPLY.sha) == [True]


def test_many_names_come_in_pages_whoever_asks(
    opened: Callable[[], RedisLockStore],
) -> None:
    store = opened()
    names = [f"lock-{number:04}" for number in range(3 * limits.BATCH_MAX)]
    for start in range(0, len(names), limits.BATCH_MAX):
        batch = names[start : start + limits.BATCH_MAX]
        store.apply([Acquire(name, new_owner(), TTL_MS) for name in batch])
    # Idle ones in between are looked at, and left out.
    for name in names[: limits.BATCH_MAX : 2]:
        store.apply([Cancel(name, owner) for owner in holders(store, name)])
    expected = sorted([*names[1 : limits.BATCH_MAX : 2], *names[limits.BATCH_MAX :]])
    assert store.names(limit=len(names)) == expected
    assert store.names(after=expected[99], limit=7) == expected[100:107]
    assert store.names(limit=0) == []


# --- who is gone --------------------------------------------------------------------------


def until_deaf(prefix: str, client: str) -> None:
    with closing(server().plain()) as plain:
        end_s = time.monotonic() + 10
        while plain.pubsub_numsub(f"{prefix}hint:{client}")[0][1]:
            assert time.monotonic() < end_s
            time.sleep(0.002)


def test_a_client_that_listens_no_more_is_passed_over_at_once(
    store: RedisLockStore, prefix: str
) -> None:
    gone, alive = new_client(), new_client()
    holder = new_owner()
    fence = grab(store, "a", holder)
    deaf = store.hints(gone)
    with closing(store.hints(alive)) as stream:
        waiting = [owner_id(gone, 1), owner_id(alive, 1), owner_id(gone, 2), owner_id(alive, 2)]
        for owner in waiting:
            assert isinstance(ask(store, Acquire("a", owner, TTL_MS, wait=True)), Queued)
        deaf.close()
        # The server learns of the end of a connection in its own time, which is soon.
        until_deaf(prefix, gone)
        ask(store, Release("a", holder, fence))
        [hint] = stream.get(10)
    assert hint.owner == waiting[1]
    view = ask(store, Inspect("a"))
    assert isinstance(view, View)
    assert [one.owner for one in view.holders] == [waiting[1]]
    assert [one.owner for one in view.waiters] == [waiting[3]]


def test_one_that_never_listened_is_not_taken_for_dead(store: RedisLockStore) -> None:
    holder, waiter, third = new_owner(), new_owner(), new_owner()
    fence = grab(store, "a", holder)
    for owner in (waiter, third):
        ask(store, Acquire("a", owner, TTL_MS, wait=True))
    ask(store, Release("a", holder, fence))
    assert holders(store, "a") == [waiter]


def test_one_that_asks_while_its_channel_is_broken_keeps_its_place(
    store: RedisLockStore, prefix: str
) -> None:
    client, holder = new_client(), new_owner()
    waiter = owner_id(client, 1)
    fence = grab(store, "a", holder)
    with closing(store.hints(client)):
        ask(store, Acquire("a", waiter, TTL_MS, wait=True))
    until_deaf(prefix, client)
    assert isinstance(ask(store, Acquire("a", waiter, TTL_MS, wait=True)), Queued)
    ask(store, Release("a", holder, fence))
    assert holders(store, "a") == [waiter]


# --- connections --------------------------------------------------------------------------


def connections(plain: Redis) -> int:
    return len(plain.client_list()) - 1


def test_few_connections_are_kept_however_many_threads_ask(
    opened: Callable[[], RedisLockStore], plain: Redis
) -> None:
    before = connections(plain)
    store = opened()
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait(10)
        for _ in range(30):
            owner = new_owner()
            ask(store, Release(owner, owner, grab(store, owner, owner)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 10
    while connections(plain) > before + LANES and time.monotonic() < deadline:
        time.sleep(0.005)
    assert before < connections(plain) <= before + LANES
    store.close()
    while connections(plain) > before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert connections(plain) == before


def test_a_closed_store_says_so(store: RedisLockStore) -> None:
    grab(store, "a", new_owner())
    store.close()
    store.close()
    with pytest.raises(UsageError, match="closed"):
        store.apply([])
    with pytest.raises(UsageError, match="closed"):
        store.hints(new_client())


async def test_a_closed_store_of_tasks_says_so() -> None:
    store = registry.async_lock_store(server().url())
    await store.apply([Inspect("a")])
    await store.aclose()
    await store.aclose()
    with pytest.raises(UsageError, match="closed"):
        await store.apply([])


async def test_a_cancelled_task_leaves_no_answer_for_the_next(prefix: str) -> None:
    store = registry.async_lock_store(server().url(prefix))
    await store.apply([])
    for turns in range(12):
        owner = new_owner()
        task = asyncio.ensure_future(store.apply([Acquire(f"lock-{turns}", owner, TTL_MS)] * 2))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        # Whatever became of that, this is answered with its own result alone.
        [view] = await store.apply([Inspect(f"other-{turns}")])
        assert view == View(f"other-{turns}", 0, 1, (), ())
    await store.aclose()


def test_a_forked_child_opens_its_own(store: RedisLockStore) -> None:
    owner = new_owner()
    grab(store, "a", owner)
    stream = store.hints(new_client())
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                store.apply([])
            except UsageError:
                code = 0
            stream.close()
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    # What the child closed was its own copy alone.
    assert stream.get(0.05) == []
    assert holders(store, "a") == [owner]
    stream.close()


def test_a_server_that_may_evict_locks_is_refused() -> None:
    evicting = RedisServer("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    evicting.start()
    try:
        with closing(registry.lock_store(evicting.url())) as store:
            with pytest.raises(GuaranteeUnavailable, match="allkeys-lru"):
                store.apply([])
            evicting.plain().config_set("maxmemory-policy", "volatile-lru")
            assert store.apply([]) == []
    finally:
        evicting.close()
