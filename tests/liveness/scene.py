"""Where a bound is measured, and who else is there: threads, tasks and processes that wait."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from concordant import AsyncClient, Client
from concordant.aio.lock import AsyncLock
from concordant.sync.lock import Lock
from tests.crash.harness import ROOT
from tests.crash.stage import Combo
from tests.crash.theatre import Theatre
from tests.provision.backend import Backend
from tests.provision.command_line import until

World = Literal["aio", "sync"]
NAME = "wanted"
# Leases that are not to run out, and waits that are not to end by themselves.
LONG_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One round: a folder of its own, and a lock store or databases with a log.

    `backend` keeps the locks, `combo` the transactions; a measure knows which of them it has.
    """

    folder: Path
    world: World
    theatre: Callable[[], Theatre]
    backend: Backend | None = None
    combo: Combo | None = None

    def lock_url(self) -> str:
        """Return the URL of a lock store that nobody else uses."""
        assert self.backend is not None
        assert self.backend.lock_url is not None
        return self.backend.lock_url(self.folder)


# --- one acquisition in either world ------------------------------------------------------


async def _aio(url: str, name: str, ttl_s: float, work: Callable[[AsyncLock], Any]) -> Any:
    async with AsyncClient(url) as client:
        return await work(client.lock(name, ttl_s=ttl_s, timeout_s=LONG_S))


def _sync(url: str, name: str, ttl_s: float, work: Callable[[Lock], Any]) -> Any:
    with Client(url) as client:
        return work(client.lock(name, ttl_s=ttl_s, timeout_s=LONG_S))


def in_world(
    world: World,
    url: str,
    aio: Callable[[AsyncLock], Any],
    sync: Callable[[Lock], Any],
    ttl_s: float = LONG_S,
) -> Any:
    """Do one of the two with a lock of a client of its own, and return what that returns."""
    if world == "aio":
        return asyncio.run(_aio(url, NAME, ttl_s, aio))
    return _sync(url, NAME, ttl_s, sync)


async def _take_aio(lock: AsyncLock) -> float:
    async with lock:
        return time.monotonic()


def _take_sync(lock: Lock) -> float:
    with lock:
        return time.monotonic()


def take(world: World, url: str) -> float:
    """Wait for the lock, give it back, and return when it was granted."""
    granted_s: float = in_world(world, url, _take_aio, _take_sync)
    return granted_s


def until_waiting(observer: Client, number: int) -> None:
    """Return as soon as so many wait for the lock."""
    until(lambda: len(observer.inspect(NAME).waiters) == number, f"{number} waiters")


# --- processes that come to grief ---------------------------------------------------------


class Victim:
    """A process that holds the lock or waits for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def held(self) -> None:
        """Return once it holds."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def kill(self) -> float:
        """End it as kill -9 does, and return when."""
        killed_s = time.monotonic()
        self._process.kill()
        self._process.wait(LONG_S)
        return killed_s

    def stop(self) -> None:
        """Let it stand still."""
        self._process.send_signal(signal.SIGSTOP)


@contextmanager
def victim(world: World, url: str, ttl_s: float = LONG_S) -> Iterator[Victim]:
    """Start a process that takes the lock and stays; it is killed at the end."""
    command = [sys.executable, "-m", "tests.liveness.party", world, url, NAME, str(ttl_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Victim(process)
        finally:
            process.kill()
