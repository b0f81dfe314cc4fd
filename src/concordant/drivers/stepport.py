"""The port of sagas on databases: a step's work behind a barrier."""

from __future__ import annotations

from typing import Any, Protocol

from concordant.drivers.capabilities import Capabilities
from concordant.transactions.barrier import Op, Ruling


class PastBarrier(Protocol):
    """What a barrier gives: one direction of one saga step, on one connection.

    Unless `ruling` is `run` it is over already, its rows committed. If it is, it has to be
    ended by one of the methods of StepWork.
    """

    @property
    def ruling(self) -> Ruling:
        """What the barrier says; see transactions/barrier.py."""
        ...

    @property
    def stored(self) -> str:
        """The result that the first call committed (skip), or why not (refuse)."""
        ...

    @property
    def connection(self) -> Any:
        """The database connection to do the work on; never commit or roll back on it."""
        ...


class StepWork(PastBarrier, Protocol):
    """The work of a saga step (sync)."""

    def commit(self, result: str) -> None:
        """Commit the work, the barrier's row and the result with it, durably.

        Raises OutcomeUnknown if that may or may not have happened: enter again to find out.
        """
        ...

    def refuse(self, reason: str) -> None:
        """Roll the work back, and store durably that this action says no, and why.

        An exception means that the verdict may not be stored; the work is not.
        """
        ...

    def abandon(self) -> None:
        """Roll back, the barrier's row too, as far as the connection lives; never raises."""
        ...


class Barrier(Protocol):
    """A database that saga steps change, with a barrier before each (sync)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this database promises."""
        ...

    def enter(self, gid: str, step: str, op: Op) -> StepWork:
        """Start a transaction on a connection of its own, and pass the barrier if it lets.

        The rows stand in `concordant_barrier(gid, step, op, verdict, result, created_us)`,
        primary key (gid, step, op), made if it is not there. The row that lets the work
        begin is written in the work's own transaction; calls of the same step wait for each
        other, bounded (then BackendUnavailable).
        """
        ...

    def close(self) -> None:
        """Give connections back; roll back what is under way."""
        ...


class AsyncStepWork(PastBarrier, Protocol):
    """The work of a saga step (async); see StepWork."""

    async def commit(self, result: str) -> None:
        """Commit the work, the barrier's row and the result with it, durably."""
        ...

    async def refuse(self, reason: str) -> None:
        """Roll the work back, and store durably that this action says no, and why."""
        ...

    async def abandon(self) -> None:
        """Roll back, the barrier's row too, as far as the connection lives; never raises."""
        ...


class AsyncBarrier(Protocol):
    """A database that saga steps change, with a barrier before each (async); see Barrier."""

    @property
    def capabilities(self) -> Capabilities:
        """What this database promises."""
        ...

    async def enter(self, gid: str, step: str, op: Op) -> AsyncStepWork:
        """Start a transaction on a connection of its own, and pass the barrier if it lets."""
        ...

    async def aclose(self) -> None:
        """Give connections back; roll back what is under way."""
        ...
