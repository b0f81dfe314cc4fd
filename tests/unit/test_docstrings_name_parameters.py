"""What users pass is explained where they look for it: in the docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from concordant import AsyncClient, AsyncCoordinator, Client, Coordinator
from concordant.drivers.redis.guard import guard_set
from concordant.sync.lease import Lease


@pytest.mark.parametrize("kind", [Coordinator, AsyncCoordinator])
def test_every_parameter_of_a_coordinator_is_named_in_its_docstring(kind: type) -> None:
    said = inspect.getdoc(kind) or ""
    # The first stands in the example of how to enter it.
    _, log_url, *named = inspect.signature(kind.__init__).parameters
    assert log_url in said
    assert [name for name in named if f"`{name}" not in said and f"{name}=" not in said] == []


@pytest.mark.parametrize("make", [Client.lock, AsyncClient.lock])
def test_a_lock_says_that_a_dropped_lease_is_kept(make: Callable[..., Any]) -> None:
    said = inspect.getdoc(make) or ""
    assert "until the client is closed" in " ".join(said.split())
    assert "until the client is closed" in " ".join((inspect.getdoc(Lease) or "").split())


def test_the_guard_of_redis_says_when_to_read() -> None:
    assert "read only after the guard, never before" in (inspect.getdoc(guard_set) or "")
