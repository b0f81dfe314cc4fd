"""The lock store's contract: waiters that died or fell silent do not hold up the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.drivers.base import LockStore
from concordant.locking import limits
from concordant.locking.operations import Acquire, Granted, Hint, Release
from tests.contract.parties import Party, strangers
from tests.contract.sync.asking import TTL_MS, ask, grab, holders, queue, waiters
from tests.provision.backend import Backend
from tests.provision.backends import offering, params

ROOT = Path(__file__).resolve().parents[2]

_WAITER = """
import sys, time
from concordant.drivers import registry
from concordant.locking.operations import Acquire
url, name, owner, client = sys.argv[1:]
store = registry.lock_store(url)
stream = store.hints(client)
[result] = store.apply([Acquire(name, owner, 30_000, wait=True)])
print(type(result).__name__, flush=True)
time.sleep(60)
"""


@contextmanager
def waiting_process(
    url: str, name: str, owner: str, client: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a process that waits for a lock and listens for hints."""
    command = [sys.executable, "-c", _WAITER, url, name, owner, client]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "Queued"
            yield process
        finally:
            process.kill()


def across_processes() -> list[object]:
    return [p for p in params("lock_store") if p.values[0].promises.across_processes]


@pytest.fixture
def url(backend: Backend, tmp_path: Path) -> str:
    assert backend.lock_url is not None
    return backend.lock_url(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[LockStore]:
    with closing(registry.lock_store(url)) as opened:
        yield opened


def passed_on(store: LockStore, name: str, url: str, *signals: int) -> float:
    """Let the head of a queue be hit by signals, release, and wait until the next is told.

    Returns the seconds that this took.
    """
    gone, alive = Party(), Party()
    [holder] = strangers(1)
    fence = grab(store, name, holder)
    with closing(store.hints(alive.client)) as stream, ExitStack() as stack:
        head, second = gone.owner(), alive.owner()
        process = stack.enter_context(waiting_process(url, name, head, gone.client))
        queue(store, name, second)
        assert waiters(store, name) == [head, second]
        for number in signals:
            process.send_signal(number)
            if number == signal.SIGKILL:
                process.wait(timeout=10)
        begun = time.monotonic()
        ask(store, Release(name, holder, fence))
        hints: list[Hint] = []
        while not hints and time.monotonic() < begun + 4 * limits.CONFIRM_MS / 1000:
            hints = stream.get(0.25)
            # Asks now and then, as a waiter does whose hint may have been lost.
            if isinstance(ask(store, Acquire(name, second, TTL_MS, wait=True)), Granted):
                break
        took_s = time.monotonic() - begun
        assert holders(store, name) == [second]
    return took_s


@pytest.mark.parametrize("backend", across_processes())
def test_a_waiter_that_was_killed_is_passed_over(
    backend: Backend, store: LockStore, url: str
) -> None:
    took_s = passed_on(store, "a", url, signal.SIGKILL)
    if backend.promises.detects_dead_waiters:
        # Not a measure of speed: it must not have waited for the bound to run out.
        assert took_s < limits.CONFIRM_MS / 1000


@pytest.mark.slow
@pytest.mark.parametrize("backend", across_processes())
def test_a_waiter_that_was_stopped_is_passed_over(
    backend: Backend, store: LockStore, url: str
) -> None:
    passed_on(store, "a", url, signal.SIGSTOP)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_waiter_that_fell_silent_leaves_the_queue(tmp_path: Path) -> None:
    # All backends in one test, since it takes half a minute.
    with ExitStack() as stack:
        cases = []
        for backend in offering("lock_store"):
            assert backend.lock_url is not None
            url = backend.lock_url(tmp_path)
            opened = stack.enter_context(closing(registry.lock_store(url)))
            holder, silent, alive = strangers(3)
            fence = grab(opened, "a", holder, ttl_ms=4 * limits.WAITER_MS)
            queue(opened, "a", silent)
            queue(opened, "a", alive)
            cases.append((opened, holder, silent, alive, fence))
        time.sleep(limits.WAITER_MS / 2000)
        for opened, _, silent, alive, _ in cases:
            assert waiters(opened, "a") == [silent, alive]
            queue(opened, "a", alive)
        time.sleep(limits.WAITER_MS / 2000 + 1)
        for opened, holder, _, alive, fence in cases:
            assert waiters(opened, "a") == [alive]
            assert queue(opened, "a", alive) == 0
            ask(opened, Release("a", holder, fence))
            assert holders(opened, "a") == [alive]
            assert opened.names() == ["a"]
