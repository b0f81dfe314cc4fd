"""The async twins: tasks of one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, Unpack

from concordant._bridge.asked import Asked, wake_all
from concordant.errors import LockLost, OutcomeUnknown
from concordant.session.holding import Holding
from concordant.session.listener import Won

_log = logging.getLogger("concordant.transactions")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value")
Given = TypeVarTuple("Given")


class Combiner(Generic[Item, Answer]):
    """Carry what many tasks ask in few round trips (flat combining).

    What is asked while all lanes are under way goes with the next batch. If `apply` fails,
    every asker of that batch gets the exception.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[Item]], Awaitable[list[Answer]]],
        lanes: int,
        batch_max: int,
    ) -> None:
        self._apply = apply
        self._lanes = lanes
        self._batch_max = batch_max
        self._pending: deque[Asked[Item, Answer]] = deque()
        self._running: set[asyncio.Task[list[Answer]]] = set()
        self._scheduled = False
        self._deferred: deque[Item] = deque()
        # Kept, since to ask for the running loop takes a call of the kernel.
        self._loop: asyncio.AbstractEventLoop

    def defer(self, item: Item) -> None:
        """Let an item whose answer nobody needs go with the next batch, whenever that is."""
        self._deferred.append(item)

    async def flush(self) -> None:
        """Carry what was deferred and has met no batch."""
        while self._deferred:
            await self.submit_many(())

    async def submit(self, item: Item) -> Answer:
        """Return the answer to one item."""
        return (await self.submit_many((item,)))[0]

    def submit_many(self, items: Sequence[Item]) -> Awaitable[list[Answer]]:
        """Return the answers to items that go in one batch, in order."""
        if not self._scheduled and len(self._running) < self._lanes:
            # Not at once: what other tasks ask in this turn of the loop goes along.
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._start)
            self._scheduled = True
        asked: Asked[Item, Answer] = Asked(items, self._loop)
        self._pending.append(asked)
        return asked

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._running or self._pending:
            self._start()
            if self._running:
                await asyncio.wait(set(self._running))

    def _start(self) -> None:
        self._scheduled = False
        while self._pending and len(self._running) < self._lanes:
            asked, items = self._take()
            if asked:
                extra = [self._deferred.popleft() for _ in range(self._room(len(items)))]
                task = asyncio.ensure_future(self._apply([*items, *extra]))
                self._running.add(task)
                task.add_done_callback(partial(self._landed, asked, extra))

    def _take(self) -> tuple[list[Asked[Item, Answer]], list[Item]]:
        taken: list[Asked[Item, Answer]] = []
        items: list[Item] = []
        pending = self._pending
        while pending:
            asked = pending.popleft()
            if asked.failure is not None:  # its asker gave up before anything was sent
                continue
            if taken and len(items) + len(asked.items) > self._batch_max:
                pending.appendleft(asked)
                break
            taken.append(asked)
            items += asked.items
        return taken, items

    def _room(self, size: int) -> int:
        return max(0, min(len(self._deferred), self._batch_max - size))

    def _landed(
        self,
        asked: list[Asked[Item, Answer]],
        extra: list[Item],
        task: asyncio.Task[list[Answer]],
    ) -> None:
        """Give out the answers of a batch that is over, or its failure."""
        self._running.discard(task)
        failure: BaseException | None = asyncio.CancelledError()
        if not task.cancelled():
            failure = task.exception()
        if failure is None:
            answers = task.result()
            start = 0
            for each in asked:
                end = start + len(each.items)
                if each.failure is None:  # or else its asker has given up meanwhile
                    each.answers = answers[start:end]
                start = end
        else:
            self._deferred.extend(extra)
            if not isinstance(failure, Exception):
                failure = OutcomeUnknown("the request was interrupted; ask again")
            for each in asked:
                each.failure = each.failure or failure
        try:
            # The next batch leaves before those who were answered ask for more.
            self._start()
        finally:
            task.get_loop().call_soon(wake_all, asked)


class Wait:
    """A waiter that threads can wake, and that can be waited on again and again."""

    def __init__(self, name: str, ttl_ms: int) -> None:
        self.name = name
        self.ttl_ms = ttl_ms
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._event = asyncio.Event()
        self._won: Won | None = None

    def wake(self, won: Won | None) -> None:
        """Deliver a grant, or None: ask again. Callable from any thread."""
        if won is not None:
            self._won = won
        if threading.get_ident() == self._thread:
            self._event.set()
            return
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop is closed: whoever waited is gone, and the grant lapses unconfirmed.
            return

    async def wait(self, timeout_s: float) -> Won | None:
        """Return a grant once there is one, or None when it is time to ask again."""
        if self._won is None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
            except TimeoutError:
                return None
        self._event.clear()
        return self._won


Caller = asyncio.Task[Any]


