# Generated from tests/surface/aio/paying.py by tools/unasync.py; do not edit.
"""Databases with a little money in them, and what can go wrong while it moves between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from concordant.drivers import registry
from concordant.drivers.base import TransactionLog
from concordant.drivers.capabilities import Capabilities
from concordant.errors import OutcomeUnknown
from concordant.transactions.names import BranchId
from concordant.transactions.operations import Decide, LogOperation, LogResult
from tests.contract.banks import BEFORE, balances, open_bank
from tests.provision.bridge import rows, sleep
from tests.provision.sqlite import SQLITE

__all__ = ["BEFORE", "Gate", "Places", "Severed", "add", "severed"]


class Places:
    """Two databases; each transfer moves 10 from ada at the first to bob at the second."""

    def __init__(self, folder: Path) -> None:
        assert SQLITE.participant_url is not None
        self.urls = [open_bank(SQLITE, SQLITE.participant_url(folder)) for _ in range(2)]

    def balances(self) -> list[dict[str, int]]:
        """Return what everybody can read."""
        return [balances(SQLITE, url) for url in self.urls]

    def moved(self, times: int = 1) -> list[dict[str, int]]:
        """Return what there is after so many transfers."""
        return [BEFORE | {"ada": 100 - 10 * times}, BEFORE | {"bob": 50 + 10 * times}]

    def in_doubt(self) -> list[str]:
        """Return all prepared branches."""
        found: list[str] = []
        for url in self.urls:
            participant = registry.participant(url)
            found += [branch.branch for branch in participant.in_doubt()]
            participant.close()
        return found

    def prepare(self, number: int, name: BranchId, amount: int) -> str:
        """Leave a prepared branch behind that moves an amount, as a crash does."""
        participant = registry.participant(self.urls[number])
        branch = participant.begin(name)
        add(branch.connection, "bob" if number else "ada", amount)
        vote = branch.prepare()
        assert vote.kind == "prepared", vote
        participant.close()
        return str(name)


def add(connection: Any, account: str, amount: int) -> None:
    """Change a balance by an amount."""
    rows(connection, "UPDATE account SET balance = balance + ? WHERE id = ?", amount, account)


def transfer(connections: Sequence[Any]) -> None:
    """Move 10 from ada at the first place to bob at the second."""
    add(connections[0], "ada", -10)
    add(connections[1], "bob", 10)


class Gate:
    """An executor that waits at one place until it is opened."""

    def __init__(self, state: str, command: str) -> None:
        self.reached = False
        self.open = False
        self._place = ("two-phase", state, command)

    def __call__(self, machine: str, state: str, command: object, action: Callable[[], Any]) -> Any:
        """Run the action, once the gate is open if this is its place."""
        if (machine, state, type(command).__name__) == self._place:
            self.reached = True
            while not self.open:
                sleep(0.002)
        return action()

    def was_reached(self) -> bool:
        """Tell whether somebody waits at the gate, or did."""
        return self.reached


class Unsent:
    """An executor whose connection breaks at one place, before anything was sent."""

    def __init__(self, command: str) -> None:
        self.hits = 0
        self._command = command

    def __call__(self, machine: str, state: str, command: object, action: Callable[[], Any]) -> Any:
        """Run the action, unless it is the first of this command."""
        if type(command).__name__ == self._command and not self.hits:
            self.hits += 1
            raise ConnectionResetError("broken by the test")
        return action()


class Severed:
    """A log from which no decision to commit comes back, whether it was taken down or not."""

    def __init__(self, inner: TransactionLog, applied: bool, times: int) -> None:
        self._inner = inner
        self._applied = applied
        self.left = times

    @property
    def capabilities(self) -> Capabilities:
        """What the real log promises."""
        return self._inner.capabilities

    def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        """Apply the batch, if that is meant to happen, and lose the answer."""
        commits = [each for each in batch if isinstance(each, Decide) and each.outcome == "commit"]
        if not commits or not self.left:
            return self._inner.apply(batch)
        self.left -= 1
        if self._applied:
            self._inner.apply(batch)
        raise OutcomeUnknown("severed by the test")

    def close(self) -> None:
        """Close the real log."""
        self._inner.close()


@contextmanager
def severed(applied: bool, times: int) -> Iterator[None]:
    """Let the logs of the coordinators made in the body lose decisions."""
    real = registry.transaction_log
    registry.transaction_log = lambda url: Severed(real(url), applied, times)
    try:
        yield
    finally:
        registry.transaction_log = real
