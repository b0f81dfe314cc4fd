"""Which backends a test runs on, where it is not all of them."""

from __future__ import annotations

import pytest

from tests.provision.backend import Backend
from tests.provision.memory import MEMORY
from tests.provision.sqlite import SQLITE

# For what is the same whatever the store.
on_memory = pytest.mark.parametrize("lock_backend", [pytest.param(MEMORY, id="memory")])


def _of(*backends: Backend) -> list[object]:
    marks = {True: pytest.mark.server, False: ()}
    return [
        pytest.param(backend, id=backend.name, marks=marks[backend.needs_server])
        for backend in backends
    ]


# For what goes through each step of something long.
embedded_locks = pytest.mark.parametrize("lock_backend", _of(MEMORY, SQLITE))
embedded_logs = pytest.mark.parametrize("log_backend", _of(MEMORY, SQLITE))
