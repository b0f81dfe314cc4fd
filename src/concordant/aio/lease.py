"""What a granted lock gives its holder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from concordant.errors import ConcordantError
from concordant.session.holding import Holding

if TYPE_CHECKING:
    from concordant.aio.acquiring import AsyncAcquirer


class AsyncLease:
    """A lock held for a limited time, renewed in the background until released.

    `fence` is an integer below 2**53 that rises with every grant of the name: hand it to
    the protected resource, which must refuse a smaller one (see the guards). The lease may
    be lost at any time (the store forgot it, an administrator broke it, renewal failed for
    a whole TTL); `check()` and `lost` tell, and the local deadline is never later than the
    store's own expiry.

    Dropping the object gives nothing back: the client goes on renewing until `release()`, or
    until the client is closed or its process ends.
    """

    def __init__(self, holding: Holding, acquirer: AsyncAcquirer) -> None:
        self._holding = holding
        self._acquirer = acquirer

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._holding.name

    @property
    def owner(self) -> str:
        """The id of this one acquisition."""
        return self._holding.owner

    @property
    def fence(self) -> int:
        """The fencing token: it rises with every grant of this name."""
        return self._holding.fence

    @property
    def lost(self) -> bool:
        """Whether the lease ended although nobody released it."""
        return self._holding.lost

    @property
    def remaining_s(self) -> float:
        """Seconds for which the lease surely holds without another renewal."""
        return self._holding.remaining_s

    def check(self) -> None:
        """Raise LockLost unless the lease surely holds now; costs no round trip."""
        self._holding.check()

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call back once when the lease is lost, from a background thread.

        Called at once if it is lost already, and never after a release.
        """
        self._holding.on_lost(callback)

    async def release(self) -> None:
        """Give the lock back; the next waiter is granted in the same step.

        Raises LockLost if the lease was over before, OutcomeUnknown if no reply came: the
        release is then retried in the background, and the TTL ends it at the latest.
        """
        try:
            await self._acquirer.release((self._holding,))
        except ConcordantError:
            raise
        except BaseException:  # Ctrl-C: the caller is done with it all the same
            self._acquirer.abandon((self._holding,))
            raise

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ended" if self._holding.ended else "held"
        return f"<{type(self).__name__} {self.name!r} fence={self.fence} {state}>"
