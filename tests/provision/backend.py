"""What the test suites know of a backend: its URLs, its promises and its SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from concordant.drivers.capabilities import Capabilities, Fencing

# A function that gives a URL of a store that nobody else uses, and that is empty. Asked twice
# it gives two stores. A server may be started by the first call; it may lay files into `tmp`.
FreshUrl = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Promises:
    """What the suites hold a driver to; written down here, never read from the driver."""

    fencing: Fencing
    survives_restart: bool
    across_processes: bool
    across_hosts: bool
    detects_dead_waiters: bool

    @classmethod
    def of(cls, capabilities: Capabilities) -> Promises:
        """Return what a driver says of itself in the form of the tables."""
        return cls(
            capabilities.fencing,
            capabilities.survives_restart,
            capabilities.across_processes,
            capabilities.across_hosts,
            capabilities.detects_dead_waiters,
        )


class Dialect(Protocol):
    """The little SQL that the participant's suite has to know of a database."""

    failure_is_final: bool
    """Whether one failed statement fails the whole transaction it stands in."""

    not_preparable: str
    """A statement that is allowed in a plain transaction and that no branch can prepare."""

    @property
    def error(self) -> type[Exception]:
        """What a connection raises when the database refuses a statement."""
        ...

    def sql(self, statement: str) -> str:
        """Return a statement written with ? for parameters as this database wants it."""
        ...

    def outside(self, url: str, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a plain connection that knows nothing of concordant.

        Commits, closes, and returns the rows, if there are any. Waits a few seconds at most
        for what others keep locked, and raises then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One URL scheme under test; a URL function that is None: the port is not offered.

    `restart` stops the server hard and starts it again on the same data; None where there is
    no server.
    """

    name: str
    promises: Promises
    lock_url: FreshUrl | None = None
    log_url: FreshUrl | None = None
    participant_url: FreshUrl | None = None
    barrier_url: FreshUrl | None = None
    dialect: Dialect | None = None
    restart: Callable[[], None] | None = None
    needs_server: bool = False

    def fresh(self, port: str) -> FreshUrl | None:
        """Return what makes URLs for the port, by the port's name in the registry."""
        return {
            "lock_store": self.lock_url,
            "transaction_log": self.log_url,
            "participant": self.participant_url,
            "barrier": self.barrier_url,
        }[port]
