"""Run many calls at once, bounded in time, as tasks or as threads.

The generator of the sync suites turns `async_x` into `x`, so each pair has one meaning.
Unlike a pool, the threads are daemons: one that is stranded fails its test and hangs nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# Not a measure of speed: what takes longer is taken for stranded.
BOUND_S = 20.0


class Stranded(AssertionError):
    """Some calls never came back."""


async def async_together(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make all the calls at once and return their results; Stranded if some never end."""
    tasks = [asyncio.ensure_future(call()) for call in calls]
    _, stranded = await asyncio.wait(tasks, timeout=BOUND_S)
    for task in stranded:
        task.cancel()
    if stranded:
        raise Stranded(f"{len(stranded)} of {len(tasks)} tasks never came back")
    return [task.result() for task in tasks]


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all the calls at once and return their results; Stranded if some never end."""
    running = [Background(call) for call in calls]
    end = time.monotonic() + BOUND_S
    for each in running:
        each.thread.join(max(0.0, end - time.monotonic()))
    stranded = sum(each.thread.is_alive() for each in running)
    if stranded:
        raise Stranded(f"{stranded} of {len(running)} threads never came back")
    return [each.result() for each in running]


class Background:
    """One call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    @property
    def done(self) -> bool:
        """Whether it came back."""
        return not self.thread.is_alive()

    def result(self) -> Any:
        """Wait for the end and return the value, or raise what the call raised."""
        self.thread.join(BOUND_S)
        if self.thread.is_alive():
            raise Stranded("the thread never came back")
        if self._error is not None:
            raise self._error
        return self._value


class AsyncBackground:
    """One call in a task of its own."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self.task = asyncio.ensure_future(call())

    @property
    def done(self) -> bool:
        """Whether it came back."""
        return self.task.done()

    async def result(self) -> Any:
        """Wait for the end and return the value, or raise what the call raised."""
        done, _ = await asyncio.wait({self.task}, timeout=BOUND_S)
        if not done:
            raise Stranded("the task never came back")
        return self.task.result()


async def async_eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds; fails if it never does."""
    end = time.monotonic() + BOUND_S
    while not await holds():
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.005)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until it holds; fails if it never does."""
    end = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.005)
