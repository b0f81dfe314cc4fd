"""What a task asks of a combiner, and awaits: a future, as asyncio lets others make them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Callback = Callable[[Any], object]


class Asked(Generic[Item, Answer]):
    """The answers to some items; while it is held, a cancellation waits for them too.

    asyncio's own futures take a turn of the loop for each task that they wake, which costs more
    than most tasks do then. These let it run in the turn in which its answers came.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_context",
        "_loop",
        "_others",
        "answers",
        "failure",
        "held",
        "items",
    )

    def __init__(self, items: Sequence[Item], loop: asyncio.AbstractEventLoop) -> None:
        self.items = items
        self.answers: list[Answer] | None = None
        self.failure: BaseException | None = None
        self.held = False
        self._loop = loop
        # The task that waits; there may be others, but hardly ever are.
        self._callback: Callback | None = None
        self._context: Context
        self._others: Sequence[tuple[Callback, Context]]
        # By this asyncio knows a future, and what is awaited from what is yielded by mistake.
        self._asyncio_future_blocking = False

    def __await__(self) -> Generator[Any, None, list[Answer]]:
        self._asyncio_future_blocking = True
        yield self
        answers = self.answers
        return self.result() if answers is None else answers

    __iter__ = __await__

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of its task."""
        return self._loop

    def done(self) -> bool:
        """Whether there are answers, or will be none."""
        return self.answers is not None or self.failure is not None

    def cancelled(self) -> bool:
        """Whether the asker gave up."""
        return isinstance(self.failure, asyncio.CancelledError)

    def result(self) -> list[Answer]:
        """Return the answers, or raise what came instead."""
        if self.answers is not None:
            return self.answers
        raise self.failure or asyncio.InvalidStateError("no answer has come yet")

    def exception(self) -> BaseException | None:
        """Return what came instead of answers, if anything did."""
        if self.failure is None or self.cancelled():
            self.result()
        return self.failure

    def cancel(self, msg: object = None) -> bool:
        """Give up, unless it is too late for that."""
        # Refused, the task remembers its cancellation and meets it when it wakes.
        if self.held or self.done():
            return False
        self.failure = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._wake_later()
        return True

    def add_done_callback(self, callback: Callback, *, context: Context | None = None) -> None:
        """Call back when it is done; at the next turn of the loop if it is."""
        if context is None:
            context = copy_context()
        if self._callback is None:
            self._callback = callback
            self._context = context
            self._others = ()
        else:
            self._others = (*self._others, (callback, context))
        if self.answers is not None or self.failure is not None:
            self._wake_later()

    def remove_done_callback(self, callback: Callback) -> int:
        """Do not call back after all; returns how often it would have been."""
        waiting = self._take_callbacks()
        for each in waiting:
            if each[0] != callback:
                self.add_done_callback(each[0], context=each[1])
        return sum(each[0] == callback for each in waiting)

    def _wake_later(self) -> None:
        for callback, context in self._take_callbacks():
            self._loop.call_soon(callback, self, context=context)

    def _take_callbacks(self) -> list[tuple[Callback, Context]]:
        if self._callback is None:
            return []
        waiting = [(self._callback, self._context), *self._others]
        self._callback = None
        return waiting


def wake_all(asked: Iterable[Asked[Any, Any]]) -> None:
    """Let the tasks of all of these run, one after the other; a callback of the event loop."""
    left = iter(asked)
    try:
        for each in left:
            callback = each._callback
            if callback is not None and not each._others:
                each._callback = None
                each._context.run(callback, each)
            else:
                each._wake_later()
    finally:
        # Ctrl-C in one of the tasks ends the run of the loop, but perhaps not the others.
        if rest := list(left):
            rest[0].get_loop().call_soon(wake_all, rest)
