"""Which backends a test runs on, where it is not all of them."""

from __future__ import annotations

import pytest

from tests.provision.memory import MEMORY

# For what is the same whatever the store.
on_memory = pytest.mark.parametrize("lock_backend", [pytest.param(MEMORY, id="memory")])
