"""The backends of the contract suites: one fixture for each port, over all that offer it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.banks import open_bank
from tests.provision.backend import Backend
from tests.provision.backends import params


@pytest.fixture(params=params("lock_store"))
def lock_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps locks."""
    return request.param


@pytest.fixture(params=params("transaction_log"))
def log_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps a transaction log."""
    return request.param


@pytest.fixture(params=params("participant"))
def participant_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that takes part in two-phase commits."""
    return request.param


@pytest.fixture(params=params("barrier"))
def barrier_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps barriers for saga steps."""
    return request.param


@pytest.fixture
def lock_url(lock_backend: Backend, tmp_path: Path) -> str:
    """The URL of an empty lock store."""
    assert lock_backend.lock_url is not None
    return lock_backend.lock_url(tmp_path)


@pytest.fixture
def log_url(log_backend: Backend, tmp_path: Path) -> str:
    """The URL of an empty transaction log."""
    assert log_backend.log_url is not None
    return log_backend.log_url(tmp_path)


@pytest.fixture
def resource_url(participant_backend: Backend, tmp_path: Path) -> Callable[[], str]:
    """What gives the URL of an empty database at each call."""
    make = participant_backend.participant_url
    assert make is not None
    return lambda: make(tmp_path)


@pytest.fixture
def bank_url(participant_backend: Backend, resource_url: Callable[[], str]) -> str:
    """The URL of a database with three accounts, made by a plain connection."""
    return open_bank(participant_backend, resource_url())


@pytest.fixture
def barrier_url(barrier_backend: Backend, tmp_path: Path) -> str:
    """The URL of a database with three accounts, that no saga step has changed."""
    assert barrier_backend.barrier_url is not None
    return open_bank(barrier_backend, barrier_backend.barrier_url(tmp_path))
