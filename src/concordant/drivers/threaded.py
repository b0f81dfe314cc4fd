"""Blocking drivers for tasks: each on a thread of its own.

A task that is cancelled while its call runs leaves the call running to its end: what it did
is done, the outcome is unknown to the task, and the next call waits behind it. So nothing is
ever torn, and nothing runs twice at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from concordant.drivers.base import (
    Branch,
    InDoubt,
    LockStore,
    Participant,
    Resolution,
    TransactionLog,
    Vote,
)
from concordant.drivers.capabilities import Capabilities
from concordant.drivers.stepport import Barrier, StepWork
from concordant.errors import UsageError
from concordant.locking.operations import Operation, Result
from concordant.transactions.barrier import Op, Ruling
from concordant.transactions.names import BranchId
from concordant.transactions.operations import LogOperation, LogResult

T = TypeVar("T")


class OwnThread:
    """One thread that runs calls one after another."""

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """Run the call on the thread and return what it returns."""
        return await asyncio.wrap_future(self.submit(call, *args))

    def submit(self, call: Callable[..., T], *args: object) -> Future[T]:
        """Queue the call; raises UsageError after `end`, or in a forked child."""
        if self._pid != os.getpid():
            raise UsageError("this was opened before fork; open it anew in this process")
        if self._closed:
            raise UsageError("this was closed; open it anew")
        return self._executor.submit(call, *args)

    async def end(self, last: Callable[[], None]) -> None:
        """Run one last call after all that are queued, and end the thread; once only."""
        if self._closed or self._pid != os.getpid():
            return
        future = self.submit(last)
        self._closed = True
        # The thread ends after the last call, though a cancelled task does not see it.
        self._executor.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(future))
        self._executor.shutdown(wait=True)


class ThreadedLockStore:
    """The async form of a blocking lock store."""

    def __init__(self, store: LockStore) -> None:
        self._store = store
        self._thread = OwnThread("concordant-locks")

    @property
    def capabilities(self) -> Capabilities:
        """What the store promises."""
        return self._store.capabilities

    async def apply(self, batch: Sequence[Operation]) -> list[Result]:
        """Apply lock operations; each name's in the order given."""
        return await self._thread.run(self._store.apply, batch)

    async def names(self, after: str = "", limit: int = 256) -> list[str]:
        """Return names of locks that are held or waited for, in order, past `after`."""
        return await self._thread.run(self._store.names, after, limit)

    async def aclose(self) -> None:
        """Close the store after whatever is under way."""
        await self._thread.end(self._store.close)


class ThreadedTransactionLog:
    """The async form of a blocking transaction log."""

    def __init__(self, log: TransactionLog) -> None:
        self._log = log
        self._thread = OwnThread("concordant-log")

    @property
    def capabilities(self) -> Capabilities:
        """What the log promises."""
        return self._log.capabilities

    async def apply(self, batch: Sequence[LogOperation]) -> list[LogResult]:
        """Apply log operations; all are durable when this returns."""
        return await self._thread.run(self._log.apply, batch)

    async def aclose(self) -> None:
        """Close the log after whatever is under way."""
        await self._thread.end(self._log.close)


class ThreadedBranch:
    """The async form of one branch, on a thread of its own.

    `connection` is handed out as it is, and its user calls it from the loop's thread: the
    driver must open it for use by any thread. The coordinator never calls prepare while the
    user's statements still run.
    """

    def __init__(self, branch: Branch, thread: OwnThread) -> None:
        self._branch = branch
        self._thread = thread

    @property
    def connection(self) -> Any:
        """The database connection to do the work on; never commit or roll back on it."""
        return self._branch.connection

    async def ask(self) -> None:
        """Ask for the vote; the branch has prepared when this returns."""
        await self._thread.run(self._branch.ask)

    async def prepare(self) -> Vote:
        """Make the branch durable without committing it."""
        return await self._thread.run(self._branch.prepare)

    async def tell(self) -> None:
        """Send nothing: an embedded database commits when it is resolved."""

    async def told(self) -> bool:
        """Return False: nothing was sent."""
        return False

    async def commit_one_phase(self) -> None:
        """Commit without prepare, with evidence inside."""
        await self._thread.run(self._branch.commit_one_phase)

    async def abandon(self) -> None:
        """Roll back before prepare and end the thread; never raises, harmless when repeated."""
        await self._thread.end(self._branch.abandon)


