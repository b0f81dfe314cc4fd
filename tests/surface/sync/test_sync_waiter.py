# Generated from tests/surface/aio/test_aio_waiter.py by tools/unasync.py; do not edit.
"""The waiter of a lock: woken by any thread, before or while it waits, again and again."""

from __future__ import annotations

import threading
import time
from functools import partial

from concordant._bridge.sync import Wait
from concordant.session.listener import Won
from tests.provision.bridge import sleep
from tests.surface.together import Background

WON = Won(7, 1)


def make_wait() -> Wait:
    return Wait("a", 1000)


def test_a_grant_that_came_before_is_there_at_once() -> None:
    wait = make_wait()
    wait.wake(WON)
    assert wait.wait(20) == WON
    # It stays there: asking once more finds the same.
    assert wait.wait(20) == WON


def test_nothing_comes_in_time() -> None:
    wait = make_wait()
    for timeout_s in (0, 0.02):
        begun = time.monotonic()
        assert wait.wait(timeout_s) is None
        assert time.monotonic() - begun >= timeout_s


def test_another_thread_brings_the_grant() -> None:
    wait = make_wait()
    waiting = Background(partial(wait.wait, 20))
    sleep(0.02)
    Background(partial(wait.wake, WON)).result()
    assert waiting.result() == WON


def test_being_told_to_ask_again_ends_one_wait_only() -> None:
    wait = make_wait()
    for _ in range(3):
        wait.wake(None)
        wait.wake(None)
        assert wait.wait(20) is None
        begun = time.monotonic()
        assert wait.wait(0.02) is None
        assert time.monotonic() - begun >= 0.02
    wait.wake(None)
    wait.wake(WON)
    wait.wake(None)
    assert wait.wait(20) == WON


def test_many_threads_wake_at_once() -> None:
    wait = make_wait()
    waiting = Background(partial(wait.wait, 20))
    sleep(0.01)
    threads = [threading.Thread(target=wait.wake, args=(WON,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waiting.result() == WON
