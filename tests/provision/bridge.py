"""Twins for what async and sync tests cannot spell alike.

The generator of the sync suites turns `async_x` into `x`, so each pair has one meaning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable
from threading import Barrier
from typing import Any, TypeVar

T = TypeVar("T")


async def async_sleep(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)


async def async_at_once(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make all the calls at the same time, as tasks; return the results in order."""
    return list(await asyncio.gather(*(call() for call in calls)))


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all the calls at the same time, each in a thread; return the results in order."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


async def async_blocking(call: Callable[..., T], *args: Any) -> T:
    """Make a blocking call while the loop runs on."""
    return await asyncio.to_thread(call, *args)


def blocking(call: Callable[..., T], *args: Any) -> T:
    """Make a blocking call."""
    return call(*args)


async def async_rows(connection: Any, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a statement on a branch's connection and return its rows, if it has any."""
    cursor = await connection.execute(statement, params)
    if getattr(cursor, "description", None) is None:
        return []
    fetched = cursor.fetchall()
    return [tuple(row) for row in (await fetched if isawaitable(fetched) else fetched)]


def rows(connection: Any, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a statement on a branch's connection and return its rows, if it has any."""
    cursor = connection.execute(statement, params)
    if getattr(cursor, "description", None) is None:
        return []
    return [tuple(row) for row in cursor.fetchall()]
