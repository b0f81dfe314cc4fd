"""Turns to write one file, for the branches of one participant."""

from __future__ import annotations

import os
import threading
import weakref

from concordant.drivers.sqlite.writers import WriterQueue
from concordant.errors import BackendUnavailable, UsageError


class Turns:
    """Gives one turn at a time, in order; safe to share among threads.

    A branch keeps its turn from its begin until it is prepared or over. Each waiting thread
    queues on its own, so threads of one process wait as fairly as processes do.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self._path = path
        self._wait_s = wait_s
        self._mutex = threading.Lock()
        self._idle: list[WriterQueue] = []
        # Weak: a turn that is lost to an interrupt ends with its last reference.
        self._all: weakref.WeakSet[WriterQueue] = weakref.WeakSet()
        self._closed = False

    def take(self) -> WriterQueue:
        """Wait for the turn, at most `wait_s`; raises BackendUnavailable then."""
        queue = self._queue()
        try:
            if queue.acquire(self._wait_s):
                return queue
            pid = queue.holder()
        except OSError as error:
            self.give(queue)
            raise BackendUnavailable(f"{self._path}.lock: {error.strerror}") from error
        except BaseException:
            self.give(queue)
            raise
        self.give(queue)
        who = f"process {pid} has" if pid else "another process has"
        raise BackendUnavailable(
            f"{self._path}: waited {self._wait_s:g} s to begin a branch; {who} the turn to write"
            " (is a branch left open?); retry"
        )

    def give(self, queue: WriterQueue) -> None:
        """Give the turn back, and keep the place in the queue for the next."""
        queue.release()
        with self._mutex:
            if self._closed:
                queue.close()
            else:
                self._idle.append(queue)

    def close(self) -> None:
        """Close the lock files; turns that are taken end when they are given back."""
        with self._mutex:
            self._closed = True
            for queue in self._idle:
                queue.close()
            self._idle.clear()

    def forget(self) -> None:
        """Let go in a forked child, where the parent's turns must not live on."""
        for queue in list(self._all):
            queue.forget()

    def _queue(self) -> WriterQueue:
        with self._mutex:
            if self._closed:
                raise UsageError(f"{self._path} was closed; open it anew")
            if self._idle:
                return self._idle.pop()
            # Two names of one file must lead to one queue.
            queue = WriterQueue(os.path.realpath(self._path) + ".lock")
            self._all.add(queue)
            return queue
