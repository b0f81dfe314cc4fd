"""Twins for what is started now and ends by itself later, as a task or as a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable


def async_later(action: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Start the action beside the caller and return what waits for its end."""
    task = asyncio.ensure_future(action())

    async def landed() -> None:
        await task

    return landed


def later(action: Callable[[], None]) -> Callable[[], None]:
    """Start the action beside the caller and return what waits for its end."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread.join
