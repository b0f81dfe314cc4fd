"""The channel for hints: what breaks it, and that waiters go on all the same."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from concordant import Client
from concordant.drivers import registry
from concordant.drivers.base import HintStream, LockStore
from concordant.errors import BackendUnavailable
from concordant.locking import limits
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Granted, Hint, Release
from tests.contract.parties import strangers
from tests.fault.postgres_trouble import Meanwhile, TroubledServer, troubled, until

pytestmark = pytest.mark.server

TTL_MS = 60_000
LISTENING = "query LIKE 'LISTEN%'"


@pytest.fixture
def server() -> TroubledServer:
    return troubled()


@pytest.fixture
def url(server: TroubledServer) -> str:
    return server.fresh()


@pytest.fixture
def store(url: str) -> Iterator[LockStore]:
    with closing(registry.lock_store(url)) as store:
        store.apply([])
        yield store


@pytest.fixture
def client() -> str:
    return new_client()


@pytest.fixture
def stream(store: LockStore, client: str) -> Iterator[HintStream]:
    with closing(store.hints(client)) as stream:
        yield stream


def hand_over(store: LockStore, client: str) -> Hint:
    """Let an owner of the client be granted a lock while it waits; return the hint for that."""
    [holder] = strangers(1)
    waiter = owner_id(client, 1)
    name = f"a {holder}"
    [granted] = store.apply([Acquire(name, holder, TTL_MS)])
    assert isinstance(granted, Granted)
    store.apply([Acquire(name, waiter, TTL_MS, wait=True), Release(name, holder, granted.fence)])
    [again] = store.apply([Acquire(name, waiter, TTL_MS, wait=True)])
    assert isinstance(again, Granted)
    return Hint(name, waiter, again.fence)


def test_a_channel_whose_session_was_ended_says_so_at_once(
    server: TroubledServer, store: LockStore, stream: HintStream, client: str
) -> None:
    waiting = Meanwhile(lambda: stream.get(60))
    assert server.end_sessions(LISTENING) == 1
    with pytest.raises(BackendUnavailable, match="open another"):
        waiting.result()
    # And it does not come back to life.
    with pytest.raises(BackendUnavailable):
        stream.get(0.05)
    with closing(store.hints(client)) as another:
        hint = hand_over(store, client)
        assert another.get(20) == [hint]


def test_a_channel_that_was_ended_before_anybody_read_says_so(
    server: TroubledServer, stream: HintStream
) -> None:
    assert server.end_sessions(LISTENING) == 1
    with pytest.raises(BackendUnavailable):
        stream.get(20)


def test_what_came_before_the_end_is_not_lost(
    server: TroubledServer, store: LockStore, stream: HintStream, client: str
) -> None:
    hint = hand_over(store, client)
    assert stream.get(20) == [hint]
    server.end_sessions(LISTENING)
    with pytest.raises(BackendUnavailable):
        stream.get(20)


def test_waiters_go_on_although_their_channels_are_ended(server: TroubledServer, url: str) -> None:
    """Over and over, while three clients take turns; each of them gets its own in time."""
    turns: list[int] = []
    stop = threading.Event()

    def take(number: int) -> None:
        with Client(url) as client:
            for _ in range(8):
                with client.lock("a", ttl_s=10, timeout_s=60):
                    turns.append(number)
                    time.sleep(0.005)

    def trouble() -> int:
        ended = 0
        while not stop.is_set():
            ended += server.end_sessions(LISTENING)
            time.sleep(0.05)
        return ended

    troubling = Meanwhile(trouble)
    for each in [Meanwhile(lambda number=number: take(number)) for number in range(3)]:
        each.result()
    stop.set()
    assert troubling.result() > 0
    assert sorted(turns) == sorted([0, 1, 2] * 8)


def test_a_waiter_whose_hint_was_lost_asks_again(server: TroubledServer, url: str) -> None:
    with Client(url) as holder, Client(url) as waiter:
        lease = holder.lock("a", ttl_s=60).acquire()
        waiting = Meanwhile(lambda: waiter.lock("a", ttl_s=60, timeout_s=60).acquire())
        until(lambda: holder.inspect("a").waiters)
        # The release falls into the gap between one channel and the next, or it does not.
        server.end_sessions(LISTENING)
        start_s = time.monotonic()
        lease.release()
        assert waiting.result().fence > lease.fence
        assert time.monotonic() - start_s < 4 * limits.RETRY_STEP_MS / 1000


@pytest.mark.parametrize("payload", ["", "x", "[]", '["a"]', '["a", "b", 1, 2]', "null"])
def test_what_somebody_else_sends_is_no_hint(
    url: str, store: LockStore, stream: HintStream, client: str, payload: str
) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as plain:
        plain.execute("SELECT pg_notify(%s, %s)", (f"concordant_{client}", payload))
    hint = hand_over(store, client)
    assert stream.get(20) == [hint]


def test_a_channel_that_is_closed_wakes_who_reads_it(stream: HintStream) -> None:
    waiting = Meanwhile(lambda: stream.get(60))
    time.sleep(0.1)
    stream.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        waiting.result()
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="closed"):
            stream.get(0.05)
    stream.close()


def test_a_name_of_any_kind_comes_back_in_its_hint(
    store: LockStore, stream: HintStream, client: str
) -> None:
    for name in ('"', "\\", "é \U0001f512 '", "x" * limits.NAME_BYTES_MAX, "[1]", "%s {}"):
        [holder] = strangers(1)
        [granted] = store.apply([Acquire(name, holder, TTL_MS)])
        assert isinstance(granted, Granted)
        waiter = owner_id(client, 1)
        wait = Acquire(name, waiter, TTL_MS, wait=True)
        store.apply([wait, Release(name, holder, granted.fence)])
        [hint] = stream.get(20)
        assert (hint.name, hint.owner) == (name, waiter)


def test_a_child_that_closes_its_copies_ends_nothing_of_its_parents(
    store: LockStore, stream: HintStream, client: str
) -> None:
    told, tell = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            stream.close()
            store.close()
            tell.send(b"x")
        finally:
            os._exit(0)
    assert told.recv(1) == b"x"
    os.waitpid(pid, 0)
    told.close()
    tell.close()
    hint = hand_over(store, client)
    assert stream.get(20) == [hint]
