"""The waiter of a lock: woken by any thread, before or while it waits, again and again."""

from __future__ import annotations

import threading
import time
from functools import partial

from concordant._bridge.aio import Wait
from concordant.session.listener import Won
from tests.provision.bridge import async_sleep
from tests.surface.together import AsyncBackground, Background

WON = Won(7, 1)


async def make_wait() -> Wait:
    return Wait("a", 1000)


async def test_a_grant_that_came_before_is_there_at_once() -> None:
    wait = await make_wait()
    wait.wake(WON)
    assert await wait.wait(20) == WON
    # It stays there: asking once more finds the same.
    assert await wait.wait(20) == WON


async def test_nothing_comes_in_time() -> None:
    wait = await make_wait()
    for timeout_s in (0, 0.02):
        begun = time.monotonic()
        assert await wait.wait(timeout_s) is None
        assert time.monotonic() - begun >= timeout_s


async def test_another_thread_brings_the_grant() -> None:
    wait = await make_wait()
    waiting = AsyncBackground(partial(wait.wait, 20))
    await async_sleep(0.02)
    Background(partial(wait.wake, WON)).result()
    assert await waiting.result() == WON


async def test_being_told_to_ask_again_ends_one_wait_only() -> None:
    wait = await make_wait()
    for _ in range(3):
        wait.wake(None)
        wait.wake(None)
        assert await wait.wait(20) is None
        begun = time.monotonic()
        assert await wait.wait(0.02) is None
        assert time.monotonic() - begun >= 0.02
    wait.wake(None)
    wait.wake(WON)
    wait.wake(None)
    assert await wait.wait(20) == WON


async def test_many_threads_wake_at_once() -> None:
    wait = await make_wait()
    waiting = AsyncBackground(partial(wait.wait, 20))
    await async_sleep(0.01)
    threads = [threading.Thread(target=wait.wake, args=(WON,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert await waiting.result() == WON
