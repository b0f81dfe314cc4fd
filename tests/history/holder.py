"""What a holder does with a lock: it uses the register, and records what it was told.

It is careless on purpose: it pauses past its lease and then acts on, as a process does that
was stopped. The fences and the register have to cope.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tests.history.events import Recorder, now_ns
from tests.history.register import Stale


class Used(Protocol):
    """As much of a register as a holder needs."""

    def read(self, lock: str, owner: str, fence: int, op: str) -> int:
        """Return the value; raises Stale."""
        ...

    def write(self, lock: str, owner: str, fence: int, op: str, value: int, base: int) -> int:
        """Set the value; raises Stale."""
        ...


class Fenced(Protocol):
    """What a lease shows to the register."""

    @property
    def owner(self) -> str:
        """The id of the acquisition."""
        ...

    @property
    def fence(self) -> int:
        """Its fence."""
        ...


L = TypeVar("L", bound=Fenced)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a holder behaves; chances are of 1, and pauses are up to `pause_s` long."""

    lock: str = "contended"
    ttl_ms: int = 100
    capacity: int = 1
    pause_s: float = 0.15
    pause_chance: float = 0.1
    renew_chance: float = 0.5
    give_up_chance: float = 0.05


class Holder(ABC, Generic[L]):
    """Contends until told to stop; one for each thread. How it gets the lock is its own."""

    def __init__(
        self, recorder: Recorder, register: Used, habits: Habits, rng: random.Random
    ) -> None:
        self.record = recorder
        self.register = register
        self.habits = habits
        self.rng = rng
        self.grants = 0
        self._operations = 0

    @abstractmethod
    def run(self, until_ns: int) -> None:
        """Acquire, use and release until then, over breaks of the store."""

    def granted(self, lease: Fenced, asked_ns: int) -> None:
        """Record a grant that was asked for at that time and is known of now."""
        self.grants += 1
        key = (self.habits.lock, lease.owner, lease.fence)
        times = {"asked_ns": asked_ns, "known_ns": now_ns()}
        self.record("grant", *key, permits=1, capacity=self.habits.capacity, **times)

    def use(self, lease: L) -> None:
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

    def touch(self, lease: L, what: str, value: int = 0, base: int = 0) -> int | None:
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

    def claim(self, lease: L) -> None:
        """Record that the lease stands, if its owner believes so."""
        moment_ns = now_ns()
        if self.believes(lease, moment_ns):
            self.record("held", self.habits.lock, lease.owner, lease.fence, at_ns=moment_ns)

    @abstractmethod
    def believes(self, lease: L, moment_ns: int) -> bool:
        """Tell whether the lease's own deadline lies ahead."""

    def renew(self, lease: L) -> None:
        """Extend the lease; nothing to do where somebody else does so."""

    def pause(self) -> None:
        """Stand still for a while, now and then."""
        if self.rng.random() < self.habits.pause_chance:
            time.sleep(self.rng.random() * self.habits.pause_s)
