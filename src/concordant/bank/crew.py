"""The worker processes: started, listened to, stopped, killed and replaced."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from concordant.bank.plan import BankPlan
from concordant.errors import ConcordantError


@dataclass(frozen=True, slots=True)
class Event:
    """Something a worker said, or its end (kind `exit`)."""

    slot: int
    pid: int
    kind: str
    facts: dict[str, Any]


class Worker:
    """One worker process and the thread that reads what it says."""

    def __init__(self, plan: BankPlan, slot: int, events: queue.SimpleQueue[Event]) -> None:
        self.slot = slot
        self.owner = ""
        self.done = False
        self._events = events
        self._process = subprocess.Popen(
            # Of how many is said here: this run may have more or fewer than the one before.
            [
                *(sys.executable, "-m", "concordant.bank.worker"),
                *(plan.directory, str(slot), str(plan.workers)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # A killed worker's last line may be torn.
            with contextlib.suppress(ValueError):
                facts = json.loads(line)
                self._events.put(Event(self.slot, self.pid, facts.pop("event"), facts))
        code = self._process.wait()
        self._events.put(Event(self.slot, self.pid, "exit", {"code": code}))

    def stop(self) -> bool:
        """Stop the process (SIGSTOP) and wait until it stands; False if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)
        end_s = time.monotonic() + 5
        flags = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
        while time.monotonic() < end_s:
            try:
                seen = os.waitid(os.P_PID, self.pid, flags)
            except ChildProcessError:
                return False
            if seen is not None:
                return seen.si_code == os.CLD_STOPPED
            time.sleep(0.0005)
        return False

    def resume(self) -> None:
        """Let a stopped process go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process (SIGKILL) and wait until it is gone."""
        self._process.kill()
        self._reader.join()

    def close(self) -> None:
        """End the process by closing its stdin; it is killed if that does not help."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self.resume()
        self._reader.join(10)
        if self._reader.is_alive():
            self.kill()


class Crew:
    """All workers of a run."""

    def __init__(self, plan: BankPlan) -> None:
        self._plan = plan
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.workers: dict[int, Worker] = {}

    def start(self, slot: int) -> Worker:
        """Start a worker for the slot, in place of the one that had it."""
        worker = Worker(self._plan, slot, self.events)
        self.workers[slot] = worker
        return worker

    def listen(self, timeout_s: float) -> Iterator[Event]:
        """Yield what has been said, waiting at most this long for the first.

        Raises ConcordantError when a worker ended without having done its part.
        """
        try:
            event = self.events.get(timeout=timeout_s)
            while True:
                self._note(event)
                yield event
                event = self.events.get_nowait()
        except queue.Empty:
            return

    def _note(self, event: Event) -> None:
        worker = self.workers.get(event.slot)
        if worker is None or worker.pid != event.pid:
            return
        if event.kind == "ready":
            worker.owner = event.facts["owner"]
        elif event.kind == "done":
            worker.done = True
        elif event.kind == "exit" and not worker.done:
            raise ConcordantError(
                f"worker {event.slot} (pid {event.pid}) ended with code {event.facts['code']}; "
                "its messages are above, and running again with the same --dir goes on"
            )

    @property
    def done(self) -> bool:
        """Whether every slot is done."""
        return all(worker.done for worker in self.workers.values())

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.close()
