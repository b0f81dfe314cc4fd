"""Stores that are opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from concordant.drivers import registry
from concordant.drivers.base import AsyncLockStore, AsyncParticipant, AsyncTransactionLog, LockStore
from concordant.drivers.stepport import AsyncBarrier
from tests.contract.aio.bank import Bank
from tests.contract.aio.steps import Steps
from tests.provision.backend import Backend


@pytest.fixture
async def store(lock_url: str) -> AsyncIterator[AsyncLockStore]:
    """A lock store of each backend, empty."""
    opened = registry.async_lock_store(lock_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def another_store(lock_url: str) -> AsyncIterator[Callable[[], AsyncLockStore]]:
    """What opens the same lock store once more, as another process would."""
    async with AsyncExitStack() as stack:

        def make() -> AsyncLockStore:
            opened = registry.async_lock_store(lock_url)
            stack.push_async_callback(opened.aclose)
            return opened

        yield make


@pytest.fixture
def listener(lock_url: str) -> Iterator[LockStore]:
    """The same store as a thread sees it, to read hints from: they have no async form."""
    opened = registry.lock_store(lock_url)
    yield opened
    opened.close()


@pytest.fixture
async def log(log_url: str) -> AsyncIterator[AsyncTransactionLog]:
    """A transaction log of each backend, empty."""
    opened = registry.async_transaction_log(log_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def another_log(log_url: str) -> AsyncIterator[Callable[[], AsyncTransactionLog]]:
    """What opens the same log once more, as another process would."""
    async with AsyncExitStack() as stack:

        def make() -> AsyncTransactionLog:
            opened = registry.async_transaction_log(log_url)
            stack.push_async_callback(opened.aclose)
            return opened

        yield make


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], AsyncParticipant]]:
    """What opens a participant and closes it after the test."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> AsyncParticipant:
            participant = registry.async_participant(url)
            stack.push_async_callback(participant.aclose)
            return participant

        yield make


@pytest.fixture
def bank(
    participant_backend: Backend, bank_url: str, opened: Callable[[str], AsyncParticipant]
) -> Bank:
    """A database with three accounts, and the participant that speaks for it."""
    return Bank(participant_backend, bank_url, opened)


@pytest.fixture
async def another_barrier(barrier_url: str) -> AsyncIterator[Callable[[], AsyncBarrier]]:
    """What opens the same barriers once more, as another process would."""
    async with AsyncExitStack() as stack:

        def make() -> AsyncBarrier:
            opened = registry.async_barrier(barrier_url)
            stack.push_async_callback(opened.aclose)
            return opened

        yield make


@pytest.fixture
def steps(
    barrier_backend: Backend, barrier_url: str, another_barrier: Callable[[], AsyncBarrier]
) -> Steps:
    """A database with three accounts, and saga steps that change them."""
    return Steps(barrier_backend, barrier_url, another_barrier)
