"""Locks as users hold them in their hands."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from concordant._bridge.aio import Caller, Scope, Trace, current
from concordant.aio.acquiring import AsyncAcquirer
from concordant.aio.attempt import Wish
from concordant.aio.lease import AsyncLease
from concordant.errors import ConcordantError, LockLost, OutcomeUnknown, UsageError
from concordant.locking.limits import TTL_MAX_MS, TTL_MIN_MS
from concordant.locking.names import check_name
from concordant.session.holding import Holding

_log = logging.getLogger("concordant.locks")

# "As the lock object says", since None means for ever. Told by its identity: no number that a
# user passes is taken for it, and used as a number it would be refused.
AS_GIVEN: Final = float("nan")


def make_wish(name: str, ttl_s: float, timeout_s: float | None, note: str) -> Wish:
    """Return the checked wish for a mutex; raises UsageError for values out of bounds."""
    try:
        return _wish(name, ttl_s, timeout_s, note)
    except TypeError:
        check_name(name)  # perhaps it was something that has no hash
        raise


# Programs make the same few locks again and again.
@lru_cache(maxsize=1024)
def _wish(name: str, ttl_s: float, timeout_s: float | None, note: str) -> Wish:
    check_name(name)
    if not math.isfinite(ttl_s) or not TTL_MIN_MS <= ttl_s * 1000 <= TTL_MAX_MS:
        raise UsageError(
            f"ttl_s is {TTL_MIN_MS / 1000} to {TTL_MAX_MS // 1000} seconds, not {ttl_s}"
        )
    return Wish(name, round(ttl_s * 1000), check_timeout(timeout_s), note=note)


def check_timeout(timeout_s: float | None) -> float | None:
    """Return the timeout unchanged, or raise UsageError: None or seconds from 0."""
    if timeout_s is not None and not timeout_s >= 0:
        raise UsageError(f"timeout_s is None (for ever) or seconds from 0, not {timeout_s}")
    return None if timeout_s == math.inf else timeout_s


class _Bodies:
    """The `with` bodies that are under way through one lock object, by task."""

    def __init__(self, acquirer: AsyncAcquirer) -> None:
        self._acquirer = acquirer
        self._entered: dict[Caller, Scope] = {}

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: Trace
    ) -> None:
        entered: Scope | None = None
        try:
            entered = self._leaving()
            if entered.depth == 0:
                await leave(entered, self._acquirer, exc_type, exc)
        except ConcordantError:
            raise
        except BaseException:
            # Ctrl-C, wherever it struck: the body is over all the same.
            entered = entered or self._leaving()
            if entered.depth == 0:
                self._acquirer.abandon(entered.holdings)
            raise

    def _leaving(self) -> Scope:
        if len(self._entered) == 1:
            # Perhaps begun in one task and ended by another, as a generator of a test fixture is.
            (me,) = self._entered
        elif (me := current()) not in self._entered:
            raise UsageError("leave a lock in the task that entered it, or use acquire()")
        # From here on nothing is called, so Ctrl-C finds either all of it done or nothing.
        entered = self._entered[me]
        entered.depth -= 1
        if entered.depth == 0:
            del self._entered[me]
        return entered


class AsyncLock(_Bodies):
    """A mutual exclusion lock of a given name, shared by whoever uses the same store.

    `async with lock as lease:` acquires, keeps the lease renewed and releases. If the lease
    is lost meanwhile, the body is cancelled (in sync code it runs on: use `lease.check()`),
    and LockLost is raised at the exit unless the body raised something of its own.

    One object may be entered by many tasks at once; each waits for its turn. Entering it
    again inside its own body is a UsageError unless `reentrant`, which counts the entries
    of a task on this object.
    """

    def __init__(self, wish: Wish, acquirer: AsyncAcquirer, reentrant: bool) -> None:
        self._acquirer = acquirer
        self._entered = {}
        self._wish = wish
        self._reentrant = reentrant

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._wish.name

    async def acquire(self, timeout_s: float | None = AS_GIVEN) -> AsyncLease:
        """Acquire and return the lease, which the caller must release.

        `timeout_s` is the total time to wait: None for ever, 0 only tries; left out, it is
        the lock's own. Raises LockTimeout, BackendUnavailable if the store does not answer,
        UsageError if others use the name with another capacity. Nothing is left behind by a
        failure or a cancellation.
        """
        wish = self._wish
        if timeout_s is not AS_GIVEN:
            wish = replace(wish, timeout_s=check_timeout(timeout_s))
        return await self._acquirer.acquire(wish)

    async def __aenter__(self) -> AsyncLease:
        me = current()
        if me in self._entered:
            return self._enter_again(self._entered[me])
        lease: AsyncLease | None = None
        try:
            lease = await self._acquirer.acquire(self._wish)
            holdings = (lease._holding,)
            self._entered[me] = Scope(me, lease, holdings)
            return lease
        except BaseException:
            if lease is not None:
                self._entered.pop(me, None)
                self._acquirer.abandon((lease._holding,))
            raise

    def _enter_again(self, entered: Scope) -> AsyncLease:
        if not self._reentrant:
            raise UsageError(
                f"{self.name!r} is held by this very task through this object; "
                "make the lock with reentrant=True to enter it again"
            )
        lease: AsyncLease = entered.given
        lease.check()
        entered.depth += 1
        return lease

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} ttl_s={self._wish.ttl_ms / 1000}>"


class AsyncLocks(_Bodies):
    """Several locks at once, which never deadlock among themselves.

    They are taken in one canonical order (first all of them in a single round trip, and one
    by one only if somebody holds one), within one total timeout; all are held or none.
    Entering gives a mapping from each name to its lease.
    """

    def __init__(self, wishes: Sequence[Wish], acquirer: AsyncAcquirer) -> None:
        super().__init__(acquirer)
        self._wishes = sorted(wishes, key=lambda wish: wish.name)

    async def acquire(self, timeout_s: float | None = AS_GIVEN) -> AsyncLeases:
        """Acquire all and return their leases; see AsyncLock.acquire for the errors."""
        limit_s = self._wishes[0].timeout_s
        if timeout_s is not AS_GIVEN:
            limit_s = check_timeout(timeout_s)
        clock = self._acquirer.clock
        end_ns = None if limit_s is None else clock.local_ns() + round(limit_s * 1e9)
        leases: list[AsyncLease] = []
        try:
            leases += await self._acquirer.try_all(self._wishes)
            for wish in self._wishes[len(leases) :]:
                # With the whole time, which is what an error has to tell of.
                given = replace(wish, timeout_s=limit_s)
                leases.append(await self._acquirer.acquire(given, end_ns))
            return AsyncLeases(leases)
        except BaseException:
            try:
                await give_back([lease._holding for lease in leases], self._acquirer)
            except BaseException:  # Ctrl-C, or cancelled, for a second time
                self._acquirer.abandon([lease._holding for lease in leases])
                raise
            raise

    async def __aenter__(self) -> AsyncLeases:
        me = current()
        if me in self._entered:
            raise UsageError("these locks are held by this very task through this object")
        leases: AsyncLeases | None = None
        try:
            leases = await self.acquire()
            holdings = leases._holdings
            self._entered[me] = Scope(me, leases, holdings)
            return leases
        except BaseException:
            if leases is not None:
                self._entered.pop(me, None)
                self._acquirer.abandon(leases._holdings)
            raise


class AsyncLeases(Mapping[str, AsyncLease]):
    """The leases of several locks, by name."""

    def __init__(self, leases: Sequence[AsyncLease]) -> None:
        self._holdings = [lease._holding for lease in leases]
        self._acquirer = leases[0]._acquirer
        self._by_name = {lease.name: lease for lease in leases}

    def __getitem__(self, name: str) -> AsyncLease:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def check(self) -> None:
        """Raise LockLost unless every one of them surely holds now."""
        for holding in self._holdings:
            holding.check()

    async def release(self) -> None:
        """Give all of them back, in one round trip; see AsyncLease.release."""
        try:
            await self._acquirer.release(self._holdings)
        except ConcordantError:
            raise
        except BaseException:  # Ctrl-C: the caller is done with them all the same
            self._acquirer.abandon(self._holdings)
            raise


async def give_back(holdings: Sequence[Holding], acquirer: AsyncAcquirer) -> None:
    """Release after a failure, which goes first: what fails here is logged."""
    try:
        await acquirer.release(holdings)
    except ConcordantError as error:
        _log.warning("giving back after a failure: %s", error)


async def leave(
    entered: Scope,
    acquirer: AsyncAcquirer,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
) -> None:
    """Leave a body: release, and tell the loss unless the body raised something itself."""
    lost: LockLost | None = None
    try:
        # First: a loss that is told during the release must not cancel it.
        cause = entered.close(exc_type)
        await acquirer.release(entered.holdings)
    except LockLost as error:
        lost = error
    except OutcomeUnknown as error:
        # The body ran under a valid lease, and the release is retried in the background.
        _log.warning("%s", error)
    if cause is not None:
        raise cause from exc
    if lost is not None and exc is None:
        raise lost
