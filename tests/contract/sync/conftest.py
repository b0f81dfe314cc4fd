# Generated from tests/contract/aio/conftest.py by tools/unasync.py; do not edit.
"""Stores that are opened for a test and closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from concordant.drivers import registry
from concordant.drivers.base import LockStore, Participant, TransactionLog
from concordant.drivers.stepport import Barrier
from tests.contract.sync.bank import Bank
from tests.contract.sync.steps import Steps
from tests.provision.backend import Backend


@pytest.fixture
def store(lock_url: str) -> Iterator[LockStore]:
    """A lock store of each backend, empty."""
    opened = registry.lock_store(lock_url)
    yield opened
    opened.close()


@pytest.fixture
def another_store(lock_url: str) -> Iterator[Callable[[], LockStore]]:
    """What opens the same lock store once more, as another process would."""
    with ExitStack() as stack:

        def make() -> LockStore:
            opened = registry.lock_store(lock_url)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def listener(lock_url: str) -> Iterator[LockStore]:
    """The same store as a thread sees it, to read hints from: they have no async form."""
    opened = registry.lock_store(lock_url)
    yield opened
    opened.close()


@pytest.fixture
def log(log_url: str) -> Iterator[TransactionLog]:
    """A transaction log of each backend, empty."""
    opened = registry.transaction_log(log_url)
    yield opened
    opened.close()


@pytest.fixture
def another_log(log_url: str) -> Iterator[Callable[[], TransactionLog]]:
    """What opens the same log once more, as another process would."""
    with ExitStack() as stack:

        def make() -> TransactionLog:
            opened = registry.transaction_log(log_url)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def opened() -> Iterator[Callable[[str], Participant]]:
    """What opens a participant and closes it after the test."""
    with ExitStack() as stack:

        def make(url: str) -> Participant:
            participant = registry.participant(url)
            stack.callback(participant.close)
            return participant

        yield make


@pytest.fixture
def bank(participant_backend: Backend, bank_url: str, opened: Callable[[str], Participant]) -> Bank:
    """A database with three accounts, and the participant that speaks for it."""
    return Bank(participant_backend, bank_url, opened)


@pytest.fixture
def another_barrier(barrier_url: str) -> Iterator[Callable[[], Barrier]]:
    """What opens the same barriers once more, as another process would."""
    with ExitStack() as stack:

        def make() -> Barrier:
            opened = registry.barrier(barrier_url)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def steps(
    barrier_backend: Backend, barrier_url: str, another_barrier: Callable[[], Barrier]
) -> Steps:
    """A database with three accounts, and saga steps that change them."""
    return Steps(barrier_backend, barrier_url, another_barrier)
