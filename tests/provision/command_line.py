"""The command line as its users have it: processes, their output and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from concordant.drivers import registry
from concordant.locking.operations import Inspect, View

CONCORDANT = str(Path(sys.executable).with_name("concordant"))
_WAIT_S = 30.0

# For scripts of sh. `tell NAME TEXT` writes a file whole, so that a reader never sees half of
# it. The loops are long for a test, but not for ever: should it fail, nobody would end them.
TELL = 'tell() { echo "$2" > "$1.new" && mv "$1.new" "$1"; }; '
LOOP = "n=0; while [ $((n += 1)) -lt 2000 ]; do sleep 0.05; done"
AWAIT = "n=0; until [ -e stop ] || [ $((n += 1)) -ge 2000 ]; do sleep 0.05; done"


def until(seen: Callable[[], Any], what: str) -> Any:
    """Return what is seen as soon as it is true; fail after a bound that only hangs reach."""
    end = time.monotonic() + _WAIT_S
    while not (value := seen()):
        assert time.monotonic() < end, f"never seen: {what}"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Tell whether the process runs or stands still; a zombie does neither."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """Return the process's state as ps shows it (R, S, T, Z...), "" if there is none."""
    return _ps("-o", "state=", "-p", str(pid)).strip()[:1]


def children(pid: int) -> list[int]:
    """Return the processes that this one has started."""
    lines = [line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines()]
    return [int(child) for child, parent in lines if int(parent) == pid]


def _ps(*arguments: str) -> str:
    done = subprocess.run(["ps", *arguments], capture_output=True, text=True, timeout=30)
    return done.stdout


class Shell:
    """Starts `concordant` in one folder, on one store, and ends what is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite://{folder}/locks.db"
        self.environment = {
            **os.environ,
            "CONCORDANT_URL": self.url,
            "XDG_STATE_HOME": str(folder / "state"),
            "COLUMNS": "200",
        }
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [CONCORDANT, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def json(self, *arguments: str) -> Any:
        """Run to a good end and return the JSON that is alone on stdout."""
        done = self.run(*arguments)
        assert done.returncode == 0, done
        assert done.stderr == ""
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start in a process group of its own, as an interactive shell does."""
        process = subprocess.Popen(
            [CONCORDANT, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End what was started and still runs, and what that has started."""
        for process in self._started:
            if process.poll() is None:
                for pid in [*children(process.pid), process.pid]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            for stream in (process.stdout, process.stderr):
                # Not read to its end, which is not there while a command of ours lives on.
                if stream is not None:
                    stream.close()
            process.wait(30)

    # --- what the store says, and what commands leave in the folder -------------------------

    def view(self, name: str) -> View:
        """Return the lock as it stands in the store."""
        store = registry.lock_store(self.url)
        try:
            (view,) = store.apply([Inspect(name)])
        finally:
            store.close()
        assert isinstance(view, View)
        return view

    def fence(self, name: str) -> int:
        """Return the fence of the lock's holder, 0 if nobody holds it."""
        holders = self.view(name).holders
        return holders[0].fence if holders else 0

    def written(self, name: str) -> str:
        """Return what a command has written into a file whole (by `mv`), "" if nothing yet."""
        try:
            return (self.folder / name).read_text().strip()
        except FileNotFoundError:
            return ""
