# Generated from tests/surface/aio/test_aio_client_ends.py by tools/unasync.py; do not edit.
"""What a client refuses, and what is left when it is closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest

from concordant import Client, LockLost, LockTimeout, UsageError
from tests.surface.sync.standing import holders, until_waiting
from tests.surface.together import Background


def test_closing_gives_back_what_is_held(client: Client, lock_url: str) -> None:
    other = Client(lock_url)
    lease = other.lock("a").acquire()
    leases = other.locks(["b", "c"]).acquire()
    other.close()
    assert client.names() == []
    with pytest.raises(LockLost):
        lease.check()
    with pytest.raises(LockLost):
        lease.release()
    with pytest.raises(LockLost):
        leases.release()


def test_closing_gives_back_more_than_one_batch(client: Client, lock_url: str) -> None:
    with Client(lock_url) as other:
        other.locks([f"n{number}" for number in range(250)]).acquire()
        other.locks([f"m{number}" for number in range(250)]).acquire()
    assert client.names() == []


def test_closing_ends_who_waits(client: Client, lock_url: str) -> None:
    other = Client(lock_url)
    with client.lock("a"):
        waiting = [Background(other.lock("a").acquire) for _ in range(3)]
        waiting.append(Background(other.locks(["A", "a"]).acquire))
        until_waiting(client, "a", 4)
        other.close()
        for each in waiting:
            with pytest.raises(UsageError, match="closed"):
                each.result()
        # A place that was left in the queue would hold up whoever comes next.
        assert (client.inspect("a")).waiters == ()
        assert holders(client, "A") == []


def test_a_closed_client_is_of_no_use(lock_url: str) -> None:
    client = Client(lock_url)
    lock = client.lock("a")
    with client:
        with lock:
            pass
    for ask in (
        lock.acquire,
        client.locks(["a", "b"]).acquire,
        partial(client.inspect, "a"),
        client.names,
        partial(client.break_lock, "a"),
        client.ping,
    ):
        with pytest.raises(UsageError, match="closed"):
            ask()
    with pytest.raises(UsageError, match="closed"):
        with client:
            pass
    client.close()


def test_a_client_that_was_never_used_can_be_closed(lock_url: str) -> None:
    Client(lock_url).close()


@pytest.mark.parametrize("ttl_s", [math.nan, math.inf, -math.inf, -1, 0, 0.049, 1e9])
def test_a_ttl_out_of_bounds_is_refused(client: Client, ttl_s: float) -> None:
    with pytest.raises(UsageError, match="ttl_s"):
        client.lock("a", ttl_s=ttl_s)
    with pytest.raises(UsageError, match="ttl_s"):
        client.locks(["a"], ttl_s=ttl_s)


@pytest.mark.parametrize("timeout_s", [math.nan, -math.inf, -1, -1.0, -0.001])
def test_a_timeout_that_is_none_is_refused(client: Client, timeout_s: float) -> None:
    with pytest.raises(UsageError, match="timeout_s"):
        client.lock("a", timeout_s=timeout_s)
    with pytest.raises(UsageError, match="timeout_s"):
        client.lock("a").acquire(timeout_s=timeout_s)
    with pytest.raises(UsageError, match="timeout_s"):
        client.locks(["a", "b"]).acquire(timeout_s=timeout_s)
    assert client.names() == []


def test_an_endless_timeout_is_for_ever(client: Client, open_client: Callable[[], Client]) -> None:
    lease = client.lock("a", timeout_s=math.inf).acquire()
    waiting = Background(partial(open_client().lock("a", timeout_s=0).acquire, timeout_s=None))
    until_waiting(client, "a", 1)
    lease.release()
    (waiting.result()).release()


@pytest.mark.parametrize("name", ["", "a\nb", "a\0", "\x7f", "\ud800", "x" * 513, "é" * 257, b"a"])
def test_what_is_no_name_is_refused(client: Client, name: str) -> None:
    with pytest.raises(UsageError):
        client.lock(name)
    with pytest.raises(UsageError):
        client.locks(["a", name])
    with pytest.raises(UsageError):
        client.inspect(name)
    with pytest.raises(UsageError):
        client.break_lock(name)


def test_a_note_that_is_too_long_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="note"):
        client.lock("a", note="x" * 513).acquire()
    with pytest.raises(UsageError, match="note"):
        client.locks(["a", "b"], note="é" * 257).acquire()
    with client.lock("a", note="x" * 512):
        pass
    assert client.names() == []


def test_a_client_says_what_it_is(client: Client) -> None:
    assert type(client).__name__ in repr(client)
    assert str(client.capabilities.fencing) in repr(client)
    with client.lock("a") as lease:
        assert repr(lease) == f"<{type(lease).__name__} 'a' fence={lease.fence} held>"
    assert "ended" in repr(lease)


def test_a_try_that_failed_leaves_the_lock_usable(
    client: Client, open_client: Callable[[], Client]
) -> None:
    other = open_client()
    lock = other.lock("a", timeout_s=0)
    with client.lock("a"):
        for _ in range(3):
            with pytest.raises(LockTimeout):
                with lock:
                    pass
    with lock:
        pass
