"""Receive hints, confirm the grants they speak of in bulk, and wake who waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from concordant.clock import Clock
from concordant.drivers.base import HintStream
from concordant.errors import ConcordantError
from concordant.locking.limits import BATCH_MAX
from concordant.locking.operations import Confirm, Held, Hint, value
from concordant.session.keeper import Apply
from concordant.session.stopping import Stop, join

_log = logging.getLogger("concordant.locks")
_IDLE_S: Final = 5.0
_REOPEN_S: Final = 0.2
_LASTING_NS: Final = 1_000_000_000


@value
class Won:
    """A confirmed grant: its fence, and when the confirming request left."""

    fence: int
    sent_ns: int


class Wakeable(Protocol):
    """Somebody who waits for a lock."""

    name: str
    ttl_ms: int

    def wake(self, won: Won | None) -> None:
        """Deliver a grant, or None: ask again. Callable from any thread."""
        ...


class Listener:
    """The hint channel of one client and the thread that reads it."""

    def __init__(self, open_stream: Callable[[], HintStream], apply: Apply, clock: Clock) -> None:
        self._open_stream = open_stream
        self._apply = apply
        self._clock = clock
        self._mutex = threading.Lock()
        self._waits: dict[str, Wakeable] = {}
        self._stream: HintStream | None = None
        self._opened_ns = 0
        self._thread: threading.Thread | None = None
        self._closed = Stop()

    @property
    def listening(self) -> bool:
        """Whether hints would be received now."""
        return self._stream is not None and self._thread is not None

    def start(self) -> None:
        """Open the channel if it is not open; blocks for a connection at most."""
        with self._mutex:
            if self._thread is not None or self._closed:
                return
            if self._stream is not None:  # left by an interruption
                self._stream.close()
            self._stream = self._open_stream()
            thread = threading.Thread(target=self._run, name="concordant-hints", daemon=True)
            # Started before it is counted: a KeyboardInterrupt in between makes a second one at
            # the next call, which is harmless; none at all would never hear a hint.
            thread.start()
            self._thread = thread

    def expect(self, owner: str, wait: Wakeable) -> None:
        """Deliver what comes for this owner; call it before the owner asks to wait."""
        self._waits[owner] = wait

    def forget(self, owner: str) -> None:
        """Stop delivering for the owner."""
        self._waits.pop(owner, None)

    def deliver(self, owner: str, won: Won) -> bool:
        """Hand a grant to its waiter; False if nobody waits for it any more."""
        wait = self._waits.get(owner)
        if wait is None:
            return False
        wait.wake(won)
        return True

    def waits(self) -> list[tuple[str, Wakeable]]:
        """Return who waits now, by owner."""
        return list(self._waits.items())

    def wake_all(self) -> None:
        """Make every waiter ask again."""
        for wait in list(self._waits.values()):
            wait.wake(None)

    def close(self, timeout_s: float) -> None:
        """Stop listening and end the thread."""
        self._closed.give()
        with self._mutex:
            stream, thread = self._stream, self._thread
        if stream is not None:
            stream.close()
        join(thread, timeout_s)

    def _run(self) -> None:
        while not self._closed:
            stream = self._stream
            if stream is None:
                self._reopen()
                continue
            try:
                hints = stream.get(_IDLE_S)
                for start in range(0, len(hints), BATCH_MAX):
                    self._confirm(hints[start : start + BATCH_MAX])
            except Exception as error:
                if self._closed:
                    return
                level = logging.WARNING if isinstance(error, ConcordantError) else logging.ERROR
                _log.log(level, "the hint channel broke, opening another: %s", error)
                if self._stream is stream:
                    self._stream = None
                stream.close()
                if self._clock.local_ns() - self._opened_ns < _LASTING_NS:
                    self._closed.wait(_REOPEN_S)  # one that breaks again and again

    def _reopen(self) -> None:
        try:
            stream = self._open_stream()
        except Exception as error:
            # Whatever it is: without this thread, waiters would never be told anything again.
            _log.info("the hint channel cannot be opened, trying again: %s", error)
            self._closed.wait(_REOPEN_S)
            return
        with self._mutex:
            self._opened_ns = self._clock.local_ns()
            self._stream = stream
        if self._closed:
            stream.close()
            return
        # Whatever was sent meanwhile is lost.
        self.wake_all()

    def _confirm(self, hints: list[Hint]) -> None:
        # A hint for somebody who gave up, or who learnt of the grant by asking, needs nothing:
        # the first cancels by itself, the second holds a confirmed lease.
        known = [(hint, wait) for hint in hints if (wait := self._waits.get(hint.owner))]
        if not known:
            return
        sent_ns = self._clock.local_ns()
        try:
            results = self._apply(
                [Confirm(hint.name, hint.owner, hint.fence, wait.ttl_ms) for hint, wait in known]
            )
        except ConcordantError as error:
            _log.warning("confirming %d grants failed: %s", len(known), error)
            for _, wait in known:
                wait.wake(None)
            return
        for (hint, wait), result in zip(known, results, strict=True):
            wait.wake(Won(hint.fence, sent_ns) if isinstance(result, Held) else None)
