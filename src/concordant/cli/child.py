"""A command in a process group of its own, so that it can be told, and ended, as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from concordant.cli.exits import NOT_EXECUTABLE, NOT_FOUND, SIGNALLED, Failure

_STDERR: Final = 2


@dataclass(frozen=True, slots=True)
class Stopped:
    """The command stands still by this signal, and can be continued."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The command is over: its exit code, or 128 plus the signal that killed it."""

    code: int


class Child:
    """The command that runs under the lock, and whatever it starts in its process group."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._ended: Ended | None = None
        self.group = process.pid

    @classmethod
    def start(
        cls, command: Sequence[str], environment: Mapping[str, str], stdout_to_stderr: bool
    ) -> Child:
        """Start the command; Failure with 126 or 127 if it cannot be executed."""
        try:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=_STDERR if stdout_to_stderr else None,
                process_group=0,
            )
        except (FileNotFoundError, NotADirectoryError):
            raise Failure(NOT_FOUND, f"cannot run {command[0]!r}: not found") from None
        except OSError as error:
            why = f"cannot run {command[0]!r}: {error.strerror}"
            raise Failure(NOT_EXECUTABLE, why) from None
        return cls(process)

    def poll(self) -> Ended | Stopped | None:
        """Return what became of the command itself; None while it runs."""
        if self._ended is not None:
            return self._ended
        pid, status = os.waitpid(self.group, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            return Stopped(os.WSTOPSIG(status))
        code = os.waitstatus_to_exitcode(status)
        # Popen did not reap it, and would wait for it in vain.
        self._process.returncode = code
        self._ended = Ended(code if code >= 0 else SIGNALLED - code)
        return self._ended

    def send(self, number: int) -> None:
        """Send a signal to every process of the group."""
        try:
            os.killpg(self.group, number)
        except (ProcessLookupError, PermissionError):
            pass  # they are gone, or have become somebody else's by setuid

    def gone(self) -> bool:
        """Tell whether nothing of the group runs any more, once the command has ended."""
        try:
            os.killpg(self.group, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return not _any_alive(self.group)


def _any_alive(group: int) -> bool:
    """Tell whether a process of the group is more than a zombie.

    In a container whose first process reaps nobody, zombies stay for ever.
    """
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True  # no /proc, where the first process does reap
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                # "pid (name) state parent group ...": the name may hold anything.
                state, _, its_group = file.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended meanwhile
        if int(its_group) == group and state not in "ZX":
            return True
    return False


def signal_name(number: int) -> str:
    """Return SIGTERM for 15."""
    return signal.Signals(number).name
