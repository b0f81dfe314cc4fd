"""Waiters of an event loop that ends before they are woken."""

from __future__ import annotations

import asyncio

from concordant._bridge.aio import Wait
from concordant.session.listener import Won
from tests.surface.together import Background


def test_waking_who_is_gone_with_its_loop_does_nothing() -> None:
    async def make() -> Wait:
        return Wait("a", 1000)

    wait = asyncio.run(make())
    # From the thread that reads hints, which must not die of it.
    Background(lambda: wait.wake(Won(7, 1))).result()
    Background(lambda: wait.wake(None)).result()
