"""Processes that contend for locks, and what is done to them."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from types import TracebackType

from tests.history.events import Event, now_ns, read
from tests.history.guarded import journal_of

ROOT = Path(__file__).resolve().parents[2]
# Several, so that the wait for one whose holder was hit is no wait for all.
LOCKS = 3


class Fleet:
    """A number of contending processes; whoever is killed is replaced.

    All of them use a register behind the guard of the driver whose locks they contend for.
    """

    def __init__(self, url: str, folder: Path, size: int, seconds: float, ttl_ms: int) -> None:
        self._url = url
        self._folder = folder
        self._ttl_ms = ttl_ms
        self._until_ns = now_ns() + round(seconds * 1e9)
        self._numbers = count()
        self.killed: list[str] = []
        # The register is made before anybody can race for it.
        assert journal_of(url, folder) == []
        self._alive = dict(self._start() for _ in range(size))

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._alive.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        """Whether there is time left to trouble somebody."""
        return now_ns() < self._until_ns

    def stop_one(self, rng: random.Random, seconds: float) -> None:
        """Stop a process for a while, then let it go on as if nothing had happened."""
        process = self._alive[rng.choice(sorted(self._alive))]
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def kill_one(self, rng: random.Random) -> None:
        """Kill a process, and start another in its place."""
        name = rng.choice(sorted(self._alive))
        process = self._alive.pop(name)
        process.kill()
        process.wait()
        self.killed.append(name)
        self._alive.update([self._start()])

    def finish(self) -> None:
        """Wait until all are done; each must end well."""
        for name, process in self._alive.items():
            assert process.wait(timeout=30) == 0, name

    def recorded(self, kind: str = "*") -> list[Event]:
        """Return what the processes of a kind have recorded: "user-*", "port-*" or all."""
        return read(sorted(self._folder.glob(f"{kind}.jsonl")))

    def history(self) -> list[Event]:
        """Return all that was recorded, the register's journal included."""
        return self.recorded() + journal_of(self._url, self._folder)

    def _start(self) -> tuple[str, subprocess.Popen[bytes]]:
        # By turns one that uses the store's port as it is, and one that is a user's program.
        number = next(self._numbers)
        name = f"user-{number}" if number % 2 else f"port-{number}"
        seconds = max(0.1, (self._until_ns - now_ns()) / 1e9)
        command = [sys.executable, "-m", "tests.history.process", self._url, str(self._folder)]
        command += [name, "--seconds", str(seconds), "--ttl-ms", str(self._ttl_ms)]
        command += ["--locks", str(LOCKS), *(["--user"] if number % 2 else [])]
        return name, subprocess.Popen(command, cwd=ROOT)
