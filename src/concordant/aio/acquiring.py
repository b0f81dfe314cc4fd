"""How an acquisition goes: ask, wait for a hint, ask again; and leave nothing behind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from concordant._bridge.aio import Combiner, Wait, call, pause, settle
from concordant.clock import Clock
from concordant.errors import (
    BackendUnavailable,
    ConcordantError,
    LockLost,
    LockTimeout,
    OutcomeUnknown,
    UsageError,
)
from concordant.locking.operations import (
    Acquire,
    Busy,
    Cancel,
    Granted,
    Operation,
    Queued,
    Refused,
    Release,
    Released,
    Result,
)
from concordant.session.holding import Holding
from concordant.session.listener import Won
from concordant.session.session import Session

_log = logging.getLogger("concordant.locks")

# How long a waiter that was in the queue sits out a store that does not answer.
_OUTAGE_NS: Final = 15_000_000_000
_AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """What one acquisition wants."""

    name: str
    ttl_ms: int
    timeout_s: float | None
    permits: int = 1
    capacity: int = 1
    note: str = ""


class AsyncAcquirer:
    """Acquires and releases for one client."""

    def __init__(self, session: Session, combiner: Combiner[Operation, Result]) -> None:
        self._session = session
        self._combiner = combiner

    async def acquire(self, wish: Wish) -> Holding:
        """Return a kept lease, or raise LockTimeout after the total time.

        Whatever ends it otherwise (an error, cancellation, KeyboardInterrupt), the owner is
        withdrawn before the exception goes on.
        """
        self._session.check_usable()
        attempt = _Attempt(self._session, self._combiner, wish)
        try:
            won = await attempt.run()
            return self._session.hold(wish.name, attempt.owner, won, wish.ttl_ms)
        except BaseException:
            # Its request may still be on its way, hence the tombstone unless all is answered.
            await settle(self.withdraw, wish, attempt.owner, attempt.unanswered)
            raise
        finally:
            self._session.forget(attempt.owner)

    async def try_all(self, wishes: Sequence[Wish]) -> list[Holding]:
        """Ask for several in one round trip, without waiting; return a prefix of leases.

        The prefix ends before the first that was busy; what was granted beyond it is given
        back, since holding it while waiting for an earlier one could deadlock.
        """
        self._session.check_usable()
        owners = [self._session.new_owner() for _ in wishes]
        pairs = list(zip(wishes, owners, strict=True))
        answered = False
        kept = 0
        try:
            sent_ns = self._session.clock.local_ns()
            results = await self._combiner.submit_many(
                [_ask(wish, owner, wait=False) for wish, owner in pairs]
            )
            answered = True
            holdings: list[Holding] = []
            for (wish, owner), result in zip(pairs, results, strict=True):
                if isinstance(result, Refused):
                    raise refusal(wish.name, result)
                if not isinstance(result, Granted):
                    break
                won = Won(result.fence, sent_ns)
                holdings.append(self._session.hold(wish.name, owner, won, wish.ttl_ms))
            kept = len(holdings)
            for (wish, owner), result in list(zip(pairs, results, strict=True))[kept:]:
                if isinstance(result, Granted):
                    await settle(self.withdraw, wish, owner, False)
            return holdings
        except BaseException:
            for wish, owner in pairs:
                await settle(self.withdraw, wish, owner, not answered)
            raise

    async def withdraw(self, wish: Wish, owner: str, late: bool) -> None:
        """Make sure that the owner neither holds nor waits, now or in the background."""
        cancel = Cancel(wish.name, owner, late)
        try:
            await self._combiner.submit(cancel)
        except BaseException as error:
            self._session.cancel_later(cancel, wish.ttl_ms)
            if not isinstance(error, ConcordantError):
                raise

    @property
    def clock(self) -> Clock:
        """The clock by which deadlines are told."""
        return self._session.clock

    async def release(self, holding: Holding) -> None:
        """Give one lock back; see AsyncLease.release."""
        await settle(self._release, [holding])

    async def release_all(self, holdings: Sequence[Holding]) -> None:
        """Give several back in one round trip; raises the first trouble after doing all."""
        await settle(self._release, holdings)

    async def _release(self, holdings: Sequence[Holding]) -> None:
        lost: Holding | None = None
        live: list[Holding] = []
        for holding in holdings:
            if not holding.lost and self._session.let_go(holding):
                live.append(holding)
            else:
                lost = lost or holding
        results = await self._send_releases(live)
        for holding, result in zip(live, results, strict=True):
            if not isinstance(result, Released):
                holding.lost_reason = "the store no longer had it at the release"
                lost = lost or holding
        if lost is not None:
            why = lost.lost_reason or "it ran out or was released already"
            raise LockLost(lost.message(why))

    async def _send_releases(self, live: Sequence[Holding]) -> list[Result]:
        if not live:
            return []
        sent_ns = self._session.clock.local_ns()
        try:
            results = await self._combiner.submit_many(
                [Release(holding.name, holding.owner, holding.fence) for holding in live]
            )
        except BaseException as error:
            for holding in live:
                cancel = Cancel(holding.name, holding.owner)
                self._session.cancel_later(cancel, holding.ttl_ms)
            # The lost reply may have named waiters of this very client.
            self._session.wake_all()
            if not isinstance(error, ConcordantError):
                raise
            raise OutcomeUnknown(
                f"no reply to the release of {live[0].name!r}; it is retried in the background "
                f"and ends within {live[0].ttl_ms / 1000} s at the latest"
            ) from error
        for result in results:
            if isinstance(result, Released) and result.handed:
                self._session.handed_over(result.handed, sent_ns)
        return results


class _Attempt:
    """One acquisition under way."""

    def __init__(self, session: Session, combiner: Combiner[Operation, Result], wish: Wish) -> None:
        self.owner = session.new_owner()
        self.unanswered = False
        self._session = session
        self._combiner = combiner
        self._wish = wish
        self._wait: Wait | None = None
        self._clock = session.clock
        timeout_s = wish.timeout_s
        self._end_ns = (
            None if timeout_s is None else self._clock.local_ns() + round(timeout_s * 1e9)
        )
        self._outage_ns: int | None = None

    async def run(self) -> Won:
        """Ask until granted; each pass is one round trip."""
        while True:
            waits = self._wish.timeout_s != 0 and self._session.listening
            if waits and self._wait is None:
                self._wait = Wait(self._wish.ttl_ms)
                self._session.expect(self.owner, self._wait)
            sent_ns = self._clock.local_ns()
            result = await self._ask(waits)
            if isinstance(result, Granted):
                return Won(result.fence, sent_ns)
            if isinstance(result, Refused):
                raise refusal(self._wish.name, result)
            if isinstance(result, Busy) and not waits and not self._over():
                await call(self._session.listen)
                continue
            if self._over():
                raise self._too_late()
            won = await self._sleep(result)
            if won is not None:
                return won
            # No check of the time here: asking a last time finds a grant whose hint was lost.

    async def _ask(self, waits: bool) -> Result | None:
        """Return the store's answer, or None for an outage that may be sat out."""
        self.unanswered = True
        try:
            result = await self._combiner.submit(_ask(self._wish, self.owner, waits))
        except (BackendUnavailable, OutcomeUnknown):
            if self._wait is None and self._outage_ns is None:
                raise
            now_ns = self._clock.local_ns()
            self._outage_ns = self._outage_ns or now_ns + _OUTAGE_NS
            if now_ns >= self._outage_ns:
                raise
            await pause(_AGAIN_S)
            return None
        self.unanswered = False
        self._outage_ns = None
        return result

    async def _sleep(self, result: Result | None) -> Won | None:
        retry_ms = result.retry_ms if isinstance(result, Queued | Busy) else 1
        sleep_s = retry_ms / 1000
        if self._end_ns is not None:
            sleep_s = min(sleep_s, max(0, self._end_ns - self._clock.local_ns()) / 1e9)
        if self._wait is None:
            await pause(sleep_s)
            return None
        return await self._wait.wait(sleep_s)

    def _over(self) -> bool:
        return self._wish.timeout_s == 0 or (
            self._end_ns is not None and self._clock.local_ns() >= self._end_ns
        )

    def _too_late(self) -> LockTimeout:
        return LockTimeout(
            f"{self._wish.name!r} was not granted within {self._wish.timeout_s} s; "
            "somebody else holds it: try later"
        )


def _ask(wish: Wish, owner: str, wait: bool) -> Acquire:
    return Acquire(wish.name, owner, wish.ttl_ms, wait, wish.permits, wish.capacity, wish.note)


def refusal(name: str, refused: Refused) -> UsageError:
    """Return the error for an acquisition that the store will never grant."""
    return UsageError(f"the lock {name!r} cannot be acquired like this: {refused.reason}")
