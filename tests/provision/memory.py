"""The memory backend: a named store inside this process."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from concordant.drivers.capabilities import Fencing
from tests.provision.backend import Backend, Promises

_numbers = count()


def _fresh(_tmp: Path) -> str:
    return f"memory://test-{next(_numbers)}"


MEMORY = Backend(
    name="memory",
    promises=Promises(
        fencing=Fencing.FENCED,
        survives_restart=False,
        across_processes=False,
        across_hosts=False,
        detects_dead_waiters=False,
    ),
    lock_url=_fresh,
    log_url=_fresh,
)
