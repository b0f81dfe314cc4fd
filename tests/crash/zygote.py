"""Forks child processes on demand, so that each starts at once and is a process of its own.

Run as `python -m tests.crash.zygote`. It reads one JSON list a line (`["start", job]`,
`["ask", pid]`) and answers with one JSON value a line. It has no threads and no connections,
so a fork of it is as clean as a new process. At the end of its input it kills what is left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import concordant.drivers
from tests.crash.child import run
from tests.crash.job import Job


def _preload() -> None:
    """Import the drivers here once, and not in every child."""
    drivers = walk_packages(concordant.drivers.__path__, "concordant.drivers.")
    for module in drivers:
        # What lacks its package is not under test either.
        with suppress(ImportError):
            import_module(module.name)


def _start(path: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        job = Job.read(Path(path))
        log = os.open(Path(job.folder, "child.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        try:
            run(job)
            code = 0
        except BaseException:
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ask(pid: int, ended: dict[int, int]) -> int | str:
    """Return the child's exit code (minus the signal that killed it), or what it is doing."""
    if pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if not found or os.WIFCONTINUED(status):
            return "running"
        if os.WIFSTOPPED(status):
            return "stopped"
        ended[pid] = os.waitstatus_to_exitcode(status)
    return ended[pid]


def main() -> None:
    """Serve until the input ends."""
    _preload()
    started: set[int] = set()
    ended: dict[int, int] = {}
    for line in sys.stdin:
        command, argument = json.loads(line)
        answer: int | str
        if command == "start":
            answer = _start(argument)
            # After many children the system gives the same numbers again.
            ended.pop(answer, None)
            started.add(answer)
        else:
            answer = _ask(argument, ended)
        print(json.dumps(answer), flush=True)
    for pid in started:
        if pid not in ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
