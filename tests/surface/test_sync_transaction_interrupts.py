"""Ctrl-C at every step of a transaction: all or nothing, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from concordant import Coordinator
from tests.provision.memory import MEMORY
from tests.surface.interrupting import interrupted_at
from tests.surface.sync.moving import coordinating
from tests.surface.sync.paying import Places, add, transfer

STEPS_MAX = 4000

pytestmark = pytest.mark.parametrize("log_backend", [pytest.param(MEMORY, id="memory")])


def is_settled(coordinator: Coordinator, places: Places, times: int, where: str) -> int:
    """See that recovery leaves nothing, and return how many transfers there were by now."""
    coordinator.recover()
    assert places.in_doubt() == [], where
    assert coordinator.doubts() == [], where
    now = 0 if places.balances() == places.moved(times) else 1
    assert places.balances() == places.moved(times + now), where
    with coordinator.transaction(*places.urls) as connections:
        for connection in connections:
            add(connection, "eve", 0)
    return times + now


@pytest.mark.parametrize("named", [False, True])
def test_a_transaction(log_url: str, tmp_path: Path, named: bool) -> None:
    places = Places(tmp_path)
    with coordinating(log_url, participants=places.urls) as coordinator:
        times = 0
        for at in range(1, STEPS_MAX):
            gid = f"g-{at}" if named else None

            def pay(gid: str | None = gid) -> None:
                with coordinator.transaction(*places.urls, gid=gid) as connections:
                    transfer(connections)

            where = interrupted_at(at, pay)
            assert coordinator.all_running() == frozenset(), where
            times = is_settled(coordinator, places, times, where)
            if not where:
                break
        assert 100 <= at < STEPS_MAX
        assert 0 < times < at
