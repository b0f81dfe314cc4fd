# Generated from src/concordant/aio/client.py by tools/unasync.py; do not edit.
"""The client: one user's door to a lock store."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from concordant._bridge.sync import Combiner, Trace, call, in_turn, settle
from concordant.clock import SYSTEM_CLOCK, Clock
from concordant.drivers import registry
from concordant.drivers.urls import mask
from concordant.errors import ConcordantError, UsageError
from concordant.locking.limits import BATCH_MAX
from concordant.locking.names import check_name
from concordant.locking.operations import Break, Broken, Inspect, Operation, Result, View
from concordant.session.session import Session
from concordant.sync.acquiring import Acquirer
from concordant.sync.lock import Lock, Locks, make_wish

if TYPE_CHECKING:
    from concordant.drivers.capabilities import Capabilities


class Client:
    """Locks on the store that a URL names: `with Client(url) as client:`.

    A client holds few connections, one renewal thread and one hint channel, whatever the
    number of locks. It belongs to one process (a forked child makes its own) and, in async
    code, to one event loop. Closing it releases what it still holds.
    """

    def __init__(self, url: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._url = mask(url)
        self._store = registry.lock_store(url)
        self._session = Session(lambda: registry.lock_store(url), clock, self._url)
        promises = self._store.capabilities
        self._combiner: Combiner[Operation, Result] = Combiner(
            self._store.apply, promises.lanes, promises.batch_best
        )
        self._acquirer = Acquirer(self._session, self._combiner)

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises, and what it does not."""
        return self._store.capabilities

    def lock(
        self,
        name: str,
        ttl_s: float = 30.0,
        timeout_s: float | None = None,
        *,
        reentrant: bool = False,
        note: str = "",
    ) -> Lock:
        """Return the lock of this name; nothing is asked of the store yet.

        `ttl_s`: a holder that dies is replaced after this time; a living one renews at a
        third of it. `timeout_s`: total seconds to wait, None for ever, 0 only tries.
        `note`: up to 512 bytes that tell people who holds it.

        A lease is renewed until it is released, also if nobody has it in hand any more: one
        that was taken with `acquire()` and dropped is held until the client is closed or its
        process ends. Prefer `with`, which always gives back.
        """
        return Lock(make_wish(name, ttl_s, timeout_s, note), self._acquirer, reentrant)

    def locks(
        self,
        names: Iterable[str],
        ttl_s: float = 30.0,
        timeout_s: float | None = None,
        *,
        note: str = "",
    ) -> Locks:
        """Return several locks as one: all are held, or none; they never deadlock.

        The parameters are those of `lock`; `timeout_s` is the total time for all of them.
        """
        chosen = [names] if isinstance(names, str) else list(names)
        if isinstance(names, str) or not chosen:
            raise UsageError("locks() takes a list of at least one name")
        if len(set(chosen)) != len(chosen):
            raise UsageError("locks() takes each name once")
        if len(chosen) > BATCH_MAX:
            raise UsageError(f"locks() takes up to {BATCH_MAX} names, not {len(chosen)}")
        wishes = [make_wish(name, ttl_s, timeout_s, note) for name in chosen]
        return Locks(wishes, self._acquirer)

    def inspect(self, name: str) -> View:
        """Return who holds the lock and who waits, as it stands in the store."""
        result = self._submit(Inspect(check_name(name)))
        assert isinstance(result, View)
        return result

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return names that are held or waited for, in order, past `after`."""
        self._session.check_usable()
        return self._store.names(after, limit)

    def break_lock(self, name: str, fence: int = 0) -> int:
        """Evict the holder with this fence (0: all of them) and return how many went.

        The evicted holder is told, but may act until it notices: only a guarded resource is
        safe from it. An act for people, not for programs.
        """
        result = self._submit(Break(check_name(name), fence))
        assert isinstance(result, Broken)
        return result.count

    def ping(self) -> None:
        """Return if the store answers; raises BackendUnavailable otherwise."""
        self._session.check_usable()
        self._store.apply([])

    def _submit(self, operation: Operation) -> Result:
        self._session.check_usable()
        return self._combiner.submit(operation)

    def close(self) -> None:
        """Release what is still held, end the threads and close the connections.

        Whoever still waits for a lock gets UsageError. Does nothing in a forked child, where
        all of it belongs to the parent.
        """
        if self._session.foreign:
            return
        try:
            settle(self._close)
        except BaseException:
            # Once more, or Ctrl-C would leave threads that renew the leases for ever.
            settle(self._close)
            raise

    def _close(self) -> None:
        if not self._session.foreign:
            in_turn(
                self._release_held,
                partial(call, self._session.close),
                self._acquirer.rest,
                self._release_held,  # what was got before they could find it closed
                self._combiner.drain,
                self._store.close,
            )

    def _release_held(self) -> None:
        try:
            self._acquirer.release_held()
        except ConcordantError:
            pass  # whoever holds it was told, and the TTL ends it

    def __enter__(self) -> Client:
        self._session.check_usable()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: Trace
    ) -> None:
        try:
            self.close()
        except BaseException:
            self.close()  # Ctrl-C may have come before that had begun
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url} {self.capabilities.fencing}>"
