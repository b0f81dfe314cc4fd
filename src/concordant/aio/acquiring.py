"""Acquiring and releasing for one client, and leaving nothing behind."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

from concordant._bridge.aio import Combiner, finish, give_way, pause, settle
from concordant.aio.attempt import Attempt, Wish, refusal, request
from concordant.aio.lease import AsyncLease
from concordant.clock import Clock
from concordant.errors import BackendUnavailable, ConcordantError, LockLost, OutcomeUnknown
from concordant.locking.limits import BATCH_MAX
from concordant.locking.operations import (
    Cancel,
    Granted,
    Operation,
    Refused,
    Release,
    Released,
    Result,
)
from concordant.session.holding import Holding
from concordant.session.listener import Won
from concordant.session.session import Session

# A tombstone may go along with each release.
_TOGETHER: Final = BATCH_MAX // 2
# How long a client that is closed waits for its own tasks that acquire.
_REST_S: Final = 3.0
_REST_CHECKS: Final = 1000
_FORGOTTEN: Final = "the store no longer had it at the release"


class AsyncAcquirer:
    """Acquires and releases for one client."""

    __slots__ = ("_combiner", "_session", "_under_way")

    def __init__(self, session: Session, combiner: Combiner[Operation, Result]) -> None:
        self._session = session
        self._combiner = combiner
        # Who acquires now, by an owner. Entered before it is asked whether the client is open, so
        # that closing it meets each of them, or each of them finds it closed.
        self._under_way: dict[str, None] = {}

    @property
    def clock(self) -> Clock:
        """The clock by which deadlines are told."""
        return self._session.clock

    async def acquire(self, wish: Wish, end_ns: int | None = None) -> AsyncLease:
        """Return a kept lease, or raise LockTimeout after the total time.

        `end_ns`: when that is over, if it had begun to run before this was asked.
        Whatever ends it otherwise (an error, cancellation, KeyboardInterrupt), the owner is
        withdrawn before the exception goes on.
        """
        session = self._session
        attempt = Attempt(session, self._combiner, wish, end_ns)
        self._under_way[attempt.owner] = None
        try:
            session.check_usable()
            try:
                won = await attempt.run()
                holding = session.hold(wish.name, attempt.owner, won, wish.ttl_ms)
                if attempt.stray:
                    holding.stray = True
                lease = AsyncLease(holding, self)
                if attempt.wait is not None:
                    session.forget(attempt.owner)
                return lease
            except BaseException as error:
                pairs = [(wish, attempt.owner)]
                try:
                    await settle(self._withdraw, pairs, attempt.stray)
                except BaseException:
                    self._withdraw_later(pairs, attempt.stray)
                    raise
                if isinstance(error, OutcomeUnknown):
                    raise _unanswered(wish.name) from error
                raise
        finally:
            # No call: after one, Ctrl-C could come between the lease and its user.
            del self._under_way[attempt.owner]

    async def try_all(self, wishes: Sequence[Wish]) -> list[AsyncLease]:
        """Ask for several in one round trip, without waiting; return a prefix of leases.

        The prefix ends before the first that was busy; what was granted beyond it is given
        back, since holding it while waiting for an earlier one could deadlock.
        """
        pairs = [(wish, self._session.new_owner()) for wish in wishes]
        under_way = pairs[0][1]
        self._under_way[under_way] = None
        try:
            self._session.check_usable()
            return await self._try_all(pairs)
        finally:
            del self._under_way[under_way]

    async def _try_all(self, pairs: Sequence[tuple[Wish, str]]) -> list[AsyncLease]:
        late = True
        try:
            sent_ns = self._session.clock.local_ns()
            results = await self._combiner.submit_many(
                [request(wish, owner, wait=False) for wish, owner in pairs]
            )
            late = False
            leases: list[AsyncLease] = []
            for (wish, owner), result in zip(pairs, results, strict=True):
                if isinstance(result, Refused):
                    raise refusal(wish.name, result)
                if not isinstance(result, Granted):
                    break
                won = Won(result.fence, sent_ns)
                holding = self._session.hold(wish.name, owner, won, wish.ttl_ms)
                leases.append(AsyncLease(holding, self))
            beyond = [
                pair
                for pair, result in list(zip(pairs, results, strict=True))[len(leases) :]
                if isinstance(result, Granted)
            ]
            if beyond:
                await settle(self._withdraw, beyond, late)
            return leases
        except BaseException as error:
            try:
                await settle(self._withdraw, pairs, late)
            except BaseException:
                self._withdraw_later(pairs, late)
                raise
            if isinstance(error, OutcomeUnknown):
                raise _unanswered(pairs[0][0].name) from error
            raise

    async def _withdraw(self, pairs: Sequence[tuple[Wish, str]], late: bool) -> None:
        """Make sure that the owners neither hold nor wait, now or in the background.

        `late`: a request of theirs may still be on its way, hence the tombstone. All of them
        in one action, or a second cancellation could leave some out.
        """
        for _, owner in pairs:
            self._session.give_up(owner)
        cancels = [Cancel(wish.name, owner, late) for wish, owner in pairs]
        try:
            await self._combiner.submit_many(cancels)
        except ConcordantError:
            self._withdraw_later(pairs, late)

    def _withdraw_later(self, pairs: Sequence[tuple[Wish, str]], late: bool) -> None:
        """Do the same in the background: the store fails, or Ctrl-C came a second time."""
        for wish, owner in pairs:
            self._session.give_up(owner)
            self._session.cancel_later(Cancel(wish.name, owner, late), wish.ttl_ms)

    def abandon(self, holdings: Sequence[Holding]) -> None:
        """Give back in the background what is held still; never waits."""
        for holding in holdings:
            if self._session.let_go(holding):
                self._cancel_later(holding)

    def release(self, holdings: Sequence[Holding]) -> Awaitable[None]:
        """Give back in one round trip; raises the first trouble after doing all."""
        if len(holdings) == 1:
            return finish(self._release_one, holdings[0])
        return finish(self._release, holdings)

    async def rest(self) -> None:
        """Wait until nobody acquires any more, bounded, once the session is closed.

        They find it closed, and withdraw what they have asked for; the store must be open still.
        """
        for _ in range(_REST_CHECKS):
            if not self._under_way:
                return
            await pause(_REST_S / _REST_CHECKS)

    async def release_held(self) -> None:
        """Give back whatever this client holds."""
        held = self._session.still_held()
        if held:
            await settle(self._release, held)

    async def _release_one(self, holding: Holding) -> None:
        """Do what `_release` does, for the one lease that it nearly always is."""
        session = self._session
        try:
            if holding.stray or holding.why_lost() or not session.let_go(holding):
                return await self._release((holding,))
            sent_ns = session.clock.local_ns()
            asked = (Release(holding.name, holding.owner, holding.fence),)
            try:
                [result] = await self._combiner.submit_many(asked)
            except ConcordantError as error:
                raise self._retry((holding,), error) from error
            if not isinstance(result, Released):
                holding.lost_reason = _FORGOTTEN
                raise LockLost(holding.message(_FORGOTTEN))
            if result.handed:
                session.handed_over(result.handed, sent_ns)
                await give_way()
        except ConcordantError:
            raise
        except BaseException:
            session.let_go(holding)
            self._cancel_later(holding)
            raise

    async def _release(self, holdings: Sequence[Holding]) -> None:
        lost: Holding | None = None
        unknown: OutcomeUnknown | None = None
        try:
            for start in range(0, len(holdings), _TOGETHER):
                live, over = self._let_go(holdings[start : start + _TOGETHER])
                lost = lost or over
                if not live:
                    continue
                sent_ns = self._session.clock.local_ns()
                try:
                    results = await self._combiner.submit_many(_releases(live))
                except ConcordantError as error:
                    doubt = self._retry(live, error)
                    unknown = unknown or doubt
                    continue
                over = self._over(live, results, sent_ns)
                lost = lost or over
        except BaseException:
            for holding in holdings:
                self._session.let_go(holding)
                self._cancel_later(holding)
            raise
        # A loss goes first: whoever was to be protected has to learn of it.
        if lost is not None:
            why = lost.lost_reason or "it ran out or was released already"
            raise LockLost(lost.message(why)) from unknown
        if unknown is not None:
            raise unknown

    def _let_go(self, holdings: Sequence[Holding]) -> tuple[list[Holding], Holding | None]:
        """Stop keeping the leases; return those that are live, and the first that is over."""
        live: list[Holding] = []
        over: Holding | None = None
        for holding in holdings:
            if not holding.why_lost() and self._session.let_go(holding):
                live.append(holding)
                continue
            over = over or holding
            # By its own clock it is over, but the store may have it yet.
            if not holding.ended:
                self._cancel_later(holding)
        return live, over

    def _over(
        self, live: Sequence[Holding], results: Sequence[Result], sent_ns: int
    ) -> Holding | None:
        """Pass on what the releases handed over; return the first that was lost before."""
        lost: Holding | None = None
        for holding, result in zip(live, results, strict=False):
            if not isinstance(result, Released):
                holding.lost_reason = _FORGOTTEN
                lost = lost or holding
            elif result.handed:
                self._session.handed_over(result.handed, sent_ns)
        return lost

    def _retry(self, live: Sequence[Holding], error: ConcordantError) -> OutcomeUnknown:
        """Leave releases without a reply to the background, and return what to raise."""
        for holding in live:
            self._cancel_later(holding)
        # The lost reply may have named waiters of this very client.
        self._session.wake_all()
        unknown = OutcomeUnknown(
            f"no reply to the release of {live[0].name!r}; it is retried in the background "
            f"and ends within {live[0].ttl_ms / 1000} s at the latest"
        )
        unknown.__cause__ = error
        return unknown

    def _cancel_later(self, holding: Holding) -> None:
        cancel = Cancel(holding.name, holding.owner, holding.stray)
        self._session.cancel_later(cancel, holding.ttl_ms)


def _releases(live: Sequence[Holding]) -> list[Operation]:
    requests: list[Operation] = [
        Release(holding.name, holding.owner, holding.fence) for holding in live
    ]
    for holding in live:
        if holding.stray:
            requests.append(Cancel(holding.name, holding.owner, late=True))
    return requests


def _unanswered(name: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"no reply to the request for {name!r}; whatever came of it is withdrawn, so try again"
    )
