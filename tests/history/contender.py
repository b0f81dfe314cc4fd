"""One that contends for a lock by the store's port as it is.

So what it claims is what the store has said, and no client of ours stands in between.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from concordant.drivers.base import HintStream
from concordant.errors import BackendUnavailable, OutcomeUnknown
from concordant.locking.names import new_client, owner_id
from concordant.locking.operations import (
    Acquire,
    Cancel,
    Confirm,
    Granted,
    Held,
    Hint,
    Operation,
    Queued,
    Release,
    Released,
    Renew,
    Result,
)
from tests.history.events import Recorder, now_ns
from tests.history.holder import Habits, Holder, Used


class Store(Protocol):
    """As much of a lock store's port as a contender needs."""

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations."""
        ...

    def hints(self, client: str) -> HintStream:
        """Start to listen."""
        ...


@dataclass(slots=True)
class Lease:
    """A grant as its owner sees it."""

    owner: str
    fence: int
    deadline_ns: int


class Contender(Holder[Lease]):
    """Asks, waits for hints, confirms, renews and releases, operation by operation."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        register: Used,
        habits: Habits,
        rng: random.Random,
    ) -> None:
        super().__init__(recorder, register, habits, rng)
        self.store = store
        self.client = new_client()
        self._asked_ns = 0

    def run(self, until_ns: int) -> None:
        """Acquire, use and release until then, over breaks of the store."""
        rounds = count(1)
        while now_ns() < until_ns:
            try:
                with closing(self.store.hints(self.client)) as stream:
                    while now_ns() < until_ns:
                        self._round(stream, owner_id(self.client, next(rounds)), until_ns)
            except (BackendUnavailable, OutcomeUnknown):
                # The round is over, whatever became of it; its lease will expire.
                time.sleep(0.02)

    def _round(self, stream: HintStream, owner: str, until_ns: int) -> None:
        lease = self.acquire(stream, owner, until_ns)
        if lease is None:
            self.ask(Cancel(self.habits.lock, owner, late=True))
            return
        self.use(lease)
        self.release(lease)

    # --- getting it -----------------------------------------------------------------------

    def acquire(self, stream: HintStream, owner: str, until_ns: int) -> Lease | None:
        """Wait for the lock; None when it was given up."""
        habits = self.habits
        request = Acquire(habits.lock, owner, habits.ttl_ms, True, 1, habits.capacity)
        self._asked_ns = now_ns()
        while now_ns() < until_ns:
            sent_ns = now_ns()
            result = self.ask(request)
            if isinstance(result, Granted):
                return self._leased(owner, result.fence, sent_ns)
            assert isinstance(result, Queued), result
            # It had not been granted yet when this was sent, and may be any time from now.
            self._asked_ns = sent_ns
            for hint in stream.get(result.retry_ms / 1000):
                if hint.owner == owner and (lease := self.confirm(hint)):
                    return lease
            if self.rng.random() < habits.give_up_chance:
                return None
        return None

    def confirm(self, hint: Hint) -> Lease | None:
        """Make a grant of a hint; None when it came too late."""
        self.pause()
        sent_ns = now_ns()
        result = self.ask(Confirm(hint.name, hint.owner, hint.fence, self.habits.ttl_ms))
        if not isinstance(result, Held):
            return None
        return self._leased(hint.owner, hint.fence, sent_ns)

    def _leased(self, owner: str, fence: int, sent_ns: int) -> Lease:
        lease = Lease(owner, fence, sent_ns + self.habits.ttl_ms * 1_000_000)
        self.granted(lease, self._asked_ns)
        return lease

    # --- having it ------------------------------------------------------------------------

    def believes(self, lease: Lease, moment_ns: int) -> bool:
        """Tell whether the lease's own deadline lies ahead."""
        return moment_ns < lease.deadline_ns

    def renew(self, lease: Lease) -> None:
        """Extend the lease, and record what the store says of it."""
        sent_ns = now_ns()
        key = (self.habits.lock, lease.owner, lease.fence)
        if isinstance(self.ask(Renew(*key, self.habits.ttl_ms)), Held):
            self.record("held", *key, at_ns=sent_ns)
            lease.deadline_ns = sent_ns + self.habits.ttl_ms * 1_000_000
        else:
            self.record("end", *key, at_ns=now_ns())
            lease.deadline_ns = 0

    def release(self, lease: Lease) -> None:
        """Give the lock back, and record what the store says of it."""
        sent_ns = now_ns()
        key = (self.habits.lock, lease.owner, lease.fence)
        if isinstance(self.ask(Release(*key)), Released):
            self.record("held", *key, at_ns=sent_ns)
        self.record("end", *key, at_ns=now_ns())

    def ask(self, operation: Operation) -> Result:
        """Apply one operation."""
        [result] = self.store.apply([operation])
        return result
