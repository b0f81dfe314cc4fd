"""The backends that peers were seen to fail on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provision.backend import Backend
from tests.provision.backends import params


@pytest.fixture(params=params("lock_store"))
def lock_backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that keeps locks."""
    return request.param


@pytest.fixture
def lock_url(lock_backend: Backend, tmp_path: Path) -> str:
    """The URL of an empty lock store."""
    assert lock_backend.lock_url is not None
    return lock_backend.lock_url(tmp_path)
