"""One client's presence in a lock store: its id, its threads, and its own connections."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Final

from concordant.clock import Clock
from concordant.drivers.base import LockStore
from concordant.errors import UsageError
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import Cancel, Handed, Operation, Result
from concordant.session import process
from concordant.session.holding import Holding
from concordant.session.keeper import Keeper
from concordant.session.listener import Listener, Wakeable, Won

_CLOSE_S: Final = 3.0


class Session:
    """Liveness, apart from the locks themselves.

    It opens a store of its own on first need, since its threads must not queue behind the
    user's requests. A forked child must not use it: the parent goes on renewing. `place` is
    the store's URL without credentials, for messages.
    """

    def __init__(self, open_store: Callable[[], LockStore], clock: Clock, place: str) -> None:
        self.client = new_client()
        self.clock = clock
        self.place = place
        self._open_store = open_store
        self._store: LockStore | None = None
        self._mutex = threading.Lock()
        self._numbers = itertools.count(1)
        self._pid = process.pid
        self._closed = False
        self._keeper = Keeper(self._apply, clock)
        self._listener = Listener(lambda: self._own_store().hints(self.client), self._apply, clock)

    def _own_store(self) -> LockStore:
        with self._mutex:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    def _apply(self, batch: Sequence[Operation]) -> list[Result]:
        return (self._store or self._own_store()).apply(batch)

    @property
    def foreign(self) -> bool:
        """Whether this is a forked child, where all of it belongs to the parent."""
        return self._pid != process.pid

    def check_usable(self) -> None:
        """Raise UsageError after close, or in a forked child."""
        if self._closed:
            raise UsageError("the client is closed; open another one")
        if self._pid != process.pid:
            raise UsageError("the client was made before a fork; make one in this process")

    def new_owner(self) -> str:
        """Return an owner id that was never used."""
        return owner_id(self.client, next(self._numbers))

    # --- waiting --------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether this client can be told of a grant."""
        return self._listener.listening

    def listen(self) -> None:
        """Open the hint channel; blocks for a connection at most."""
        self._listener.start()

    def expect(self, owner: str, wait: Wakeable) -> None:
        """Deliver grants for the owner to the waiter."""
        self._listener.expect(owner, wait)

    def forget(self, owner: str) -> None:
        """Stop delivering for the owner."""
        self._listener.forget(owner)

    def handed_over(self, handed: Sequence[Handed], sent_ns: int) -> None:
        """Pass on grants that came with the reply to a release that left at `sent_ns`."""
        for grant in handed:
            self._listener.deliver(grant.owner, Won(grant.fence, sent_ns))

    def wake_all(self) -> None:
        """Make every waiter ask again, after a reply was lost that may have granted."""
        self._listener.wake_all()

    # --- holding --------------------------------------------------------------------------

    def hold(self, name: str, owner: str, won: Won, ttl_ms: int) -> Holding:
        """Start to keep a lease that was granted; UsageError if the client was closed."""
        self.check_usable()
        holding = Holding(name, owner, won.fence, ttl_ms, won.sent_ns, self.clock, self.place)
        self._keeper.keep(holding)
        return holding

    def let_go(self, holding: Holding) -> bool:
        """Stop keeping a lease before its release; False if it is over already."""
        self._keeper.drop(holding.owner)
        return holding.end()

    def give_up(self, owner: str) -> None:
        """Stop waiting for the owner and keeping its lease, whichever it had come to."""
        self._listener.forget(owner)
        self._keeper.drop(owner)

    def still_held(self) -> list[Holding]:
        """Return the leases that nobody has released; none in a forked child."""
        return [] if self.foreign else self._keeper.holdings()

    def cancel_later(self, cancel: Cancel, ttl_ms: int) -> None:
        """Cancel an owner from the background; after its TTL the store does so itself."""
        if not self.foreign:  # a child must not give back what its parent holds
            self._keeper.cancel_later(cancel, max(ttl_ms, 60_000) * 1_000_000)

    def close(self) -> None:
        """End the threads, bounded in time, and give the connections back.

        Who still waits is taken out of the queue and finds the client closed. To be called
        again when Ctrl-C has broken it off.
        """
        self._closed = True
        if self.foreign:
            return
        for owner, wait in self._listener.waits():
            self.cancel_later(Cancel(wait.name, owner, late=True), wait.ttl_ms)
        self._listener.wake_all()
        self._listener.close(_CLOSE_S)
        self._keeper.close(_CLOSE_S)
        with self._mutex:
            store = self._store
        if store is not None:
            store.close()
