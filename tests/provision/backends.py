"""All backends under test. A driver that is missing here fails the build."""

from __future__ import annotations

from typing import Any

import pytest

from tests.provision.backend import Backend
from tests.provision.memory import MEMORY
from tests.provision.postgres import POSTGRES
from tests.provision.redis import REDIS
from tests.provision.sqlite import SQLITE

BACKENDS = (MEMORY, SQLITE, POSTGRES, REDIS)

PORTS = ("lock_store", "transaction_log", "participant", "barrier")


def offering(port: str) -> list[Backend]:
    """Return the backends that offer the port, by the port's name in the registry."""
    return [backend for backend in BACKENDS if backend.fresh(port) is not None]


def params(port: str) -> list[Any]:
    """Return pytest parameters for a suite over all backends that offer the port."""
    return [
        pytest.param(
            backend, id=backend.name, marks=pytest.mark.server if backend.needs_server else ()
        )
        for backend in offering(port)
    ]