class ThreadedParticipant:
    """The async form of a blocking participant; each branch has a thread of its own."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._thread = OwnThread("concordant-participant")

    @property
    def place(self) -> str:
        """Its URL without credentials."""
        return self._participant.place

    @property
    def capabilities(self) -> Capabilities:
        """What this participant promises."""
        return self._participant.capabilities

    async def resource(self) -> str:
        """Connect, check that it can prepare, and return its lasting random id."""
        return await self._thread.run(self._participant.resource)

    async def begin(self, branch: BranchId) -> ThreadedBranch:
        """Start a branch; if the task is cancelled meanwhile, the branch is abandoned."""
        thread = OwnThread("concordant-branch")
        future = thread.submit(self._participant.begin, branch)
        try:
            return ThreadedBranch(await asyncio.wrap_future(future), thread)
        except asyncio.CancelledError:
            # Nobody will ever hold what the thread may still be starting.
            thread.submit(_abandon, future)
            raise

    async def resolve(self, branch: str, commit: bool) -> Resolution:
        """Commit or roll back a prepared branch by name; repeating it is harmless."""
        return await self._thread.run(self._participant.resolve, branch, commit)

    async def committed(self, branch: str) -> bool:
        """Tell whether there is evidence that the branch has committed here."""
        return await self._thread.run(self._participant.committed, branch)

    async def in_doubt(self) -> list[InDoubt]:
        """List this resource's prepared branches, foreign ones too, oldest first."""
        return await self._thread.run(self._participant.in_doubt)

    async def aclose(self) -> None:
        """Close the participant after whatever is under way."""
        await self._thread.end(self._participant.close)


class ThreadedStepWork:
    """The async form of a step's work, on a thread of its own; see ThreadedBranch."""

    def __init__(self, work: StepWork, thread: OwnThread) -> None:
        self._work = work
        self._thread = thread

    @property
    def ruling(self) -> Ruling:
        """What the barrier says."""
        return self._work.ruling

    @property
    def stored(self) -> str:
        """The result that the first call committed, or why not."""
        return self._work.stored

    @property
    def connection(self) -> Any:
        """The database connection to do the work on; never commit or roll back on it."""
        return self._work.connection

    async def commit(self, result: str) -> None:
        """Commit the work and the barrier's row, and end the thread."""
        await self._last(self._work.commit, result)

    async def refuse(self, reason: str) -> None:
        """Roll back, store that the action says no, and end the thread."""
        await self._last(self._work.refuse, reason)

    async def abandon(self) -> None:
        """Roll back and end the thread; never raises, harmless when repeated."""
        await self._thread.end(self._work.abandon)

    async def _last(self, call: Callable[[str], None], text: str) -> None:
        try:
            await self._thread.run(call, text)
        finally:
            # Harmless by now; it is the end of the thread that counts.
            await self.abandon()


class ThreadedBarrier:
    """The async form of a blocking barrier; each step's work has a thread of its own."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    @property
    def capabilities(self) -> Capabilities:
        """What this database promises."""
        return self._barrier.capabilities

    async def enter(self, gid: str, step: str, op: Op) -> ThreadedStepWork:
        """Pass the barrier; if the task is cancelled meanwhile, the work is abandoned."""
        thread = OwnThread("concordant-step")
        future = thread.submit(self._barrier.enter, gid, step, op)
        try:
            work = ThreadedStepWork(await asyncio.wrap_future(future), thread)
        except asyncio.CancelledError:
            # Nobody will ever hold what the thread may still be starting.
            thread.submit(_abandon, future)
            raise
        if work.ruling != "run":
            await work.abandon()
        return work

    async def aclose(self) -> None:
        """Close the barrier, rolling back what is under way."""
        await asyncio.get_running_loop().run_in_executor(None, self._barrier.close)


def _abandon(begun: Future[Branch] | Future[StepWork]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().abandon()
