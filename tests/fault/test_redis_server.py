"""What happens to the Redis server itself: killed, stopped, refusing, forgetting."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest
from redis import Redis

from concordant import Client, LockTimeout
from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.errors import BackendUnavailable, ConcordantError, OutcomeUnknown, UsageError
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import (
    Acquire,
    Busy,
    Confirm,
    Granted,
    Held,
    Inspect,
    Operation,
    Queued,
    Release,
    Released,
    Renew,
    Result,
    View,
)
from tests.provision.redis import RedisServer

pytestmark = pytest.mark.server

TTL_MS = 30_000
_numbers = count()


@pytest.fixture(scope="module")
def hurt() -> Iterator[RedisServer]:
    """A server for this file alone, since its other users would notice."""
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def url(hurt: RedisServer) -> str:
    prefix = f"hurt-{os.getpid()}-{next(_numbers)}:"
    return f"{hurt.url(prefix)}&reply_timeout_s=0.5&connect_timeout_s=0.5"


@pytest.fixture
def store(url: str) -> Iterator[LockStore]:
    with closing(registry.lock_store(url)) as opened:
        yield opened


@pytest.fixture
def plain(hurt: RedisServer) -> Iterator[Redis]:
    with closing(hurt.plain()) as client:
        yield client


def ask(store: LockStore, operation: Operation) -> Result:
    [result] = store.apply([operation])
    return result


def ask_on(store: LockStore, operation: Operation) -> Result:
    """Ask until there is an answer, as waiters do."""
    end_s = time.monotonic() + 20
    while True:
        try:
            return ask(store, operation)
        except (BackendUnavailable, OutcomeUnknown):
            assert time.monotonic() < end_s
            time.sleep(0.02)


def ask_until_refused(store: LockStore) -> None:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        ask(store, Inspect("a"))


def new_owner() -> str:
    return owner_id(new_client(), 1)


def look(store: LockStore, name: str) -> View:
    view = ask_on(store, Inspect(name))
    assert isinstance(view, View)
    return view


# --- killed and started again -------------------------------------------------------------


def test_leases_queues_and_fences_outlive_a_kill(hurt: RedisServer, store: LockStore) -> None:
    holder, first, second = new_owner(), new_owner(), new_owner()
    granted = ask(store, Acquire("a", holder, TTL_MS, note="kept"))
    assert isinstance(granted, Granted)
    for owner in (first, second):
        assert isinstance(ask(store, Acquire("a", owner, TTL_MS, wait=True)), Queued)
    before = look(store, "a")
    hurt.restart()
    after = look(store, "a")
    assert (after.fence, after.waiters) == (before.fence, before.waiters)
    assert [(h.owner, h.fence, h.note) for h in after.holders] == [(holder, granted.fence, "kept")]
    assert isinstance(ask(store, Acquire("a", new_owner(), TTL_MS)), Busy)
    assert ask(store, Renew("a", holder, granted.fence, TTL_MS)) == Held()
    assert ask(store, Release("a", holder, granted.fence)) == Released()
    [now] = look(store, "a").holders
    assert now.owner == first
    assert now.fence > granted.fence
    assert ask(store, Confirm("a", first, now.fence, TTL_MS)) == Held()


def test_fences_rise_even_if_the_server_lost_everything(
    hurt: RedisServer, plain: Redis, store: LockStore
) -> None:
    owner = new_owner()
    granted = ask(store, Acquire("a", owner, TTL_MS))
    assert isinstance(granted, Granted)
    plain.flushall()
    again = ask(store, Acquire("a", new_owner(), TTL_MS))
    assert isinstance(again, Granted)
    assert again.fence > granted.fence
    assert not isinstance(ask(store, Renew("a", owner, granted.fence, TTL_MS)), Held)


def test_a_dead_server_is_unavailable_and_a_new_one_is_not(
    hurt: RedisServer, store: LockStore
) -> None:
    owner = new_owner()
    ask(store, Acquire("a", owner, TTL_MS))
    hurt.kill()
    try:
        with pytest.raises(ConcordantError):
            ask(store, Inspect("a"))
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            ask(store, Inspect("a"))
    finally:
        hurt.start()
    assert [holder.owner for holder in look(store, "a").holders] == [owner]


def test_holder_and_waiter_live_through_a_restart(hurt: RedisServer, url: str) -> None:
    with Client(url) as one, Client(url) as other:
        lease = one.lock("a", ttl_s=2).acquire()
        won: list[int] = []

        def wait() -> None:
            with other.lock("a", ttl_s=2) as theirs:
                won.append(theirs.fence)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not one.inspect("a").waiters:
            time.sleep(0.01)
        hurt.restart()
        # Longer than a TTL: it must have been renewed on the new server.
        end_s = time.monotonic() + 3
        while time.monotonic() < end_s:
            lease.check()
            time.sleep(0.05)
        assert won == []
        lease.release()
        waiting.join(20)
        assert len(won) == 1
        assert won[0] > lease.fence


# --- stopped ------------------------------------------------------------------------------


def test_a_server_that_stands_still_leaves_the_outcome_open(
    hurt: RedisServer, store: LockStore
) -> None:
    owner = new_owner()
    store.apply([Inspect("a")])
    hurt.stop()
    try:
        with pytest.raises(OutcomeUnknown):
            ask(store, Acquire("a", owner, TTL_MS))
        # A new connection is accepted by the kernel, but nobody greets it.
        with pytest.raises(BackendUnavailable):
            ask(store, Acquire("b", owner, TTL_MS))
    finally:
        hurt.go_on()
    # The request lay in the server's buffer all the time; its owner converges on it.
    granted = ask_on(store, Acquire("a", owner, TTL_MS))
    assert isinstance(granted, Granted)
    assert look(store, "a").fence == granted.fence


def test_a_lease_that_a_standing_server_cannot_renew_is_lost_in_time(
    hurt: RedisServer, url: str
) -> None:
    with Client(url) as client:
        lease = client.lock("a", ttl_s=1).acquire()
        told = threading.Event()
        lease.on_lost(told.set)
        hurt.stop()
        try:
            assert told.wait(10)
            assert lease.lost
        finally:
            hurt.go_on()
        with client.lock("a", timeout_s=20) as next_one:
            assert next_one.fence > lease.fence


def test_waiting_is_bounded_while_the_server_stands_still(hurt: RedisServer, url: str) -> None:
    with Client(url) as one, Client(url) as other:
        held = one.lock("a", ttl_s=30).acquire()
        with pytest.raises(LockTimeout):
            other.lock("a").acquire(timeout_s=0.1)
        hurt.stop()
        try:
            with pytest.raises(BackendUnavailable):
                other.lock("a").acquire(timeout_s=0.3)
        finally:
            hurt.go_on()
        held.release()
        with other.lock("a", timeout_s=20):
            pass


# --- refusing -----------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
def test_a_refused_login_is_told_without_the_secret(login: str) -> None:
    server = RedisServer(password="right")
    server.start()
    try:
        with closing(registry.lock_store(server.url())) as store:
            assert store.apply([]) == []
        with closing(registry.lock_store(server.url().replace(":right@", login))) as store:
            for attempt in (lambda: store.apply([]), lambda: store.hints(new_client())):
                with pytest.raises(UsageError, match="password") as told:
                    attempt()
                assert "wrong" not in str(told.value)
    finally:
        server.close()


def test_a_login_that_the_server_does_not_know_of_is_told(url: str) -> None:
    with closing(registry.lock_store(url.replace("redis://", "redis://:secret@"))) as store:
        with pytest.raises(UsageError, match="password") as told:
            store.apply([])
    assert "secret" not in str(told.value)


@pytest.fixture
def hindered(plain: Redis) -> Iterator[Callable[[str, str], None]]:
    """What sets a setting of the server for the length of a test."""
    before: dict[str, str] = {}

    def hinder(setting: str, value: str) -> None:
        before.setdefault(setting, plain.config_get(setting)[setting])
        plain.config_set(setting, value)

    yield hinder
    for setting, value in before.items():
        plain.config_set(setting, value)


def test_a_full_server_refuses_and_nothing_was_done(
    store: LockStore, hindered: Callable[[str, str], None]
) -> None:
    holder = new_owner()
    granted = ask(store, Acquire("held", holder, TTL_MS))
    assert isinstance(granted, Granted)
    hindered("maxmemory", "1")
    batch = [Acquire(f"lock-{number}", new_owner(), TTL_MS) for number in range(5)]
    with pytest.raises(BackendUnavailable, match="memory"):
        store.apply([Renew("held", holder, granted.fence, 60_000), *batch])
    hindered("maxmemory", "0")
    assert store.names() == ["held"]
    assert look(store, "held").holders[0].remaining_ms <= TTL_MS


def test_a_replica_refuses_and_nothing_was_done(
    plain: Redis, store: LockStore, hurt: RedisServer
) -> None:
    plain.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(BackendUnavailable, match="replica"):
            ask(store, Acquire("a", new_owner(), TTL_MS))
    finally:
        plain.replicaof("NO", "ONE")
    assert look(store, "a").holders == ()


def test_too_few_replicas_refuse_and_nothing_was_done(
    store: LockStore, hindered: Callable[[str, str], None]
) -> None:
    hindered("min-replicas-to-write", "1")
    with pytest.raises(BackendUnavailable, match="replicas"):
        ask(store, Acquire("a", new_owner(), TTL_MS))
    hindered("min-replicas-to-write", "0")
    assert look(store, "a").holders == ()


def test_a_server_with_too_many_clients_is_unavailable(
    hurt: RedisServer, url: str, hindered: Callable[[str, str], None]
) -> None:
    hindered("maxclients", "1")
    with closing(registry.lock_store(url)) as store:
        with pytest.raises(BackendUnavailable, match="connections"):
            store.apply([])
        hindered("maxclients", "1000")
        assert store.apply([]) == []


def test_a_user_who_may_not_publish_has_locks_all_the_same(
    hurt: RedisServer, plain: Redis, url: str
) -> None:
    plain.acl_setuser(
        "mute", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all"], channels=[]
    )
    named = url.replace("redis://", "redis://mute:pw@")
    holder, waiter = new_owner(), new_owner()
    with closing(registry.lock_store(named)) as store:
        fence = ask(store, Acquire("a", holder, TTL_MS)).fence  # type: ignore[union-attr]
        ask(store, Acquire("a", waiter, TTL_MS, wait=True))
        assert ask(store, Release("a", holder, fence)) == Released()
        assert isinstance(ask(store, Acquire("a", waiter, TTL_MS, wait=True)), Granted)
        with pytest.raises(UsageError, match="prefix"):
            store.hints(new_client())


def test_a_user_who_may_do_nothing_is_told_so(hurt: RedisServer, plain: Redis, url: str) -> None:
    plain.acl_setuser("idle", enabled=True, passwords=["+pw"], commands=["+ping"])
    with closing(registry.lock_store(url.replace("redis://", "redis://idle:pw@"))) as store:
        with pytest.raises(UsageError, match="EVALSHA"):
            ask(store, Inspect("a"))


def test_a_database_that_is_not_there_is_told(url: str) -> None:
    with closing(registry.lock_store(url.replace("/0?", "/99?"))) as store:
        with pytest.raises(UsageError, match="database"):
            store.apply([])


def test_a_server_that_is_busy_with_a_script_is_unavailable(
    hurt: RedisServer, plain: Redis, store: LockStore, hindered: Callable[[str, str], None]
) -> None:
    store.apply([Inspect("a")])
    hindered("lua-time-limit", "1")

    def spin() -> None:
        with closing(hurt.plain()) as other, pytest.raises(Exception, match="killed"):
            other.eval("while true do end", 0)

    spinning = threading.Thread(target=spin)
    spinning.start()
    try:
        with pytest.raises(BackendUnavailable, match="script"):
            ask_until_refused(store)
    finally:
        plain.script_kill()
        spinning.join(10)
    assert look(store, "a").holders == ()
