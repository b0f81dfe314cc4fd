"""The ports: everything a backend can be to the rest of concordant.

Rules that hold for every port:

* `apply` takes a batch of at most 256 items; result i answers item i, and one bad item
  never fails its neighbours.
* An exception from `apply` means that every outcome in the batch is unknown: ask again with
  the same ids. BackendUnavailable says that nothing was applied for certain,
  OutcomeUnknown that it may have been.
* Nothing waits inside a store; an empty batch only proves that the store answers.
* Constructing a driver does no I/O; the first call connects. Drivers are safe to share
  between threads (sync) or tasks of one loop (async).
* A driver implements only what it can honestly offer: its module has a factory for each port
  it implements, and no other (see registry.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from concordant.drivers.capabilities import Capabilities
from concordant.locking.operations import Hint, Operation, Result
from concordant.transactions.names import BranchId
from concordant.transactions.operations import LogOperation, LogResult

# --- locks --------------------------------------------------------------------------------


class HintStream(Protocol):
    """The hints addressed to one client. A lost hint costs latency, never safety."""

    def get(self, timeout_s: float) -> list[Hint]:
        """Return all hints that have arrived, waiting at most this long for the first.

        Returns an empty list on timeout. Raises BackendUnavailable when the channel broke:
        close it, open another, and ask again for whatever was waited for.
        """
        ...

    def close(self) -> None:
        """Stop listening, and wake a `get` that is under way."""
        ...


class LockStore(Protocol):
    """Where locks live (sync)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this store promises."""
        ...

    def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations; each name's in the order given."""
        ...

    def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return names of locks that are held or waited for, in order, past `after`."""
        ...

    def hints(self, client: str) -> HintStream:
        """Start to listen for the client; on return every later hint will be received."""
        ...

    def close(self) -> None:
        """Give connections back; the store must not be used any more."""
        ...


class AsyncLockStore(Protocol):
    """Where locks live (async); hints are read by a thread, so they have no async form."""

    @property
    def capabilities(self) -> Capabilities:
        """What this store promises."""
        ...

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations; each name's in the order given."""
        ...

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return names of locks that are held or waited for, in order, past `after`."""
        ...

    async def aclose(self) -> None:
        """Give connections back; the store must not be used any more."""
        ...


# --- transactions -------------------------------------------------------------------------


class TransactionLog(Protocol):
    """Where decisions and sagas are kept durably (sync)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this log promises."""
        ...

    def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        """Apply log operations; all are durable when this returns."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class AsyncTransactionLog(Protocol):
    """Where decisions and sagas are kept durably (async)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this log promises."""
        ...

    async def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        """Apply log operations; all are durable when this returns."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...


@dataclass(frozen=True, slots=True)
class Vote:
    """A participant's answer to prepare.

    `prepared`: it will commit or roll back as told, whatever crashes. `read-only`: it
    changed nothing and has left. `refused`: it has rolled back; `reason` says why.
    """

    kind: Literal["prepared", "read-only", "refused"]
    reason: str = ""


Resolution = Literal["done", "already", "missing"]
"""What became of a request to commit or roll back a prepared branch.

`done`: it was prepared and has obeyed now. `already`: the participant holds evidence that it
committed earlier, which is a heuristic outcome if it was to roll back. `missing`: no such
branch and no evidence; harmless after an abort, a heuristic outcome after a commit decision.
"""


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A prepared branch as the participant lists it."""

    branch: str
    age_s: float
    detail: str = ""


class Branch(Protocol):
    """One branch under way on one connection (sync)."""

    @property
    def connection(self) -> Any:
        """The database connection to do the work on; never commit or roll back on it."""
        ...

    def ask(self) -> None:
        """Ask for the vote, so that several branches prepare side by side.

        A database that works on by itself is not waited for; any other has prepared when
        this returns. `prepare` brings the vote, and asks for it unless this has.
        """
        ...

    def prepare(self) -> Vote:
        """Make the branch durable without committing it.

        An exception means that the vote is unknown: the branch may be prepared.
        """
        ...

    def tell(self) -> None:
        """Send word to commit a branch that is prepared, if that goes without waiting."""
        ...

    def told(self) -> bool:
        """Return True if `tell` was sent and the branch has committed by it.

        False: nothing was sent, or nobody knows; `Participant.resolve` commits it.
        """
        ...

    def commit_one_phase(self) -> None:
        """Commit without prepare (the branch is the only one), with evidence inside.

        Raises TransactionAborted when the participant refused; OutcomeUnknown otherwise:
        `Participant.committed` tells.
        """
        ...

    def abandon(self) -> None:
        """Roll back before prepare, as far as the connection lives; never raises.

        One that was asked stays as it is, prepared or not; only its connection is given up.
        """
        ...


class Participant(Protocol):
    """One resource manager in a two-phase commit (sync)."""

    @property
    def place(self) -> str:
        """Its URL without credentials."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this participant promises."""
        ...

    def resource(self) -> str:
        """Connect, check that it can prepare, and return its lasting random id."""
        ...

    def begin(self, branch: BranchId) -> Branch:
        """Start a branch on a connection of its own."""
        ...

    def resolve(self, branch: str, commit: bool) -> Resolution:
        """Commit or roll back a prepared branch by name; repeating it is harmless."""
        ...

    def committed(self, branch: str) -> bool:
        """Tell whether the branch has committed here; if not, it never will.

        For a one-phase commit whose reply was lost: a commit that is still on its way must
        be made to fail before the answer is no. Raises OutcomeUnknown while that is open.
        """
        ...

    def in_doubt(self) -> list[InDoubt]:
        """List this resource's prepared branches, foreign ones too, oldest first."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class AsyncBranch(Protocol):
    """One branch under way on one connection (async); see Branch."""

    @property
    def connection(self) -> Any:
        """The database connection to do the work on; never commit or roll back on it."""
        ...

    async def ask(self) -> None:
        """Ask for the vote, so that several branches prepare side by side."""
        ...

    async def prepare(self) -> Vote:
        """Make the branch durable without committing it."""
        ...

    async def tell(self) -> None:
        """Send word to commit a branch that is prepared, if that goes without waiting."""
        ...

    async def told(self) -> bool:
        """Return True if `tell` was sent and the branch has committed by it."""
        ...

    async def commit_one_phase(self) -> None:
        """Commit without prepare, with evidence inside."""
        ...

    async def abandon(self) -> None:
        """Roll back before prepare, as far as the connection lives; never raises."""
        ...


class AsyncParticipant(Protocol):
    """One resource manager in a two-phase commit (async); see Participant."""

    @property
    def place(self) -> str:
        """Its URL without credentials."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this participant promises."""
        ...

    async def resource(self) -> str:
        """Connect, check that it can prepare, and return its lasting random id."""
        ...

    async def begin(self, branch: BranchId) -> AsyncBranch:
        """Start a branch on a connection of its own."""
        ...

    async def resolve(self, branch: str, commit: bool) -> Resolution:
        """Commit or roll back a prepared branch by name; repeating it is harmless."""
        ...

    async def committed(self, branch: str) -> bool:
        """Tell whether the branch has committed here; if not, it never will.

        For a one-phase commit whose reply was lost: a commit that is still on its way must
        be made to fail before the answer is no. Raises OutcomeUnknown while that is open.
        """
        ...

    async def in_doubt(self) -> list[InDoubt]:
        """List this resource's prepared branches, foreign ones too, oldest first."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...


# --- barriers -----------------------------------------------------------------------------
