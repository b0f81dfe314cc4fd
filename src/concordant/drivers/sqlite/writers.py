"""The queue of writers beside a database file: one flock that all processes take in turn.

SQLite's own busy handler polls, so a writer that is unlucky starves behind one that is busy.
The kernel wakes those who wait for a flock, and drops the lock of a process that dies. What
flock lacks is a bound: a process stopped inside its turn would hold everybody up. So the
blocking call is made by a helper thread, and the caller waits for that thread, bounded.

An interrupt (KeyboardInterrupt, or whatever a signal handler raises) can strike between any
two calls of Python code. So a turn is given back by two steps that no interrupt can part
from a `finally`, being no calls of Python code: setting `over`, and one flock.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from queue import SimpleQueue
from typing import Final

# "7: FLOCK  ADVISORY  WRITE 4242 08:01:131090 0 EOF"; a line of somebody who waits has "->".
_HELD: Final = re.compile(r"\d+: FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+\S+:(\d+)\s")


class Turn:
    """One open lock file: a wish for the turn, or the turn itself.

    To give it back, or to take back the wish: ``turn.over = True; flock(turn.fd, LOCK_UN)``
    in a `finally`. A turn that comes when it is over is given back by the helper.
    """

    fd = -1

    def __init__(self, path: str) -> None:
        self.over = False
        self.lent = False  # to the helper thread, which may still be waiting with it
        self.granted = threading.Lock()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def come(self) -> None:
        """Hand the turn to its owner, or give it back if that one has stopped waiting."""
        if self.over:
            # Its owner unlocked before the lock came, and will not look at it again.
            flock(self.fd, LOCK_UN)
        else:
            self.granted.release()

    def close(self) -> None:
        """Close the file, and with it end the turn."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class WriterQueue:
    """One place in the queue at a lock file, for one turn at a time.

    Separate objects exclude one another, in one process too; calls on one object must not
    overlap. The lock file is never deleted: others may be waiting at it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._turn: Turn | None = None
        self._made: weakref.WeakSet[Turn] = weakref.WeakSet()
        self._wishes: SimpleQueue[Turn | None] = SimpleQueue()
        self._helper: threading.Thread | None = None

    def turn(self) -> Turn:
        """Return the turn to wait for next; raises OSError if the lock file does not open."""
        turn = self._turn
        if turn is None or turn.lent:
            turn = self._turn = Turn(self._path)
            self._made.add(turn)
        turn.over = False
        return turn

    def wait(self, turn: Turn, timeout_s: float) -> bool:
        """Wait at most this long for the turn to come; whatever happens, give it back after."""
        try:
            flock(turn.fd, LOCK_EX | LOCK_NB)
            return True
        except BlockingIOError:
            pass
        turn.granted.acquire(blocking=False)
        turn.lent = True
        self._wishes.put(turn)
        if self._helper is None or not self._helper.is_alive():
            self._helper = threading.Thread(
                target=_serve, args=(self._wishes,), name="concordant-writer-queue", daemon=True
            )
            self._helper.start()
        if not turn.granted.acquire(timeout=timeout_s):
            return False
        turn.lent = False
        return True

    def acquire(self, timeout_s: float) -> bool:
        """Wait at most this long for the turn; whatever happens, call `release` after."""
        return self.wait(self.turn(), timeout_s)

    def release(self) -> None:
        """Give the turn back; harmless without one, as after a failed or broken `acquire`."""
        turn = self._turn
        if turn is not None and turn.fd >= 0:
            turn.over = True
            flock(turn.fd, LOCK_UN)

    def close(self) -> None:
        """Close the lock file and let the helper end, once nothing is waited for."""
        self.release()
        self._turn = None
        self._wishes.put(None)

    def __del__(self) -> None:
        # No release: in a forked child the turn is the parent's.
        if hasattr(self, "_wishes"):
            self._wishes.put(None)

    def forget(self) -> None:
        """Close the files in a forked child, where the parent's turn must not live on."""
        self._turn = None
        for turn in list(self._made):
            turn.close()

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


def _serve(wishes: SimpleQueue[Turn | None]) -> None:
    """Wait for one turn after another in a thread, which no signal handler interrupts."""
    while (turn := wishes.get()) is not None:
        flock(turn.fd, LOCK_EX)
        turn.come()
        # Waiting for the next wish must not keep this one's file open.
        del turn
