"""How one acquisition goes: ask, wait for a hint, ask again."""

from __future__ import annotations

from typing import Final

from concordant._bridge.aio import Combiner, Wait, call, pause
from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    LockTimeout,
    OutcomeUnknown,
    UsageError,
)
from concordant.locking.operations import (
    Acquire,
    Busy,
    Granted,
    Operation,
    Queued,
    Refused,
    Result,
    value,
)
from concordant.session.listener import Won
from concordant.session.session import Session

# How long a waiter that was in the queue sits out a store that does not answer.
_OUTAGE_NS: Final = 15_000_000_000
_AGAIN_S: Final = 0.1
# How long one that was not yet in the queue asks again after a lost reply.
_HICCUP_NS: Final = 1_000_000_000


@value
class Wish:
    """What one acquisition wants."""

    name: str
    ttl_ms: int
    timeout_s: float | None
    permits: int = 1
    capacity: int = 1
    note: str = ""


class Attempt:
    """One acquisition under way."""

    __slots__ = (
        "_clock",
        "_combiner",
        "_end_ns",
        "_outage_ns",
        "_session",
        "_wish",
        "owner",
        "stray",
        "wait",
    )

    def __init__(
        self,
        session: Session,
        combiner: Combiner[Operation, Result],
        wish: Wish,
        end_ns: int | None,
    ) -> None:
        self.owner = session.new_owner()
        # Whether a request of this owner may be on its way although nobody awaits its answer.
        self.stray = False
        # There once it asks for a place in the queue, so that hints may come for it.
        self.wait: Wait | None = None
        self._session = session
        self._combiner = combiner
        self._wish = wish
        self._clock = session.clock
        self._end_ns = end_ns
        self._outage_ns: int | None = None
        if end_ns is None and wish.timeout_s is not None:
            self._end_ns = self._clock.local_ns() + round(wish.timeout_s * 1e9)

    async def run(self) -> Won:
        """Ask until granted; each pass is one round trip."""
        while True:
            # Once in the queue it stays there: asking without `wait` would give up its place.
            waits = self.wait is not None or self._session.listening
            waits = waits and self._wish.timeout_s != 0
            if waits and self.wait is None:
                self.wait = Wait(self._wish.name, self._wish.ttl_ms)
                self._session.expect(self.owner, self.wait)
            stray, self.stray = self.stray, True
            sent_ns = self._clock.local_ns()
            result: Result | None = None
            try:
                [result] = await self._combiner.submit_many(
                    (request(self._wish, self.owner, waits),)
                )
                self.stray = stray
            except (BackendUnavailable, OutcomeUnknown) as error:
                if isinstance(error, BackendUnavailable):
                    self.stray = stray
                if not self._sits_out(error, sent_ns):
                    raise
            if isinstance(result, Granted):
                return Won(result.fence, sent_ns)
            if result is not None:
                self._outage_ns = None
                self._check_refused(result)
            if isinstance(result, Busy) and not waits:
                await call(self._session.listen)
                if not self._session.listening:  # it broke, and is being opened again
                    await pause(self._at_most(_AGAIN_S))
            elif (won := await self._sleep(result)) is not None:
                return won
            self._session.check_usable()
            # No check of the time here: asking a last time finds a grant whose hint was lost.

    def _check_refused(self, result: Result) -> None:
        if isinstance(result, Refused):
            raise refusal(self._wish.name, result)
        if self._over():
            raise self._too_late()

    def _sits_out(self, error: ConcordantError, sent_ns: int) -> bool:
        """Tell whether an outage is short enough to be asked again after."""
        if self._outage_ns is None:
            self._outage_ns = sent_ns + self._patience_ns(error)
        if self._wish.timeout_s and self._over():
            return False
        return self._clock.local_ns() < self._outage_ns

    def _patience_ns(self, error: ConcordantError) -> int:
        """Say how long an outage that begins with this error is sat out."""
        if self.wait is not None:
            return _OUTAGE_NS
        # A first request fails at once where nothing answers. But a reply may be lost by
        # a connection that broke while it was idle: asking once more tells.
        return _HICCUP_NS if isinstance(error, OutcomeUnknown) else 0

    async def _sleep(self, result: Result | None) -> Won | None:
        sleep_s = _AGAIN_S
        if isinstance(result, Queued | Busy):
            sleep_s = self._at_most(result.retry_ms / 1000)
        if self.wait is None:
            await pause(sleep_s)
            return None
        return await self.wait.wait(sleep_s)

    def _at_most(self, seconds: float) -> float:
        if self._end_ns is None:
            return seconds
        return min(seconds, max(0, self._end_ns - self._clock.local_ns()) / 1e9)

    def _over(self) -> bool:
        return self._wish.timeout_s == 0 or (
            self._end_ns is not None and self._clock.local_ns() >= self._end_ns
        )

    def _too_late(self) -> LockTimeout:
        limit_s = self._wish.timeout_s
        within = f"within {limit_s:g} s" if limit_s else "at once"
        return LockTimeout(
            f"{self._wish.name!r} was not granted {within} at {self._session.place}; somebody else"
            " has it (`concordant lock show` says who): try later, or give it a longer timeout_s"
        )


def request(wish: Wish, owner: str, wait: bool) -> Acquire:
    """Return what is asked of the store."""
    return Acquire(wish.name, owner, wish.ttl_ms, wait, wish.permits, wish.capacity, wish.note)


def refusal(name: str, refused: Refused) -> UsageError:
    """Return the error for an acquisition that the store will never grant."""
    return UsageError(f"the lock {name!r} cannot be acquired like this: {refused.reason}")
