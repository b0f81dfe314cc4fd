"""A program of its own: ends a command whose keeper died or stands still past its lease.

A killed process cannot end its child, and a stopped one cannot know that its lease ran out;
somebody else must, or the next holder's command runs beside this one's. The keeper writes
lines to the stdin of this program: ``until N`` (the lease surely holds until then, in
nanoseconds of the boot-time clock), then ``group N`` (the process group to end), and ``done``.

It is started by path and imports nothing but the standard library, to be small and quick.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import Final

_STDIN: Final = 0
_LOOK_S: Final = 0.05
# A keeper that lives sees the end of its lease by itself; it has this long to say so.
_SLACK_NS: Final = 200_000_000
# A suspended machine's waits run on a clock that stood still; so none is long.
_WAIT_MAX_S: Final = 5.0
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Return nanoseconds that go on while the machine is suspended, where it can tell."""
    return time.clock_gettime_ns(_CLOCK)


class Warden:
    """What the keeper has said so far."""

    def __init__(self) -> None:
        self.group = 0
        self.until_ns = 0
        self._unread = b""

    def wait(self) -> str:
        """Return why the command must end: "died" or "stands still"; "" if it need not."""
        while True:
            left_s = _WAIT_MAX_S
            if self.group:
                left_s = min(left_s, max(0, self.until_ns + _SLACK_NS - now_ns()) / 1e9)
            if select.select([_STDIN], [], [], left_s)[0]:
                data = os.read(_STDIN, 4096)
                if not data:
                    return "died" if self.group else ""
                if self._heed(data):
                    return ""
            elif self.group and now_ns() >= self.until_ns + _SLACK_NS:
                return "stands still"

    def _heed(self, data: bytes) -> bool:
        """Take in what was written; True when all is done."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"done":
                return True
            if word == b"group":
                self.group = int(number)
            elif word == b"until":
                self.until_ns = int(number)
        return False

    def end(self, kill_ns: int) -> None:
        """Send TERM, and KILL at that time to whatever is left."""
        if not _send(self.group, signal.SIGTERM):
            return
        # What is stopped could not act on it.
        _send(self.group, signal.SIGCONT)
        while now_ns() < kill_ns:
            if not _send(self.group, 0):
                return
            time.sleep(_LOOK_S)
        _send(self.group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


def main() -> None:
    """Watch until there is nothing to watch, or the command has been ended."""
    grace_ns = round(float(sys.argv[1]) * 1e9)
    keeper = os.getppid()
    warden = Warden()
    why = warden.wait()
    if not why:
        return
    print(f"concordant: process {keeper} {why}; ending its command", file=sys.stderr, flush=True)
    kill_ns = now_ns() + grace_ns
    if why == "died":
        # Nobody renews the lease any more: the command must not outlive it.
        kill_ns = min(kill_ns, warden.until_ns)
    warden.end(kill_ns)


if __name__ == "__main__":
    main()
