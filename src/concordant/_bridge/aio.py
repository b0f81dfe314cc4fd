"""The async twins: tasks of one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, Unpack

from concordant.errors import LockLost, OutcomeUnknown
from concordant.session.holding import Holding
from concordant.session.listener import Won

_log = logging.getLogger("concordant.transactions")

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Value = TypeVar("Value")
Given = TypeVarTuple("Given")


class _Asked(asyncio.Future[list[Answer]]):
    """The answers that a task waits for; while it is held, a cancellation waits for them too."""

    held = False

    def cancel(self, msg: Any = None) -> bool:
        # Refused, the task remembers its cancellation and meets it when it wakes.
        return False if self.held else super().cancel(msg)


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
        self._pending: deque[tuple[Sequence[Item], _Asked[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._deferred: deque[Item] = deque()

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
        loop = asyncio.get_running_loop()
        asked: _Asked[Answer] = _Asked(loop=loop)
        self._pending.append((items, asked))
        if not self._scheduled and len(self._running) < self._lanes:
            # Not at once: what other tasks ask in this turn of the loop goes along.
            self._scheduled = True
            loop.call_soon(self._start)
        return asked

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._running or self._pending:
            self._start()
            await asyncio.wait(set(self._running))

    def _start(self) -> None:
        self._scheduled = False
        while self._pending and len(self._running) < self._lanes:
            task = asyncio.get_running_loop().create_task(self._carry(self._take()))
            self._running.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._pending and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _take(self) -> list[tuple[Sequence[Item], _Asked[Answer]]]:
        taken: list[tuple[Sequence[Item], _Asked[Answer]]] = []
        size = 0
        while self._pending and (not taken or size + len(self._pending[0][0]) <= self._batch_max):
            items, future = self._pending.popleft()
            if not future.cancelled():  # its asker gave up before anything was sent
                taken.append((items, future))
                size += len(items)
        return taken

    def _room(self, size: int) -> int:
        return max(0, min(len(self._deferred), self._batch_max - size))

    async def _carry(self, asked: list[tuple[Sequence[Item], _Asked[Answer]]]) -> None:
        if not asked:
            return
        batch = [item for items, _ in asked for item in items]
        extra = [self._deferred.popleft() for _ in range(self._room(len(batch)))]
        try:
            answers = await self._apply([*batch, *extra])
        except BaseException as error:
            self._deferred.extend(extra)
            failure = error
            if not isinstance(error, Exception):
                failure = OutcomeUnknown("the request was interrupted; ask again")
            for _, future in asked:
                if not future.done():
                    future.set_exception(failure)
            if failure is not error:
                raise
            return
        start = 0
        for items, future in asked:
            if not future.done():
                future.set_result(answers[start : start + len(items)])
            start += len(items)


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


class Scope:
    """Cancel the task that holds a lease when the lease is lost, as asyncio.timeout does."""

    def __init__(self, holdings: Sequence[Holding]) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a lock is entered from inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._lost: Holding | None = None
        self._open = True
        for holding in holdings:
            holding.on_lost(partial(self._tell, holding), brief=True)

    def _tell(self, holding: Holding) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel, holding)
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
    if cancelled is not None:
        task.exception()  # retrieved: the cancellation goes first
        raise cancelled
    return task.result()


class finish(Generic[Value]):
    """Run an action to its end as `settle` does, in the caller's own task: `await finish(f, x)`.

    Several times cheaper, but the action may await nothing except a combiner's answers.
    """

    def __init__(
        self, action: Callable[[Unpack[Given]], Coroutine[Any, Any, Value]], *given: *Given
    ) -> None:
        self._running = action(*given)

    def __await__(self) -> Generator[Any, None, Value]:
        running = self._running
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


def current() -> int:
    """Return the identity of the running task."""
    return id(asyncio.current_task())


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
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

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
