"""The backends that the surface is tested on, and what can go wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from concordant.drivers import registry
from tests.provision.backend import Backend
from tests.provision.backends import params
from tests.surface.faults import Faults, installed


@pytest.fixture(params=params("lock_store"))
def lock_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps locks."""
    return request.param


@pytest.fixture
def lock_url(lock_backend: Backend, tmp_path: Path) -> str:
    """The URL of an empty lock store."""
    assert lock_backend.lock_url is not None
    return lock_backend.lock_url(tmp_path)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What goes wrong for the clients of `faulty_url`."""
    with installed(monkeypatch) as rules:
        yield rules


@pytest.fixture
def faulty_url(lock_url: str, faults: Faults) -> str:
    """The same store as `lock_url`, behind faults."""
    return faults.url(lock_url)


@pytest.fixture(params=params("barrier"))
def barrier_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps barriers for saga steps."""
    return request.param


@pytest.fixture(params=params("transaction_log"))
def log_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps a transaction log."""
    return request.param


@pytest.fixture
def log_url(log_backend: Backend, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty transaction log, which outlives its coordinators."""
    assert log_backend.log_url is not None
    url = log_backend.log_url(tmp_path)
    # One in memory lives as long as somebody has it open.
    with closing(registry.transaction_log(url)):
        yield url
