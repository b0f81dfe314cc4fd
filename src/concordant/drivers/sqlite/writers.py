"""The queue of writers beside a database file: one flock that all processes take in turn.

SQLite's own busy handler polls, so a writer that is unlucky starves behind one that is busy.
The kernel wakes those who wait for a flock, and drops the lock of a process that dies. What
flock lacks is a bound: a process stopped inside its turn would hold everybody up. So the
blocking call is made by a helper thread, and the caller waits for that thread, bounded.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from typing import Final

# "7: FLOCK  ADVISORY  WRITE 4242 08:01:131090 0 EOF"; a line of somebody who waits has "->".
_HELD: Final = re.compile(r"\d+: FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+\S+:(\d+)\s")


class WriterQueue:
    """One process's place in the queue at a lock file.

    At most one thread at a time may be between `acquire` and `release`; the owner sees to
    that. Separate objects, even in one process, exclude one another as processes do.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._state = threading.Condition()
        self._helper: threading.Thread | None = None
        # What the helper thread is told and tells, all under `_state`.
        self._wanted = False
        self._blocked = False
        self._granted = False
        self._closed = False

    def acquire(self, timeout_s: float) -> bool:
        """Wait at most this long for the turn; whatever happens, call `release` after.

        Raises OSError when the lock file cannot be opened.
        """
        with self._state:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if not self._blocked and self._try():
                return True
            self._wanted = True
            self._state.notify_all()
            if self._helper is None or not self._helper.is_alive():
                self._helper = threading.Thread(
                    target=self._block, name="concordant-writer-queue", daemon=True
                )
                self._helper.start()
            if self._state.wait_for(lambda: self._granted, timeout_s):
                return True
            self._wanted = False
            return False

    def release(self) -> None:
        """Give the turn back; harmless without one, as after a failed or broken `acquire`."""
        with self._state:
            self._wanted = self._granted = False
            # While the helper blocks the turn is not ours, and it gives back what nobody
            # wants; unlocking under its feet could undo a grant it is about to report.
            if not self._blocked and self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file, which stays where it is: others may be waiting at it."""
        with self._state:
            self._closed = True
            self._state.notify_all()
            if not self._blocked:
                self._close_file()

    def forget(self) -> None:
        """Close the file in a forked child, where the parent's turn must not live on."""
        # No mutex: a thread that does not exist here may have held it at the fork.
        self._close_file()

    def holder(self) -> int | None:
        """Return the pid of the process whose turn it is, where the system tells."""
        try:
            inode = os.stat(self._path).st_ino
            with open("/proc/locks", encoding="ascii") as lines:
                found = [match for line in lines if (match := _HELD.match(line))]
        except OSError:
            return None
        pids = [int(match[1]) for match in found if int(match[2]) == inode]
        return pids[0] if pids and pids[0] > 0 else None

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _block(self) -> None:
        while self._next_wish():
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._hand_over()

    def _next_wish(self) -> bool:
        """Wait in the helper thread until somebody wants the turn; False to end."""
        with self._state:
            self._state.wait_for(lambda: self._wanted or self._closed)
            self._blocked = not self._closed
            return self._blocked

    def _hand_over(self) -> None:
        with self._state:
            self._blocked = False
            if self._closed:
                self._close_file()
            elif self._wanted:
                self._wanted = False
                self._granted = True
                self._state.notify_all()
            else:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
