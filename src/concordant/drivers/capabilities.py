"""What a driver promises, in words that documents, `repr` and `doctor` print alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Fencing(IntEnum):
    """How much a lease's fence is worth, weakest first."""

    ADVISORY = 0
    """No fence: two processes may believe that they hold the lock."""
    BEST_EFFORT = 1
    """A fence that may repeat after losing acknowledged data (asynchronous replication)."""
    FENCED = 2
    """A fence that rises for ever as long as the store keeps its durable data."""
    SAME_TRANSACTION = 3
    """FENCED, and a guard can commit in the same transaction as the protected write."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at a backend found that makes nothing there.

    `made`: all that the port needs is there, and `missing` empty. Otherwise that is what the
    first use would make, and `hindrance`, if any, why it could not.
    """

    missing: tuple[str, ...] = ()
    hindrance: str = ""

    @property
    def made(self) -> bool:
        """Whether the port has been used there before."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one backend honestly offers.

    `fencing`: see Fencing. `survives_restart`: leases and fences outlive the store's
    process. `across_processes` and `across_hosts`: who can share the store.
    `detects_dead_waiters`: a grant to a process that is gone passes on without waiting for
    the confirm bound. `note`: the caveat a user must know, in one sentence. `lanes`: how many
    batches are worth having under way at once; `batch_best`: how many items make a good batch.
    """

    backend: str
    fencing: Fencing
    survives_restart: bool
    across_processes: bool
    across_hosts: bool
    detects_dead_waiters: bool
    note: str
    lanes: int = 1
    batch_best: int = 256

    def __str__(self) -> str:
        return f"{self.backend} ({self.fencing}): {self.note}"
