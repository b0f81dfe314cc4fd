"""The parent's side of a crash test: start children, see where they are, let them go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.crash.job import Job, idle_file, reached_file, release_file, result_file

ROOT = Path(__file__).resolve().parents[2]

# A bound for hangs, not a measure of speed.
PATIENCE_S = 30.0
_POLL_S = 0.004


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds; fails if it never does."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"waited {PATIENCE_S:g} s in vain: {what}"
        time.sleep(_POLL_S)


class Children:
    """Starts child processes; whatever still runs at the end of the `with` is killed."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for whoever runs the tests, who ends these in good order.
            process_group=0,
        )

    def start(self, job: Job) -> Child:
        """Start a child that does the job."""
        Path(job.folder).mkdir(parents=True, exist_ok=True)
        return Child(self, job, self.tell("start", str(job.write())))

    def tell(self, command: str, argument: object) -> Any:
        """Ask the zygote and return its answer."""
        with self._mutex:
            assert self._zygote.stdin is not None
            assert self._zygote.stdout is not None
            self._zygote.stdin.write(json.dumps([command, argument]) + "\n")
            self._zygote.stdin.flush()
            return json.loads(self._zygote.stdout.readline())

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(PATIENCE_S)
        self._zygote.stdout.close()


class Child:
    """One child process and its job."""

    def __init__(self, children: Children, job: Job, pid: int) -> None:
        self._children = children
        self.job = job
        self.pid = pid

    def _state(self) -> int | str:
        state: int | str = self._children.tell("ask", self.pid)
        return state

    def wait(self) -> int:
        """Wait for its end and return its exit code, or minus the signal that killed it."""
        code: int | str = "running"

        def over() -> bool:
            nonlocal code
            code = self._state()
            return isinstance(code, int)

        wait_until(over, f"the end of {self}")
        assert isinstance(code, int)
        return code

    def crashed(self) -> None:
        """Wait until it was killed at its fault."""
        assert self.wait() == -signal.SIGKILL, self.log()
        self.check_reached()

    def ended(self) -> dict[str, Any]:
        """Wait until it has ended by itself and return how; every fault must be reached."""
        assert self.wait() == 0, self.log()
        self.check_reached()
        ended: dict[str, Any] = json.loads(result_file(self.job.folder).read_text("utf-8"))
        return ended

    def paused(self) -> None:
        """Wait until it has stopped itself."""
        wait_until(lambda: self._state() == "stopped", f"{self} stops itself; {self.log()}")
        self.check_reached()

    def resume(self) -> None:
        """Let it go on after a pause."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it wherever it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """End it as kill -9 does."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def wait_reached(self, number: int = 0) -> None:
        """Wait until it is at the fault, or has been there."""
        file = reached_file(self.job.folder, number)
        wait_until(file.exists, f"{self} reaches {self.job.faults[number]}; {self.log()}")

    def release(self, number: int = 0) -> None:
        """Let it go on from where it holds, or let its late request be carried out."""
        release_file(self.job.folder, number).touch()

    def wait_idle(self) -> None:
        """Wait until it has done all but what its late requests will do."""
        wait_until(idle_file(self.job.folder).exists, f"{self} is done; {self.log()}")

    def check_reached(self) -> None:
        """Fail unless every fault was reached: a test that missed its point shows nothing."""
        for number, fault in enumerate(self.job.faults):
            reached = reached_file(self.job.folder, number).exists()
            assert reached, f"{self} never reached {fault}: {self.log()}"

    def log(self) -> str:
        """Return what the child has said."""
        file = Path(self.job.folder, "child.log")
        return file.read_text("utf-8", "replace") if file.exists() else "(it said nothing)"

    def __repr__(self) -> str:
        return f"<child {self.pid} {self.job.role} in {self.job.folder}>"
