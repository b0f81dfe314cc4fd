"""Ending a thread from one that Ctrl-C may interrupt anywhere, and that then tries once more."""

from __future__ import annotations

import threading


class Stop:
    """The word to stop for one's threads; it may be given again and again.

    No event: that takes its own lock by code in Python, and Ctrl-C in there would leave it taken
    for ever, so that giving the word a second time would hang.
    """

    def __init__(self) -> None:
        self._given = False
        # Taken until the word is given.
        self._gate = threading.Lock()
        self._gate.acquire()

    def __bool__(self) -> bool:
        return self._given

    def give(self) -> None:
        """Let every `wait` end, those to come too."""
        self._given = True
        self._open()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most this long, and return whether the word was given."""
        timeout_s = min(max(0.0, timeout_s), threading.TIMEOUT_MAX)
        if not self._given and self._gate.acquire(timeout=timeout_s):
            self._open()  # for whoever else waits
        return self._given

    def _open(self) -> None:
        try:
            self._gate.release()
        except RuntimeError:
            return  # it stands open


def join(thread: threading.Thread | None, timeout_s: float | None = None) -> None:
    """Wait for the end of a thread, if there is one."""
    if thread is not None:
        try:
            thread.join(timeout_s)
        except RuntimeError:
            return  # Ctrl-C came before it began; it ends by itself as soon as it does