def current() -> Caller:
    """Return the running task."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a lock is entered from inside a task")
    return task


class Scope:
    """A body under way: cancel its task when a lease is lost, as asyncio.timeout does.

    `given` is what entering it gave, `depth` how often it was entered.
    """

    __slots__ = ("_cancelling", "_lost", "_open", "_task", "depth", "given", "holdings")

    def __init__(self, caller: Caller, given: Any, holdings: Sequence[Holding]) -> None:
        self.given = given
        self.holdings = holdings
        self.depth = 1
        self._task = caller
        self._cancelling = caller.cancelling()
        self._lost: Holding | None = None
        self._open = True
        for holding in holdings:
            holding.on_lost(partial(self._tell, holding), brief=True)

    def _tell(self, holding: Holding) -> None:
        try:
            self._task.get_loop().call_soon_threadsafe(self._cancel, holding)
        except RuntimeError:
            return  # the loop is closed, and the task with it

    def _cancel(self, holding: Holding) -> None:
        if self._open and self._lost is None:
            self._lost = holding
            self._task.cancel()

    def close(self, exc_type: type[BaseException] | None) -> LockLost | None:
        """Leave the scope; returns the loss if that is what cancelled the body.

        To be called before anything is awaited at the exit: a loss that is told later must
        not cancel the release.
        """
        self._open = False
        if self._lost is None:
            return None
        # The cancellation was this scope's own, so it must not be seen further out.
        outer = self._task.uncancel() > self._cancelling
        if exc_type is asyncio.CancelledError and not outer:
            return LockLost(self._lost.message(self._lost.lost_reason))
        return None


async def settle(
    action: Callable[[Unpack[Given]], Coroutine[Any, Any, Value]], *given: *Given
) -> Value:
    """Run a bounded action to its end even if the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(action(*given))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        if cancelled is not None:
            task.exception()  # retrieved: the cancellation goes first
            raise cancelled
        return task.result()
    finally:
        # What is raised refers to this frame: whatever the caller has there would wait for the
        # collector of cycles.
        del task, cancelled


@types.coroutine
def finish(
    action: Callable[[Unpack[Given]], Coroutine[Any, Any, Value]], *given: *Given
) -> Generator[Any, None, Value]:
    """Run an action to its end as `settle` does, but in the caller's own task.

    Several times cheaper, but the action may await nothing except a combiner's answers.
    """
    running = action(*given)
    cancelled: asyncio.CancelledError | None = None
    try:
        while True:
            asked = running.send(None)
            asked.held = True
            try:
                yield asked
            except asyncio.CancelledError as error:
                cancelled = error
            except Exception:  # the failure of what was asked, which is the action's to meet
                assert asked.done()
    except StopIteration as end:
        if cancelled is not None:
            raise cancelled from None
        return end.value  # type: ignore[no-any-return]
    except Exception:
        if cancelled is not None:
            raise cancelled from None  # it goes first
        raise
    finally:
        running.close()
        cancelled = None  # as in `settle`


async def in_turn(*steps: Callable[[], Awaitable[None]]) -> None:
    """Take each step, whatever error another one ends with; the first error is raised after all.

    Cancellation ends it at once: then all of them have to be taken again.
    """
    errors: list[Exception] = []
    for step in steps:
        try:
            await step()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


async def give_way() -> None:
    """Go on at once: tasks that were woken run when this one waits, and not before."""


async def call(function: Callable[[], Value]) -> Value:
    """Run a blocking function without blocking the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, function)


async def pause(seconds: float) -> None:
    """Let the time pass."""
    await asyncio.sleep(seconds)


class Overdue(Exception):
    """The time for an action is over; it may still happen, or have happened."""


async def within(timeout_s: float | None, action: Callable[[], Awaitable[Value]]) -> Value:
    """Run the action for at most so long (None: as long as it takes), then cancel it.

    Raises Overdue once the time is over.
    """
    bound = asyncio.timeout(timeout_s)
    try:
        async with bound:
            return await action()
    except TimeoutError:
        if bound.expired():
            raise Overdue from None
        raise


Trace = TracebackType | None


class Executor(Protocol):
    """Runs the commands of a transaction's machine; injected, so that tests can fail them."""

    def __call__(
        self, machine: str, state: str, command: object, action: Callable[[], Awaitable[Value]]
    ) -> Awaitable[Value]:
        """Run the action that carries out the command in this state, and return its value."""
        ...


async def direct(
    machine: str, state: str, command: object, action: Callable[[], Awaitable[Value]]
) -> Value:
    """Run the action, and nothing else."""
    return await action()


class Periodic:
    """Something done again and again while its owner lives."""

    def __init__(
        self, action: Callable[[], Awaitable[None]], every_s: float, at_once: bool = False
    ) -> None:
        self._action = action
        self._every_s = every_s
        self._at_once = at_once
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start after one period, or at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop, after the action that is under way if there is one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0 if self._at_once else self._every_s)
            self._at_once = False
            # Settled, since a recovery must not be left between two steps of one branch.
            await settle(self._once)

    async def _once(self) -> None:
        try:
            await self._action()
        except Exception:
            _log.exception("a background pass failed, trying again in %s s", self._every_s)
