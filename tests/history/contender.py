"""One that contends for a lock, uses the register while it holds it, and records it all.

It speaks to the store's port as it is, so that what it claims is what the store has said. It
is careless on purpose: it pauses past its lease and then acts on, as a process does that was
stopped. The fences and the register have to cope.
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
from tests.history.register import Register, Stale


class Store(Protocol):
    """As much of a lock store's port as a contender needs."""

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations."""
        ...

    def hints(self, client: str) -> HintStream:
        """Start to listen."""
        ...


@dataclass(frozen=True, slots=True)
class Habits:
    """How a contender behaves; chances are of 1, and pauses are up to `pause_s` long."""

    lock: str = "contended"
    ttl_ms: int = 100
    capacity: int = 1
    pause_s: float = 0.15
    pause_chance: float = 0.1
    renew_chance: float = 0.5
    give_up_chance: float = 0.05


@dataclass(slots=True)
class Lease:
    """A grant as its owner sees it."""

    owner: str
    fence: int
    deadline_ns: int


class Contender:
    """Contends until told to stop; one for each thread."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        register: Register,
        habits: Habits,
        rng: random.Random,
    ) -> None:
        self.store = store
        self.record = recorder
        self.register = register
        self.habits = habits
        self.rng = rng
        self.client = new_client()
        self.grants = 0
        self._asked_ns = 0
        self._operations = 0

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
        self.grants += 1
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
                return self._granted(owner, result.fence, sent_ns)
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
        return self._granted(hint.owner, hint.fence, sent_ns)

    def _granted(self, owner: str, fence: int, sent_ns: int) -> Lease:
        self.record(
            "grant",
            self.habits.lock,
            owner,
            fence,
            permits=1,
            capacity=self.habits.capacity,
            asked_ns=self._asked_ns,
            known_ns=now_ns(),
        )
        return Lease(owner, fence, sent_ns + self.habits.ttl_ms * 1_000_000)

    # --- using it -------------------------------------------------------------------------

    def use(self, lease: Lease) -> None:
        """Add one to the register, reading first, whether or not the lease still runs."""
        base = self.touch(lease, "read")
        self.pause()
        self.claim(lease)
        if self.rng.random() < self.habits.renew_chance:
            self.renew(lease)
        self.claim(lease)
        if base is not None:
            self.touch(lease, "write", base + 1, base)
        self.claim(lease)

    def touch(self, lease: Lease, what: str, value: int = 0, base: int = 0) -> int | None:
        """Use the register, and record what it said; None when it refused."""
        self._operations += 1
        op = f"{lease.owner}/{lease.fence}/{self._operations}"
        key = (self.habits.lock, lease.owner, lease.fence)
        asked_ns, said = now_ns(), None
        try:
            if what == "read":
                said = self.register.read(*key, op)
            else:
                said = self.register.write(*key, op, value, base)
        except Stale:
            pass
        times = {"asked_ns": asked_ns, "known_ns": now_ns()}
        accepted = said is not None
        self.record("register", *key, op=op, what=what, value=said, accepted=accepted, **times)
        return said

    def claim(self, lease: Lease) -> None:
        """Record that the lease stands, if its deadline lies ahead."""
        moment_ns = now_ns()
        if moment_ns < lease.deadline_ns:
            self.record("held", self.habits.lock, lease.owner, lease.fence, at_ns=moment_ns)

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

    def pause(self) -> None:
        """Stand still for a while, now and then."""
        if self.rng.random() < self.habits.pause_chance:
            time.sleep(self.rng.random() * self.habits.pause_s)

    def ask(self, operation: Operation) -> Result:
        """Apply one operation."""
        [result] = self.store.apply([operation])
        return result
