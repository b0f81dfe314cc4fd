"""Clients that are opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from concordant import AsyncClient


@pytest.fixture
async def client(lock_url: str) -> AsyncIterator[AsyncClient]:
    """A client of an empty store of each backend."""
    async with AsyncClient(lock_url) as opened:
        yield opened


@pytest.fixture
async def open_client(lock_url: str) -> AsyncIterator[Callable[[], AsyncClient]]:
    """What opens one more client of the same store, as another process would."""
    async with AsyncExitStack() as stack:

        def make() -> AsyncClient:
            opened = AsyncClient(lock_url)
            stack.push_async_callback(opened.aclose)
            return opened

        yield make


@pytest.fixture
async def faulty_client(faulty_url: str) -> AsyncIterator[AsyncClient]:
    """A client of the same store whose requests and replies may get lost."""
    async with AsyncClient(faulty_url) as opened:
        yield opened
