"""The hint channel of Redis when it breaks, and who notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis import Redis

from concordant import Client
from concordant.drivers import registry
from concordant.drivers.base import HintStream
from concordant.drivers.redis import hints
from concordant.errors import BackendUnavailable
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Acquire, Granted, Release
from tests.fault.proxy import Proxy
from tests.provision.redis import RedisServer, server

pytestmark = pytest.mark.server

TTL_MS = 30_000


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(server().port) as between:
        yield between


def through(proxy: Proxy) -> str:
    own = server().url()
    return own.replace(f":{server().port}/", f":{proxy.port}/") + "&reply_timeout_s=0.5"


def listen_until_it_breaks(stream: HintStream) -> None:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        stream.get(1.0)


def kill_channels(plain: Redis) -> None:
    plain.client_kill_filter(_type="pubsub")


def test_a_channel_that_the_server_closes_is_noticed_at_once(proxy: Proxy) -> None:
    with closing(registry.lock_store(through(proxy))) as store:
        stream = store.hints(new_client())
        threading.Timer(0.2, proxy.cut).start()
        begun_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="channel"):
            stream.get(20)
        assert time.monotonic() - begun_s < 10
        stream.close()


def test_a_channel_that_fell_silent_is_noticed(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "_PING_S", 0.2)
    with closing(registry.lock_store(through(proxy))) as store:
        stream = store.hints(new_client())
        # It answers as long as there is somebody, ...
        assert stream.get(1.0) == []
        # ... and is given up when nobody does: the ping never arrives.
        proxy.on(b"PING", "hold")
        with pytest.raises(BackendUnavailable, match="silent"):
            listen_until_it_breaks(stream)
        stream.close()


def test_a_channel_to_nobody_is_refused(proxy: Proxy) -> None:
    url = through(proxy)
    proxy.refuse()
    with closing(registry.lock_store(url)) as store:
        with pytest.raises(BackendUnavailable):
            store.hints(new_client())


def test_hints_that_came_together_are_all_read() -> None:
    # More than one read of the socket can hold.
    with closing(registry.lock_store(server().url())) as store:
        holder, client = owner_id(new_client(), 1), new_client()
        names = [f"{number:04}" + "x" * 400 for number in range(200)]
        with closing(store.hints(client)) as stream:
            waiting = [owner_id(client, number) for number in range(len(names))]
            fences = []
            for granted in store.apply([Acquire(name, holder, TTL_MS) for name in names]):
                assert isinstance(granted, Granted)
                fences.append(granted.fence)
            pairs = list(zip(names, waiting, strict=True))
            store.apply([Acquire(name, owner, TTL_MS, wait=True) for name, owner in pairs])
            store.apply([Release(n, holder, f) for n, f in zip(names, fences, strict=True)])
            told = []
            while len(told) < len(names):
                more = stream.get(10)
                assert more
                told += [(hint.name, hint.owner) for hint in more]
        assert told == pairs


def test_what_is_no_hint_is_passed_over() -> None:
    url = server().url("odd:")
    client = new_client()
    with closing(registry.lock_store(url)) as store, closing(store.hints(client)) as stream:
        with closing(server().plain()) as plain:
            for message in (b"hello", b"\xff\xfe", b"[]", b'["a"]'):
                assert plain.publish(f"odd:hint:{client}", message) == 1
            plain.publish(f"odd:hint:{client}", b'["a","o.1",7]')
        told = []
        while not told:
            told = stream.get(10)
    assert [(hint.name, hint.owner, hint.fence) for hint in told] == [("a", "o.1", 7)]


def test_waiters_are_served_after_their_channel_broke() -> None:
    own = RedisServer()
    own.start()
    try:
        with Client(own.url("x:")) as one, Client(own.url("x:")) as other:
            held = one.lock("a").acquire()
            won = threading.Event()

            def wait() -> None:
                with other.lock("a"):
                    won.set()

            waiting = threading.Thread(target=wait)
            waiting.start()
            while not one.inspect("a").waiters:
                time.sleep(0.01)
            with closing(own.plain()) as plain:
                kill_channels(plain)
                # Taken for gone, it comes back by asking; nobody waits for a bound to run out.
                held.release()
            assert won.wait(20)
            waiting.join(20)
    finally:
        own.close()
