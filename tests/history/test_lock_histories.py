"""Histories of real stores under kills and stops: nothing may speak against them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from concordant.drivers import registry
from concordant.locking import limits
from tests.history.checker import check
from tests.history.contender import Contender
from tests.history.events import Event, Recorder, now_ns, read
from tests.history.fleet import LOCKS, Fleet
from tests.history.guarded import guarded
from tests.history.holder import Habits
from tests.history.register import Register, Stale
from tests.provision.backend import Backend
from tests.provision.backends import params

SEED = 20_260_802
SECONDS = 10.0
TTL_MS = 200
# One stop is longer than a lease, the other longer than the time to confirm a grant.
STOPS_S = (2.5 * TTL_MS / 1000, limits.CONFIRM_MS / 1000 + 0.3)


def holders_of(history: list[Event]) -> set[str]:
    """Return the clients that were granted the lock."""
    return {event["owner"].partition(".")[0] for event in history if event["kind"] == "grant"}


def trouble(fleet: Fleet, restart: Callable[[], None] | None) -> int:
    """Stop and kill processes, and the server once, until it is enough; return the restarts."""
    rng = random.Random(SEED)
    restarts = 0
    for turn in count():
        if turn % 2:
            fleet.kill_one(rng)
        else:
            fleet.stop_one(rng, STOPS_S[turn // 2 % 2])
        if turn == 2 and restart is not None:
            restart()
            restarts += 1
        time.sleep(rng.random() * 0.4)
        if not fleet.running and turn >= 2:
            return restarts
    raise AssertionError("there is no last number")


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", [p for p in params("lock_store") if p.values[0].promises.across_processes]
)
def test_processes_under_kills_and_stops(backend: Backend, tmp_path: Path) -> None:
    """Half of them are users' programs; what they write is guarded by the driver's own guard."""
    assert backend.lock_url is not None
    url = backend.lock_url(tmp_path)
    with Fleet(url, tmp_path, size=4, seconds=SECONDS, ttl_ms=TTL_MS) as fleet:
        time.sleep(1.0)
        restarts = trouble(fleet, backend.restart)
        fleet.finish()
    history = fleet.history()
    assert check(history) == []
    # Trouble there was, and the others went on after every bit of it.
    assert restarts == (1 if backend.needs_server else 0)
    assert len(fleet.killed) >= 2
    assert len(holders_of(history)) >= 4
    for kind in ("port-*", "user-*"):
        assert sum(event["kind"] == "grant" for event in fleet.recorded(kind)) > 10, kind
    assert_first_holders_are_shut_out(url, tmp_path, history)


def assert_first_holders_are_shut_out(url: str, folder: Path, history: list[Event]) -> None:
    """See that the guard refuses the first holder of each lock, who may come back any time."""
    accepted = [event for event in history if event["kind"] == "journal"]
    assert len(accepted) > 30
    first = {event["lock"]: event for event in reversed(accepted)}
    assert len(first) == LOCKS
    with closing(guarded(url, folder)) as register:
        for lock, event in first.items():
            with pytest.raises(Stale):
                register.write(lock, event["owner"], event["fence"], "late", 0, 0)
        assert register.journal() == accepted


@pytest.mark.parametrize("backend", params("lock_store"))
def test_threads_on_one_store(backend: Backend, tmp_path: Path) -> None:
    assert backend.lock_url is not None
    url = backend.lock_url(tmp_path)
    until_ns = now_ns() + 1_500_000_000
    habits = Habits(ttl_ms=80, pause_s=0.12)
    grants: list[int] = []
    with closing(registry.lock_store(url)) as store:

        def contend(number: int) -> None:
            recorder = Recorder(tmp_path / f"{number}.jsonl")
            with closing(Register(tmp_path / "register.db")) as register:
                contender = Contender(store, recorder, register, habits, random.Random(number))
                contender.run(until_ns)
            grants.append(contender.grants)

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with closing(Register(tmp_path / "register.db")) as register:
        journal = register.journal()
    history = read(sorted(tmp_path.glob("*.jsonl"))) + journal
    assert check(history) == []
    assert len(grants) == 5
    # A thread that pauses at the head may hold the others up for the confirm bound.
    assert sum(grants) >= 5
