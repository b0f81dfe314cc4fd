"""A forked child: it holds nothing, is told so, and leaves what its parent holds alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from concordant import AsyncClient, Client, LockLost, LockTimeout, UsageError
from tests.provision.backends import params
from tests.surface.sync.standing import holders
from tests.surface.together import Background

TTL_S = 1.0


def in_child(see: Callable[[], None]) -> str:
    """Run a function in a forked child; return "" if it came through, or how it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"the child died"
        try:
            signal.alarm(20)
            see()
            said = b""
        except BaseException as error:
            said = repr(error).encode()
        finally:
            os.write(writing, said)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said_by_child = answer.read()
    _, status = os.waitpid(child, 0)
    return said_by_child or ("" if status == 0 else f"status {status}")


def raises(error: type[Exception], call: Callable[[], object]) -> None:
    """Like pytest.raises, which must not run in a child."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"{call} raised no {error.__name__}")


def test_a_child_has_no_part_in_its_parents_locks(lock_url: str) -> None:
    with Client(lock_url) as client, Client(lock_url) as onlooker:
        lock = client.lock("a", ttl_s=TTL_S)
        with lock as lease:
            told: list[bool] = []
            lease.on_lost(lambda: told.append(True))

            def child() -> None:
                assert lease.lost
                assert lease.remaining_s == 0
                raises(LockLost, lease.check)
                raises(LockLost, lease.release)
                raises(UsageError, client.lock("b").acquire)
                raises(UsageError, client.locks(["b", "c"]).acquire)
                raises(UsageError, lambda: client.inspect("a"))
                raises(UsageError, client.names)
                raises(UsageError, client.ping)
                raises(LockLost, lambda: lock.__exit__(None, None, None))
                client.close()

            assert in_child(child) == ""
            # Longer than the TTL: the parent has gone on renewing.
            time.sleep(1.2 * TTL_S)
            lease.check()
            assert holders(onlooker, "a") == [lease.owner]
            assert not told
            # And its connections work as before.
            with client.lock("b", timeout_s=0):
                assert client.names() == ["a", "b"]
        assert holders(onlooker, "a") == []


@pytest.mark.parametrize(
    "lock_backend", [p for p in params("lock_store") if p.values[0].promises.across_processes]
)
def test_a_child_may_make_its_own_client(lock_url: str) -> None:
    with Client(lock_url) as client, client.lock("a"):

        def child() -> None:
            with Client(lock_url) as own:
                raises(LockTimeout, own.lock("a", timeout_s=0).acquire)
                with own.lock("b", timeout_s=5) as lease:
                    lease.check()

        assert in_child(child) == ""
        assert client.names() == ["a"]


def test_a_child_that_waited_leaves_the_parent_waiting(lock_url: str) -> None:
    with Client(lock_url) as holder, Client(lock_url) as client:
        held = holder.lock("a").acquire()
        waiting = Background(client.lock("a").acquire)
        while not holder.inspect("a").waiters:
            time.sleep(0.01)
        assert in_child(client.close) == ""
        held.release()
        lease = waiting.result()
        lease.check()
        lease.release()


def first_step(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine up to where it would have to wait, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    finally:
        coroutine.close()
    raise AssertionError("it has something to wait for")


async def test_a_child_of_an_async_parent_is_told_too(lock_url: str) -> None:
    async with AsyncClient(lock_url) as client:
        async with client.lock("a", ttl_s=TTL_S) as lease:

            def child() -> None:
                raises(LockLost, lease.check)
                raises(LockLost, lambda: first_step(lease.release()))
                raises(UsageError, lambda: first_step(client.lock("b").acquire()))
                raises(UsageError, lambda: first_step(client.inspect("a")))
                first_step(client.aclose())

            assert in_child(child) == ""
            await asyncio.sleep(1.2 * TTL_S)
            lease.check()
            assert [h.owner for h in (await client.inspect("a")).holders] == [lease.owner]
        assert (await client.inspect("a")).holders == ()
