"""Ctrl-C at every step of its beginning and its end: a client or coordinator leaves nothing."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from concordant import Client, Coordinator
from concordant.drivers import registry
from concordant.locking.operations import Inspect, View
from tests.surface.choice import embedded_locks, embedded_logs
from tests.surface.interrupting import PARTS, THREADING, interrupted_at
from tests.surface.leftovers import Leftovers, epochs_running
from tests.surface.sync.paying import Places

STEPS_MAX = 3000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def is_free(url: str) -> bool:
    with closing(registry.lock_store(url)) as store:
        [view] = store.apply([Inspect("a")])
    assert isinstance(view, View)
    return not view.holders and not view.waiters


@embedded_locks
def test_leaving_a_client(lock_url: str) -> None:
    with closing(registry.lock_store(lock_url)):  # one in memory lives while somebody has it
        before = Leftovers()
        for at in range(1, STEPS_MAX):
            client = Client(lock_url).__enter__()
            client.lock("a").acquire()
            where = interrupted_at(
                at, partial(client.__exit__, None, None, None), (*PARTS, THREADING)
            )
            # Not by a second close, but by the first one.
            before.none(where)
            assert is_free(lock_url), where
            client.close()
            if not where:
                break
        assert 50 < at < STEPS_MAX


@embedded_locks
def test_the_whole_life_of_a_client(lock_url: str) -> None:
    with closing(registry.lock_store(lock_url)):
        before = Leftovers()
        for at in range(1, STEPS_MAX):
            client = Client(lock_url)

            def live(client: Client = client) -> None:
                with client, client.lock("b"), client.locks(["a", "c"], timeout_s=1):
                    pass

            where = interrupted_at(at, live, (*PARTS, THREADING))
            before.none(where)
            assert is_free(lock_url), where
            client.close()
            if not where:
                break
        assert 100 < at < STEPS_MAX


@embedded_logs
@pytest.mark.parametrize("log_driver", [False, True])
def test_the_life_of_a_coordinator(log_url: str, tmp_path: Path, log_driver: bool) -> None:
    places = Places(tmp_path)
    parts = (*PARTS, "drivers/memory", "drivers/sqlite/log") if log_driver else (*PARTS, THREADING)
    before = Leftovers()
    for at in range(1, STEPS_MAX):
        coordinator = Coordinator(log_url, participants=places.urls, recover_every_s=3600)

        def live(coordinator: Coordinator = coordinator) -> None:
            with coordinator:
                assert coordinator.outcome("g-1") is None

        where = interrupted_at(at, live, parts)
        before.none(where)
        # An epoch that ran on would keep others from recovering what it has left.
        assert epochs_running(log_url, coordinator) == frozenset(), where
        coordinator.__exit__(None, None, None)
        if not where:
            break
    assert 100 < at < STEPS_MAX
