# Generated from tests/surface/aio/conftest.py by tools/unasync.py; do not edit.
"""Clients that are opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from concordant import Client


@pytest.fixture
def client(lock_url: str) -> Iterator[Client]:
    """A client of an empty store of each backend."""
    with Client(lock_url) as opened:
        yield opened


@pytest.fixture
def open_client(lock_url: str) -> Iterator[Callable[[], Client]]:
    """What opens one more client of the same store, as another process would."""
    with ExitStack() as stack:

        def make() -> Client:
            opened = Client(lock_url)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def faulty_client(faulty_url: str) -> Iterator[Client]:
    """A client of the same store whose requests and replies may get lost."""
    with Client(faulty_url) as opened:
        yield opened
