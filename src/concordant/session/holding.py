"""A lease as its own process sees it: a fence and a deadline that is never too late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from concordant.clock import Clock
from concordant.errors import LockLost
from concordant.session import process

_log = logging.getLogger("concordant.locks")

# One part in so many of a TTL is given away: this machine's clock may run slower than the store's.
_DRIFT_PART: Final = 200
_MARGIN_NS: Final = 2_000_000


class Holding:
    """The state of one lease, shared by its user and the session's threads.

    The deadline counts from *before* the request left, less a margin for clock drift, so it
    never passes the store's own expiry.
    """

    __slots__ = (
        "_brief",
        "_callbacks",
        "_clock",
        "_lock",
        "_pid",
        "_place",
        "deadline_ns",
        "ended",
        "fence",
        "lost_reason",
        "name",
        "owner",
        "renew_ns",
        "stray",
        "ttl_ms",
    )

    def __init__(
        self,
        name: str,
        owner: str,
        fence: int,
        ttl_ms: int,
        sent_ns: int,
        clock: Clock,
        place: str,
    ) -> None:
        self.name = name
        self.owner = owner
        self.fence = fence
        self.ttl_ms = ttl_ms
        self.lost_reason = ""
        self.ended = False
        # Whether an Acquire of this owner went unanswered and may still reach the store: after
        # the release it would take the lock for somebody who is gone.
        self.stray = False
        self._clock = clock
        self._place = place
        self._pid = process.pid
        self._callbacks: Sequence[Callable[[], None]] = ()
        self._brief: Sequence[Callable[[], None]] = ()
        self._lock = threading.Lock()
        self.extend(sent_ns)

    def extend(self, sent_ns: int) -> None:
        """Move the deadline on: a request that left at `sent_ns` was granted a full TTL."""
        ttl_ns = self.ttl_ms * 1_000_000
        self.deadline_ns = sent_ns + ttl_ns - ttl_ns // _DRIFT_PART - _MARGIN_NS
        self.renew_ns = sent_ns + ttl_ns // 3

    @property
    def lost(self) -> bool:
        """Whether the lease is over although nobody released it."""
        return self.why_lost() != ""

    @property
    def remaining_s(self) -> float:
        """Seconds for which the lease surely holds; 0 once it is over."""
        if self.ended or self.lost:
            return 0.0
        return max(0, self.deadline_ns - self._clock.local_ns()) / 1e9

    def check(self) -> None:
        """Raise LockLost unless the lease surely holds now; a local comparison."""
        why = self.why_lost()
        if why or self.ended:
            raise LockLost(self.message(why or "it was released"))

    def message(self, why: str) -> str:
        """Say what was lost and what to do, in one sentence."""
        return (
            f"the lease on {self.name!r} at {self._place} (fence {self.fence}) is over: {why}; "
            "stop acting as its holder"
        )

    def why_lost(self) -> str:
        """Return why the lease is over although nobody released it; empty while it is not."""
        if self.lost_reason:
            return self.lost_reason
        if self._pid != process.pid:
            return "it belongs to the parent process"
        if not self.ended and self._clock.local_ns() >= self.deadline_ns:
            return "its time passed without a renewal"
        return ""

    def on_lost(self, callback: Callable[[], None], brief: bool = False) -> None:
        """Call back once when the lease is lost, from another thread; at once if it was.

        A `brief` callback never blocks, so it may be called by the thread that keeps leases.
        """
        with self._lock:
            if not self.lost_reason:
                if brief:
                    self._brief = (*self._brief, callback)
                else:
                    self._callbacks = (*self._callbacks, callback)
                return
        self._call(callback)

    def mark_lost(self, reason: str) -> list[Callable[[], None]]:
        """End the lease as lost, and return what is left to be called; only the first counts."""
        with self._lock:
            if self.ended or self.lost_reason:
                return []
            self.lost_reason = reason
            brief, self._brief = self._brief, ()
            callbacks, self._callbacks = self._callbacks, ()
        _log.warning("%s", self.message(reason))
        for callback in brief:
            self._call(callback)
        return [partial(self._call, callback) for callback in callbacks]

    def end(self) -> bool:
        """Stop watching before a release; False if it had ended or was lost already."""
        with self._lock:
            if self.ended or self.lost_reason:
                return False
            self.ended = True
            self._callbacks = self._brief = ()
            return True

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:
            _log.exception("a callback for the loss of %r failed", self.name)
